"""Records are cut as they are written and given back byte by byte, also those from before they were cut."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sql
from sinks.clickhouse import ClickHouse
from sinks.migrate import fill, migrate, migrations, statements
from tests.sinks.records import NOON, Kept, event, put

pytestmark = pytest.mark.stack

MARK = "\ue000"
ITEM = {"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99", "category": "shirts"}
#: Every value that has a column, some of them equal, some with marks in them, some written otherwise than usual.
FULL = event(1, session_id="s-1", cart_url="https://shop.example.com/cart/c1", customer_id="d1") | {
    "items": [ITEM, ITEM | {"sku": "B"}]
}
RECORDS: list[bytes] = [
    json.dumps(x, **how).encode() if isinstance(x, dict) else x
    for x, how in (
        (FULL, {}),
        (FULL, {"separators": (",", ":")}),
        (FULL, {"indent": 2}),
        (dict(reversed(FULL.items())), {}),
        (FULL | {"occurred_at": NOON}, {}),
        (FULL | {"occurred_at": str(NOON)}, {}),
        (FULL | {"occurred_at": NOON, "x": f"{NOON}", "y": NOON}, {}),
        (FULL | {"occurred_at": "2026-11-23T12:00:00Z"}, {}),
        (FULL | {"occurred_at": "2026-11-23T12:00:00.000000Z"}, {}),
        (FULL | {"occurred_at": "2026-11-23T13:00:00.120+01:00"}, {}),
        (FULL | {"occurred_at": "no time"}, {}),
        (FULL | {"cart_id": "", "session_id": ""}, {}),
        (FULL | {"device_id": "c1", "session_id": "c1", "shop_id": "c1"}, {}),
        (FULL | {"session_id": 'a"b\\c\n', "device_id": "Grüße 🧦"}, {}),
        (FULL | {"session_id": 'a"b\\c\n', "device_id": "Grüße 🧦"}, {"ensure_ascii": False}),
        (FULL | {"session_id": MARK, "x": MARK}, {"ensure_ascii": False}),
        (FULL | {"session_id": MARK, "device_id": f'"{MARK}"', "cart_url": "\ue001", "cart_id": "\ue007"}, {}),
        (FULL | {"items": [ITEM | {"price": 19.9}, ITEM | {"price": "5"}, ITEM | {"price": "0.001"}]}, {}),
        (FULL | {"items": []}, {}),
        (FULL | {"items": [{}, {"sku": ""}]}, {}),
        (FULL | {"items": "none", "total": [1], "x": {"event_id": "e1", "type": "cart.item_added"}}, {}),
        (b'\t{"type":"x","event_id":"x","cart_id":"x","x":"x"}\r\n', {}),
        (b'{"event_id":"e","type":"t","event_id":"f","cart_id":null,"y":"\\ue000"}', {}),
    )
]


def given_back(client: ClickHouse) -> list[bytes]:
    return [x["record"].encode() for x in client.query("SELECT record FROM cart_events_log ORDER BY kafka_offset")]


def test_every_record_is_given_back_as_it_came(client: ClickHouse) -> None:
    put(client, "cart-events", *(Kept(x, at=n) for n, x in enumerate(RECORDS)))
    assert given_back(client) == RECORDS
    shown = client.query("SELECT event_id, raw FROM cart_events WHERE event_id = 'x'")
    assert shown == [{"event_id": "x", "raw": RECORDS[-2].decode()}]


def test_what_is_kept_says_no_value_twice_and_is_json(client: ClickHouse) -> None:
    for how in ({}, {"separators": (",", ":")}, {"indent": 2}):
        put(client, "cart-events", json.dumps(FULL | {"items": [ITEM, {"sku": "B2"}]}, **how).encode())
    for row in client.query("SELECT cut, raw FROM cart_events_log"):
        assert row["cut"]
        assert not any(x in row["raw"] for x in ("e1", "2026-", "Blue", "19.99", "https", "item_added", "B2"))
        assert set(json.loads(row["raw"])) == set(FULL)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    [MARK, "\ue001", "c1", '"', "\\"]
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["session_id", "device_id", "cart_id", "cart_url", "x", "step"]), TEXT),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
)
def test_whatever_stands_in_a_record_it_is_given_back(
    client: ClickHouse, said: list[dict[str, Any]], ascii_: bool
) -> None:
    client.execute("TRUNCATE TABLE cart_events_log")
    records = [json.dumps(FULL | x, ensure_ascii=ascii_).encode() for x in said]
    put(client, "cart-events", *(Kept(x, at=n) for n, x in enumerate(records)))
    assert given_back(client) == records


def test_rows_from_before_are_all_there_and_the_migration_can_be_repeated(empty: ClickHouse) -> None:
    files = migrations()
    migrate(empty, retention_days=90, files=[x for x in files if x.number < 12])
    for offset, record in enumerate((*RECORDS, RECORDS[0])):
        empty.execute(
            "INSERT INTO cart_events_log (event_id, type, shop_id, cart_id, raw, kafka_offset, received_at) "
            "VALUES ({id:String}, 't', 'main', 'c', {raw:String}, {offset:UInt64}, now64(3))",
            {"id": f"e{offset}", "raw": record.decode(), "offset": offset},
        )
    migrate(empty, retention_days=90, files=files)
    [storage] = [x for x in files if x.number == 12]
    for statement in statements(storage.text):
        empty.execute(fill(statement, {"database": empty.database, "retention_days": "90"}))
    assert given_back(empty) == [*RECORDS, RECORDS[0]]
    put(empty, "cart-events", Kept(RECORDS[1], at=10_000))
    assert given_back(empty)[-1] == RECORDS[1]
    empty.execute(f"OPTIMIZE TABLE {empty.database}.cart_events_log FINAL")
    assert given_back(empty) == [*RECORDS, RECORDS[0], RECORDS[1]]


def test_a_sink_of_the_version_before_may_go_on_writing(client: ClickHouse) -> None:
    columns = "event_id, type, shop_id, cart_id, raw, kafka_partition, kafka_offset, received_at"
    client.execute(
        f"INSERT INTO cart_events_log ({columns}) VALUES ('e1', 't', 'main', 'c', {{raw:String}}, 0, 1, now64(3))",
        {"raw": RECORDS[0].decode()},
    )
    assert given_back(client) == [RECORDS[0]]


def test_schema_and_ingest_use_the_same_marks() -> None:
    written, read = sql.read("ingest/cart_events.sql"), sql.read("schema/012_storage.sql")
    for number in (*range(9), *range(10, 16)):
        mark = f"'\"\\xEE\\x80\\x{0x80 + number:02X}\"'"
        assert mark in written, number
        assert mark in read, number
