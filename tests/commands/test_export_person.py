"""`cartwake export-person`: everything about one person and nothing of anybody else, as one JSON document."""

import json

import pytest

from cartwake.errors import Rejected
from cartwake.model import person_id
from sinks import erase
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.commands.test_erase import ANA, TABLES, said, told
from tests.sinks.records import dead_letter, event, put

pytestmark = pytest.mark.stack
__all__ = ["told"]  # a fixture


@pytest.mark.parametrize("name", ["Ana@example.com ", "77"])
def test_every_record_that_would_be_erased_is_written_by_every_id(run: Run, told: ClickHouse, name: str) -> None:
    put(told, "subscriber-events", said(50, "subscriber.updated", subscriber_id="77", phone="+49 170 1234567"))
    put(told, "cart-events", event(1))  # the same record again, as after a crash
    done = run("export-person", name)
    assert done.exit_code == 0, done.exception
    document = json.loads(done.stdout)
    assert document["person"] == {
        "emails": ["ana@example.com"], "subscriber_ids": [ANA], "own_ids": ["77"], "phones": ["491701234567"],
        "browsers": [],
    }  # fmt: skip
    records = document["records"]
    assert tuple(sorted(records)) == TABLES
    assert {x["record"]["event_id"] for x in records["cart_events"]} == {"e1", "e2", "e4"}
    assert [x["record"]["order_id"] for x in records["order_events"]] == ["ana"]
    assert [x["value"] for x in records["dead_letters"]] == ['{"email": "ANA@example.com"']
    assert {x["record"]["subscriber_id"] for x in records["messages"]} == {ANA}
    assert "bob" not in done.stdout
    assert person_id("bob@example.com") not in done.stdout
    counted = erase.count(told, erase.who(told, "main", name))
    assert counted.pop("abandonments")  # made of the others
    assert {x: len(rows) for x, rows in records.items()} == counted | {"cart_events": counted["cart_events"] - 1}


def test_nothing_in_it_steers_a_terminal_and_bytes_that_are_no_text_are_shown(run: Run, store: ClickHouse) -> None:
    put(store, "cart-events", event(1, email="ana@example.com", session_id="\x1b[31m\x9b\u202e"))
    put(store, "dead-letters", dead_letter(b"\xff\xfe ana@example.com \x1b"))
    done = run("export-person", "ana@example.com")
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    records = json.loads(done.stdout)["records"]
    assert records["cart_events"][0]["record"]["session_id"] == "\x1b[31m\x9b\u202e"
    assert len(records["dead_letters"]) == 1


def test_somebody_unknown_has_an_empty_document_and_nobody_is_refused(run: Run, store: ClickHouse) -> None:
    records = json.loads(run("export-person", "new@example.com").stdout)["records"]
    assert not any(records.values())
    assert isinstance(run("export-person", " ").exception, Rejected)
