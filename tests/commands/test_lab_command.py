"""`cartwake lab` on a real ClickHouse: figures that were worked out by hand, and nothing that leaves the process."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import sql
from cartwake.clock import rfc3339
from cartwake.errors import ConfigurationError
from cartwake.model import derived_id, person_id
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.sinks.records import HOUR, NOW, Kept, put

pytestmark = pytest.mark.stack

DAY = 24 * HOUR
T = (NOW // DAY - 5) * DAY  # midnight, five days ago; everything arrives now, so it takes its own time
DAYS = ("--from", rfc3339(T)[:10], "--to", rfc3339(T)[:10])
BEFORE = T - 2 * DAY
SHIRT = {"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99"}


def touch(name: str, at: float, kind: str = "cart.item_added", **more: Any) -> dict[str, Any]:
    """Something that happens to somebody's cart, `at` hours after midnight."""
    moment = T + round(at * HOUR)
    return {
        "event_id": f"{name}-{kind}-{at}", "type": kind, "shop_id": "main", "cart_id": f"c-{name}",
        "occurred_at": moment,
        "currency": "EUR", "email": f"{name}@example.com", "cart_url": f"https://shop.example.com/cart/c-{name}",
        **({"items": [SHIRT]} if kind == "cart.item_added" else {}), **more,
    }  # fmt: skip


def consented(name: str, at: int = BEFORE, **more: Any) -> dict[str, Any]:
    """Somebody agrees to mails at `at` (epoch ms)."""
    email = f"{name}@example.com"
    return {
        "event_id": f"{name}-consented", "type": "subscriber.consented", "shop_id": "main", "email": email,
        "subscriber_id": person_id(email), "occurred_at": at, **more,
    }  # fmt: skip


def rules(store: ClickHouse, **changes: Any) -> None:
    """The shop writes an hour after a cart was left, unless changed."""
    value = {"steps": [{"after": "1h"}], "enabled_at": NOW} | changes
    data = json.dumps({"shop_id": "main", "name": "reminders", "value": value}).encode()
    put(store, "settings", Kept(data, name=b"main/reminders"))


@pytest.fixture
def past(store: ClickHouse) -> ClickHouse:
    """Four carts of one day, and what was known of their people before it."""
    rules(store)
    put(store, "subscriber-events", consented("ana"), consented("bo"), consented("di"))
    put(
        store,
        "cart-events",
        touch("di", -20),  # left the day before: not counted
        touch("ana", 10),
        touch("bo", 10),
        touch("cy", 10),  # has not agreed
        touch("di", 10),
        touch("di", 11, "cart.viewed"),
        touch("bo", 12.5, "order.placed", order_id="o-1"),  # left at 12:00, a mail would leave at 13:00
        token="carts",
    )
    return store


def figures(run: Run, *words: str) -> dict[str, Any]:
    done = run("lab", *DAYS, *words, "--json")
    assert done.exit_code == 0, done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    del found["records_per_second"]
    return found


def test_both_sides_and_what_is_only_in_one(run: Run, past: ClickHouse) -> None:
    found = figures(run, "--set", "idle=45m")
    before, after = found["before"], found["after"]
    assert found["changes"] == [{"shop": "main", "setting": "carts.idle", "before": "2h", "after": "45m"}]
    assert (before["carts_left"], after["carts_left"]) == (4, 5), "di's cart is left twice"
    assert before["value_left"] == {"EUR": "199.90"}, "with what di had put in the day before"
    assert (before["messages"], after["messages"]) == (2, 3), "ana and di; bo as well"
    assert (before["people_written_to"], after["people_written_to"]) == (2, 3)
    assert (before["bought_before_message"], before["bought_after_message"]) == (1, 0)
    assert (after["bought_before_message"], after["bought_after_message"]) == (0, 1)
    assert before["steps"] == [
        {"step": 1, "channel": "email", "planned": 4, "recovered": 1, "sent": 2, "suppressed": 1}
    ]
    assert {(x["reason"], x["plans"]) for x in after["not_sent"]} == {("no_consent", 1), ("returned", 1)}
    assert found["only_old"]["carts"] == 0
    assert found["only_new"] == {
        "carts": 1, "people": 1, "value": {"EUR": "39.98"}, "bought": 1, "bought_within_a_day": 1,
        "bought_value": {"EUR": "39.98"}, "otherwise": [{"ending": "recovered", "reason": "bought", "carts": 1}],
    }  # fmt: skip
    assert found["both"] == {"carts": 2, "earlier": 2, "later": 0}


