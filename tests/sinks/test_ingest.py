"""Records into tables: each id once, and no record stops an insert."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import sql
from cartwake.clock import to_datetime
from cartwake.topics import ALL, WATERMARK
from sinks.clickhouse import ClickHouse
from sinks.columns import Rows, gather, strings
from sinks.offers import fingerprint
from tests.sinks.records import DEAD, NOW, Kept, dead_letter, event, match, message, outcome, put, rows

pytestmark = pytest.mark.stack


def raw(**fields: Any) -> bytes:
    return json.dumps(event() | fields).encode()


def only(client: ClickHouse, table: str) -> dict[str, Any]:
    [found] = client.query(f"SELECT * FROM {table}")
    return found


def test_event_becomes_columns_and_keeps_what_has_none(client: ClickHouse) -> None:
    put(client, "cart-events", raw(total=5, colour="blue", occurred_at=1_795_435_200_120))
    found = only(client, "cart_events")
    assert found["occurred_at"] == datetime(2026, 11, 23, 12, 0, 0, 120_000, tzinfo=UTC)
    assert found["received_at"] == to_datetime(NOW)
    assert found["total"] == Decimal(5)
    assert found["items"][0]["price"] == Decimal("19.99")
    assert found["items"][0]["quantity"] == 2
    assert json.loads(found["raw"])["colour"] == "blue"


def test_repeated_insert_is_dropped_by_its_token(client: ClickHouse) -> None:
    statement, body = sql.read("ingest/cart_events.sql"), rows("cart-events", [event(1), event(2)])
    for _ in range(3):
        client.insert(statement, body, token="one")
    assert client.command(f"SELECT count() FROM {client.database}.cart_events_log") == 2
    client.insert(statement, body, token="another")
    assert client.command(f"SELECT count() FROM {client.database}.cart_events_log") == 4


def test_id_is_shown_once_and_the_first_one_stays(client: ClickHouse) -> None:
    first, second = Kept(raw(step="first"), at=5), Kept(raw(step="second", occurred_at=0), at=6)
    put(client, "cart-events", second)
    put(client, "cart-events", first)
    put(client, "cart-events", second)
    assert only(client, "cart_events")["step"] == "first"


HOSTILE: list[bytes] = [
    raw(event_id="nul", session_id="a\0b"),
    raw(event_id="2^63", occurred_at=2**63, total=2**63),
    raw(event_id="2^64", occurred_at=2**64, total=2**70, items=[{"sku": "A", "quantity": 2**64, "price": 2**80}]),
    raw(event_id="types", shop_id=[1], cart_id={"a": 1}, items={"sku": 1}, occurred_at=[], total={}, email=5),
    raw(event_id="items", items=[None, 5, "x", [], {"sku": None, "quantity": "2", "price": True}]),
    raw(event_id="many", items=[{"sku": f"s{i}"} for i in range(10_000)]),
    raw(event_id="10000", occurred_at="10000-01-01T00:00:00Z"),
    raw(event_id="9999", occurred_at="9999-12-31T23:59:59Z"),
    raw(event_id="before", occurred_at=-1),
    raw(event_id="text", occurred_at="yesterday", total="NaN"),
    raw(event_id="unknown").replace(b'"d1"', b'"d1", "x": 1e400, "y": [-' + b"9" * 400 + b"]"),
    raw(event_id="bytes").replace(b'"d1"', b'"d1", "x": "\xff\xfe"'),
    raw(event_id="deep").replace(b'"d1"', b'"d1", "x": ' + b"[" * 900 + b"]" * 900),
    raw(event_id="e" * 100_000),
]
NO_EVENTS: list[bytes] = [
    b"{", b"[]", b"null", b"5", b'"x"', b"\0", b"\xff", b'["e1", "cart.updated"]', b'{"type": "cart.updated"}',
    b'{"event_id": "e1"}', b'{"event_id": "e1", "type": NaN}', raw()[:-1], b"\xef\xbb\xbf" + raw(), raw() + b"x",
    raw().replace(b'"d1"', b'"\\ud800"'), raw().replace(b'"d1"', b"[" * 10_000 + b"]" * 10_000),
]  # fmt: skip


@pytest.mark.parametrize("topic", [x.name for x in ALL if x.name != DEAD])
def test_no_record_stops_an_insert(client: ClickHouse, topic: str) -> None:
    hostile = [x.replace(b'"event_id"', b'"outcome_id"') for x in HOSTILE]
    put(client, topic, *HOSTILE, *NO_EVENTS, *hostile, json.dumps(event(99)).encode())


def test_hostile_records_are_kept_and_wrong_fields_become_empty(client: ClickHouse) -> None:
    put(client, "cart-events", *HOSTILE, *NO_EVENTS)
    found = {x["event_id"]: x for x in client.query("SELECT *, length(items) AS n FROM cart_events")}
    assert set(found) == {json.loads(x.decode(errors="replace"))["event_id"] for x in HOSTILE}
    assert found["types"]["items"] == []
    assert found["types"]["total"] is None
    assert found["nul"]["session_id"] == "a\0b"
    assert found["many"]["n"] == 10_000
    for name in ("2^63", "2^64", "types", "10000", "9999", "before", "text"):
        assert found[name]["occurred_at"] == to_datetime(NOW), name
    assert found["text"]["total"] is None


def test_watermarks_and_empty_values_are_no_rows() -> None:
    found = Rows()
    marked = Kept(b"{}", said=[(WATERMARK, b"1")], at=1)
    gather("cart-events")(found, [marked, Kept(None, at=2), Kept(b"", at=3), Kept(b"{}", said=[("other", b"1")], at=4)])
    assert found.offsets == [4]
    assert found.size > 0


def test_strings_have_their_length_before_them() -> None:
    for size, head in ((0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (16_384, b"\x80\x80\x01")):
        assert strings([b"x" * size, b"y"]) == head + b"x" * size + b"\x01y"


def test_dead_letter_keeps_its_bytes_and_where_it_came_from(client: ClickHouse) -> None:
    value = bytes(range(256))
    put(client, DEAD, dead_letter(value), dead_letter(value), Kept(None, name=None, at=4))
    found = client.query(
        "SELECT topic, source_partition, source_offset, stage, reason, hex(value) FROM dead_letters ORDER BY topic"
    )
    assert [tuple(x.values()) for x in found] == [
        ("", 0, 4, "", "", ""),
        ("cart-events", 3, 7, "carts", "not JSON", value.hex().upper()),
    ]


def test_newest_setting_counts_and_a_deletion_stays(client: ClickHouse) -> None:
    put(client, "settings", Kept(b'{"shop_id":"main","name":"idle","value":60}', b"main/idle", at=1))
    put(client, "settings", Kept(b'{"shop_id":"main","name":"idle","value":{"m":90}}', b"main/idle", at=2))
    put(client, "settings", Kept(None, b"main/a/b", at=3))
    found = {x["name"]: (x["shop_id"], x["value"], x["deleted"]) for x in client.query("SELECT * FROM settings")}
    assert found == {"idle": ("main", '{"m":90}', False), "a/b": ("main", "", True)}


def test_a_person_s_channels_become_columns_and_the_keys_of_a_browser_do_not(client: ClickHouse) -> None:
    push = {"endpoint": "https://push.example.com/1", "p256dh": "P" * 87, "auth": "A" * 22}
    told = {"phone": "+49 170 1234567", "time_zone": "Europe/Berlin", "groups": ["vip", "b2b"], "channels": ["sms"]}
    more = {"push": push, "push_gone": "https://push.example.com/0", "message": "Hello"}
    said = {"event_id": "1", "type": "subscriber.updated", "subscriber_id": "p-ana", "occurred_at": NOW}
    put(client, "subscriber-events", said | told | more)
    found = only(client, "subscriber_events")
    assert {x: found[x] for x in told} == told
    assert (found["push"], found["push_gone"], found["message"]) == (push["endpoint"], more["push_gone"], "Hello")
    assert [x for x, value in found.items() if push["auth"] in str(value)] == ["raw"]


def test_step_offer_and_machine_of_a_message_become_columns(client: ClickHouse) -> None:
    told = {
        "step": 2,
        "template": "cart",
        "variant": "b",
        "code": "SAVE-7",
        "url": "https://shop.example/c",
        "machine": True,
    }
    put(client, "messages", message("clicked", **told), message("clicked", 2, step="two", machine="yes", code=5))
    first, second = client.query("SELECT * FROM messages ORDER BY message_id")
    assert {x: first[x] for x in told} == told
    assert (second["step"], second["machine"]) == (0, False)


def test_a_code_is_counted_in_its_pool_and_is_nowhere_to_be_read(client: ClickHouse) -> None:
    def added(code: str, pool: str = "spring", **changes: Any) -> dict[str, Any]:
        return {"shop_id": "main", "pool": pool, "code": code} | changes

    put(client, "offer-codes", added("SAVE-1"), added("SAVE-2"), added("SAVE-1"), added("SAVE-1", shop_id="other"))
    put(client, "offer-codes", added(""), added("x", pool=""), added("x" * 101), b'"SAVE-3"', b'{"code": "SAVE-4"}')
    put(client, "messages", message("sent", code="SAVE-2"), message("suppressed", plan="p2", code="SAVE-1"))
    put(client, "messages", message("uncertain", plan="p3", code="SAVE-1", shop_id="other"))
    found = client.query("SELECT shop_id, fingerprint, given_at IS NOT NULL AS given FROM offer_codes")
    assert {(x["shop_id"], x["fingerprint"], x["given"]) for x in found} == {
        ("main", fingerprint("main", "SAVE-1"), 0),
        ("main", fingerprint("main", "SAVE-2"), 1),
        ("other", fingerprint("other", "SAVE-1"), 1),
    }
    assert len(found) == 3
    assert "SAVE" not in str(client.query("SELECT * FROM offer_codes_log"))


def test_every_stage_record_fills_its_table(client: ClickHouse) -> None:
    put(client, "cart-outcomes", outcome())
    put(client, "subscriber-carts", match())
    put(client, "messages", message("sent", to="ana@example.com", subject="Hi", text="…", html="<p>"))
    assert only(client, "cart_outcomes")["value"] == Decimal("39.98")
    assert only(client, "subscriber_carts")["abandonment_id"] == "a1"
    assert only(client, "subscriber_carts")["evidence_words"] == "p-ana logged in"
    assert only(client, "messages")["to"] == "ana@example.com"
