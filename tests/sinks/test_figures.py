"""Figures that ClickHouse makes anew: they are those of the rows, whatever came twice, late or was taken back."""

from collections import Counter
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from cartwake.errors import Rejected
from sinks import migrate as m
from sinks.clickhouse import ClickHouse
from sinks.figures import figures, renew
from sinks.statements import subject, tokens
from tests.sinks.records import HOUR, NOON, event, made_anew, message, outcome, put
from tests.sinks.test_recovered import ANA, bought, click, order, sent

pytestmark = pytest.mark.stack
TODAY = date(2026, 11, 23)
NAMES = ["product_days", "recovery_days", "reminder_days"]


def shown(client: ClickHouse, name: str) -> list[dict[str, Any]]:
    made_anew(client)
    return client.query(f"SELECT * FROM {name} ORDER BY ALL")


def test_messages_count_on_the_day_of_their_last_status_with_what_people_did(client: ClickHouse) -> None:
    sent(client, "plan1", at=NOON + HOUR)
    sent(client, "plan2", 2, at=NOON + HOUR)
    sent(client, "plan3", 3, at=NOON + 13 * HOUR, variant="b")
    for _ in range(2):  # once more, as after a crash
        click(client, NOON + 2 * HOUR, "plan1")
        click(client, NOON + 2 * HOUR, "plan2", 2, machine=True)
    put(client, "messages", message("opened", 3, plan="plan2", number=2), message("bounced", 4, plan="plan3", number=3))
    put(client, "messages", message("suppressed", 2, plan="plan4", number=4, reason="quiet_hours"))
    put(client, "cart-outcomes", outcome("recovered", 2, 1, order_id="o-1"))
    found = {
        (x["day"].day, x["variant"], x["status"], x["reason"]): tuple(
            x[name] for name in ("messages", "sent", "opened", "clicked", "bounced", "bought")
        )
        for x in shown(client, "reminder_days")
    }
    assert found == {
        (23, "", "sent", ""): (2, 2, 1, 1, 0, 1),
        (24, "b", "sent", ""): (1, 1, 0, 0, 1, 0),
        (23, "", "suppressed", "quiet_hours"): (1, 0, 0, 0, 0, 0),
    }


def test_products_count_once_a_cart_and_not_of_carts_that_were_none(client: ClickHouse) -> None:
    shirt = {"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99"}
    mug = {"sku": "B2", "price": "5"}
    put(client, "cart-outcomes", outcome(number=1, items=[shirt, mug, mug]), outcome(number=2, items=[shirt]))
    put(client, "cart-outcomes", outcome(number=3, items=[shirt]), outcome("withdrawn", 2, 3))
    put(client, "cart-outcomes", outcome(number=20, items=[shirt | {"name": "Shirt"}]))
    put(client, "cart-outcomes", outcome("recovered", 2, 2, order_id="o-2"))
    rows = [tuple(x.values()) for x in shown(client, "product_days")]
    assert rows == [
        ("main", TODAY, "A1", "Blue shirt", 2, 4, 1),
        ("main", TODAY, "B2", "", 1, 2, 0),
        ("main", date(2026, 11, 24), "A1", "Shirt", 1, 2, 0),
    ]


def test_orders_count_on_their_day_and_what_is_paid_back_is_taken_off(client: ClickHouse) -> None:
    sent(client, code="SAVE", step=2)
    click(client, NOON + HOUR)
    put(client, "cart-events", event(1, **order("link", NOON + 2 * HOUR, cart_id="c1")))
    put(client, "order-events", order("code", NOON + HOUR, code="SAVE"), order("window", NOON + 20 * HOUR))
    put(client, "subscriber-events", bought("window", NOON + 20 * HOUR, ANA))
    put(client, "order-events", order("none", NOON + HOUR))

    def now() -> dict[tuple[int, str], tuple[Any, ...]]:
        rows = shown(client, "recovery_days")
        assert {(x["channel"], x["step"], x["currency"]) for x in rows} == {("email", 2, "EUR")}
        return {(x["day"].day, x["how"]): (x["orders"], x["total"], x["net"]) for x in rows}

    fifty = Decimal(50)
    first = {(23, "link"): (1, fifty, fifty), (23, "code"): (1, fifty, fifty), (24, "window"): (1, fifty, fifty)}
    assert now() == first
    put(client, "order-events", order("window", NOON + 40 * HOUR, "refunded", total="20"))
    put(client, "order-events", order("link", NOON + 40 * HOUR, "cancelled", total=None))
    assert now() == first | {(24, "window"): (1, fifty, Decimal(30)), (23, "link"): (0, fifty, Decimal(0))}


def test_one_is_read_as_it_was_until_the_next_is_whole(client: ClickHouse) -> None:
    put(client, "cart-outcomes", outcome())
    assert [x["carts"] for x in shown(client, "product_days")] == [1]
    put(client, "cart-outcomes", outcome(number=2))
    client.query("SELECT 1")
    assert [x["carts"] for x in client.query("SELECT * FROM product_days")] == [1]
    made = {x.name: x for x in renew(client)}
    assert list(made) == NAMES
    assert all(x.made_at and x.took_ms is not None and not x.problem for x in made.values())
    assert [x["carts"] for x in client.query("SELECT * FROM product_days")] == [2]


def test_what_can_not_be_made_says_why(empty: ClickHouse) -> None:
    empty.command(f"CREATE DATABASE {empty.database}")
    empty.command(
        f"CREATE MATERIALIZED VIEW {empty.database}.broken REFRESH EVERY 1 HOUR SETTINGS refresh_retries = 0 "
        "(x UInt8) ENGINE = MergeTree ORDER BY x AS SELECT throwIf(true, 'no room') AS x"
    )
    with pytest.raises(Rejected, match="no room"):
        renew(empty)
    [found] = figures(empty)
    assert (found.name, found.made_at) == ("broken", None)
    assert "no room" in found.problem


def test_they_are_made_one_after_the_other_by_one_thread() -> None:
    minutes: Counter[str] = Counter()
    for migration in m.migrations():
        for statement in m.statements(m.fill(migration.text, {"database": "d", "retention_days": "1"})):
            said = [x.text for x in tokens(statement) if x.depth == 0]
            if "REFRESH" in said:
                assert subject(statement).name in NAMES
                assert said[said.index("MAX_THREADS") + 2] == "1"
                minutes[said[said.index("OFFSET") + 1] if "OFFSET" in said else "0"] += 1
    assert minutes == dict.fromkeys(("0", "7", "14"), 1)