def test_the_carts_are_named_and_addresses_masked(run: Run, past: ClickHouse) -> None:
    asked = ("lab", *DAYS, "--set", "idle=45m", "--list", "only-new")
    [row] = [json.loads(line) for line in run(*asked, "--json").stdout.splitlines()]
    assert (row["cart_id"], row["to"]) == ("c-bo", "b***@example.com")
    assert (row["left_at"], row["message_at"]) == (rfc3339(T + 45 * HOUR // 4 - HOUR // 2), rfc3339(T + 47 * HOUR // 4))
    assert row["bought_at"] == rfc3339(T + 25 * HOUR // 2)
    assert (row["otherwise"], row["reason"]) == ("recovered", "bought")
    assert "bo@example.com" not in run(*asked).stdout
    assert "bo@example.com" in run(*asked, "--show-addresses").stdout
    assert run("lab", *DAYS, "--set", "idle=45m", "--list", "only-old").stdout == ""


def test_a_table_for_people_says_what_it_cannot_know(run: Run, past: ClickHouse) -> None:
    text = run("lab", *DAYS, "--set", "cap=2").stdout
    assert "main: reminders.cap: 1 → 2" in text
    assert "people written to                                      2               2" in text
    assert "Nothing was sent." in text


def test_the_same_again_whatever_was_inserted_twice(run: Run, past: ClickHouse) -> None:
    first = figures(run, "--set", "idle=45m")
    assert figures(run, "--set", "idle=45m") == first
    put(past, "cart-events", touch("ana", 10), touch("bo", 12.5, "order.placed", order_id="o-1"), token="again")
    assert figures(run, "--set", "idle=45m") == first


def test_what_the_stages_said_themselves_is_not_heard_again(store: ClickHouse) -> None:
    order = {"event_id": "o-1", "type": "order.placed", "order_id": "o-1", "email": "ana@example.com", "occurred_at": T}
    bought = consented("ana") | {"type": "subscriber.purchased", "order_id": "o-1"}
    put(store, "order-events", order)
    put(
        store,
        "subscriber-events",
        bought | {"event_id": derived_id("purchase", "o-1")},
        bought | {"event_id": "the shop's own"},
        consented("ana", forwarded_from="k-1"),
    )
    heard = [json.loads(row["raw"])["event_id"] for row in store.stream(sql.read("lab/events.sql"), {"shop": ""})]
    assert sorted(heard) == ["o-1", "the shop's own"]


def test_an_order_by_phone_counts_as_bought(run: Run, past: ClickHouse) -> None:
    order = {"event_id": "o-2", "type": "order.placed", "order_id": "o-2", "email": "ana@example.com"}
    put(past, "order-events", order | {"occurred_at": T + 12 * HOUR + HOUR // 2})
    found = figures(run, "--set", "steps.1.after=0s")
    assert (found["before"]["messages"], found["before"]["bought_before_message"]) == (1, 2)
    assert (found["after"]["messages"], found["after"]["bought_after_message"]) == (3, 2)


@pytest.fixture
def listeners() -> Iterator[dict[str, socket.socket]]:
    """Ports where Kafka, a relay and a gateway are said to be; who connects is seen."""
    found = {}
    for name in ("kafka", "smtp", "sms", "shop"):
        found[name] = socket.create_server(("127.0.0.1", 0))
        found[name].setblocking(False)
    yield found
    for listener in found.values():
        listener.close()


def test_nothing_leaves_and_nothing_live_is_touched(
    run: Run, past: ClickHouse, listeners: dict[str, socket.socket]
) -> None:
    places = {name: f"127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
    rules(
        past,
        cap=5,
        steps=[
            {"after": "1h", "offer": {"callback": f"https://{places['shop']}/codes"}},
            {"after": "1h", "channel": "sms"},
            {"after": "1h", "channel": "push"},
            {"after": "2d", "offer": {"pool": "welcome"}},
        ],
    )
    channels = {"granted": True, "channels": ["email", "sms", "push"]}
    browser = {"endpoint": f"https://{places['shop']}/push", "p256dh": "A" * 87, "auth": "A" * 22}
    put(
        past, "subscriber-events",
        consented("ana", BEFORE + 1, event_id="more", consent=channels, phone="+40721234567", push=browser),
    )  # fmt: skip
    counted = (
        "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() AND endsWith(name, '_log') "
        "ORDER BY name"
    )
    rows = past.query(counted)
    done = run(
        "lab", *DAYS, "--set", "cap=6", "--json", kafka_bootstrap=places["kafka"], smtp_relays=f"smtp://{places['smtp']}",
        sms_preset="twilio", sms_gateway=f"http://{places['sms']}", sms_account="a", sms_secret="secret",
        sms_sender="+15005550006", secret="", push_endpoints="any",
    )  # fmt: skip
    assert done.exit_code == 0, done.exception
    said = json.loads(done.stdout)["after"]["steps"]
    assert [(x["step"], x["channel"], x.get("sent", 0)) for x in said] == [
        (1, "email", 2), (2, "sms", 1), (3, "push", 1), (4, "email", 2)
    ]  # fmt: skip
    for name, listener in listeners.items():
        with pytest.raises(BlockingIOError):
            pytest.fail(f"{name}: {listener.accept()}")
    assert past.query(counted) == rows


def test_what_cannot_be_tried_is_said(run: Run, past: ClickHouse) -> None:
    def refusal(*words: str) -> str:
        error = run("lab", *words).exception
        assert isinstance(error, ConfigurationError)
        return str(error)

    assert "is before --from" in refusal("--from", "2026-11-02", "--to", "2026-11-01")
    assert f"there are events from {rfc3339(T - DAY * 2)[:10]}" in refusal("--from", "2001-01-01", "--to", "2001-01-02")
    assert "no events of shop 'none'" in refusal(*DAYS, "--shop", "none")
    assert "Did you mean carts.idle" in refusal(*DAYS, "--set", "idel=1h")
    assert "idle must be 30m" in refusal(*DAYS, "--set", "idle=1m")
