"""`cartwake audit`: sums for people and programs, and an exit code that says whether all adds up."""

import json

import pytest

from cartwake.errors import ConfigurationError
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.sinks.records import match, message, outcome, put

pytestmark = pytest.mark.stack
ANA = "p-" + "a" * 24
DAYS = ("--from", "2026-11-23", "--to", "2026-11-24")


def test_sums_are_printed_and_what_is_wrong_is_named_with_an_exit_code(run: Run, store: ClickHouse) -> None:
    put(store, "cart-outcomes", outcome(), outcome(number=2, shop_id="other"))
    put(store, "subscriber-carts", match(ANA))
    put(
        store,
        "messages",
        message("planned", subscriber_id=ANA),
        message("suppressed", subscriber_id=ANA, reason="holdout"),
    )
    good = run("audit", *DAYS)
    assert good.exit_code == 0, good.exception
    assert [x.split() for x in good.stdout.splitlines()] == [
        ["abandonments", "2"], ["with", "a", "person", "1"], ["with", "a", "plan", "1"], ["plans", "1"],
        ["suppressed", "1"], ["holdout", "1"], ["does", "not", "add", "up", "0"],
    ]  # fmt: skip
    put(store, "messages", message("sent", plan="\x1b[31mplan", number=2, shop_id="other"))
    bad = run("audit", *DAYS)
    assert bad.exit_code == 1
    assert "not_planned  other  \\x1b[31mplan  is sent and was never planned" in bad.stdout
    assert "\x1b" not in bad.stdout
    assert run("audit", *DAYS, "--shop", "main").exit_code == 0
    said = run("audit", *DAYS, "--json")
    report = json.loads(said.stdout)
    assert said.exit_code == 1
    assert (report["from"], report["plans"], report["with_a_person"]) == ("2026-11-23", 2, 1)
    assert report["sums"][0] == {"standing": "sent", "reason": "", "plans": 1}
    assert report["wrong"] == [
        {"check": "not_planned", "shop_id": "other", "id": "\x1b[31mplan", "words": "is sent and was never planned"}
    ]


def test_days_in_the_wrong_order_are_refused(run: Run, store: ClickHouse) -> None:
    assert isinstance(run("audit", "--from", "2026-11-02", "--to", "2026-11-01").exception, ConfigurationError)
