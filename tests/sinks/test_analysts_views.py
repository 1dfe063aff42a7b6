"""Devices, persons, wishlists, orders, customers and carts as analysts ask for them, from the events alone."""

from decimal import Decimal
from typing import Any

import pytest

from cartwake.clock import rfc3339
from cartwake.model import decode_cart, encode
from sinks.clickhouse import ClickHouse, Row
from streams.carts import Cart, fold
from tests.sinks.records import NOON, NOW, event, match, put

pytestmark = pytest.mark.stack
MINUTE = 60_000


def one(client: ClickHouse, view: str) -> Row:
    """The only row of a view."""
    [row] = client.query(f"SELECT * FROM {view}")
    return row


def seen(number: int, kind: str = "identified", **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"v{number}",
        "type": f"device.{kind}",
        "shop_id": "main",
        "device_id": "d1",
        "subscriber_id": "p-ana",
        "how": "login",
        "occurred_at": rfc3339(NOON + number * MINUTE),
    } | changes


def said(number: int, kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"s{number}",
        "type": f"subscriber.{kind}",
        "shop_id": "main",
        "subscriber_id": "p-ana",
        "occurred_at": rfc3339(NOON + number * MINUTE),
    } | changes


def ordered(number: int, kind: str = "placed", order: str = "o-1", **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"o{number}",
        "type": f"order.{kind}",
        "shop_id": "main",
        "order_id": order,
        "subscriber_id": "p-ana",
        "currency": "EUR",
        "occurred_at": rfc3339(NOON + number * MINUTE),
    } | changes


# -- devices and persons -----------------------------------------------------------------------------------------
def test_a_device_shows_the_person_seen_last_and_how_many_share_it(client: ClickHouse) -> None:
    put(client, "device-events", seen(1), seen(2, subscriber_id="p-bo", how="link"), seen(1))
    row = one(client, "devices")
    assert (row["subscriber_id"], row["how"], row["persons"], row["unlinked"]) == ("p-bo", "link", 2, 0)
    assert (rfc3339(int(row["first_seen_at"].timestamp() * 1000))) == rfc3339(NOON + MINUTE)


def test_a_person_that_was_unlinked_is_not_on_the_device_any_more(client: ClickHouse) -> None:
    put(client, "device-events", seen(3, "unlinked", subscriber_id="p-bo"), seen(1), seen(2, subscriber_id="p-bo"))
    row = one(client, "devices")
    assert (row["subscriber_id"], row["persons"], row["unlinked"]) == ("p-ana", 1, 1)


def test_a_person_has_what_was_said_last(client: ClickHouse) -> None:
    late = said(1, "updated", name="Ana", locale="en", phone="+49 170 1234567", groups=["vip"])
    put(client, "subscriber-events", said(2, "updated", locale="de", groups=[]), late)
    row = one(client, "persons")
    assert (row["name"], row["locale"], row["phone"], row["groups"]) == ("Ana", "de", "+49 170 1234567", [])
    assert row["erased_at"] is None


@pytest.mark.parametrize(
    ("events", "email", "sms"),
    [
        ([said(1, "updated")], "", ""),
        ([said(1, "consented")], "yes", ""),
        ([said(1, "consented", consent={"granted": True, "channels": ["sms"]})], "", "yes"),
        ([said(1, "consented", channels=["sms", "email"])], "yes", "yes"),
        ([said(1, "updated", consent=True), said(2, "updated", consent=False)], "no", ""),
        ([said(2, "withdrawn"), said(1, "consented")], "no", "no"),
        ([said(1, "withdrawn", channels=["sms"]), said(2, "consented")], "yes", "no"),
        ([said(1, "consented"), said(2, "withdrawn"), said(3, "consented")], "yes", "no"),
        ([said(1, "withdrawn"), said(2, "updated", consent=True)], "no", "no"),
        ([said(1, "withdrawn"), said(1, "consented")], "no", "no"),
    ],
)
def test_consent_is_the_last_word_and_only_the_persons_own_yes_lifts_a_no(
    client: ClickHouse, events: list[dict[str, Any]], email: str, sms: str
) -> None:
    put(client, "subscriber-events", *events)
    row = one(client, "persons")
    assert (row["email_consent"], row["sms_consent"]) == (email, sms)


def test_a_box_ticked_at_the_checkout_is_a_consent(client: ClickHouse) -> None:
    put(client, "subscriber-carts", match(consent={"granted": True, "basis": "checkbox"}))
    assert one(client, "persons")["email_consent"] == "yes"


def test_two_ids_of_one_person_are_one_row(client: ClickHouse) -> None:
    other = said(1, "updated", subscriber_id="77", name="Ana")
    forwarded = other | {"event_id": "f1", "subscriber_id": "p-ana", "forwarded_from": "77"}
    put(client, "subscriber-events", other, forwarded)
    assert one(client, "persons")["subscriber_id"] == "p-ana"


# -- wishlists, orders, customers --------------------------------------------------------------------------------
def wish(number: int, *items: dict[str, Any]) -> dict[str, Any]:
    return event(number, type="wishlist.updated", cart_id="w1", items=list(items))


def test_a_wishlist_is_as_its_last_event_says(client: ClickHouse) -> None:
    shirt, cap = {"sku": "A1", "price": "19.99"}, {"sku": "B2", "quantity": 2, "price": "5.00"}
    put(client, "cart-events", wish(2, shirt, cap), wish(1, shirt), event(3))
    row = one(client, "wishlists")
    assert (row["wishlist_id"], row["units"], row["value"]) == ("w1", 3, Decimal("29.99"))
    assert [x["sku"] for x in row["items"]] == ["A1", "B2"]


def test_the_history_of_orders_has_both_topics_each_event_once(client: ClickHouse) -> None:
    placed = event(1, type="order.placed", order_id="o-1", total="39.98", code="BACK10")
    put(client, "cart-events", placed, event(2))
    put(client, "cart-events", placed)
    put(client, "order-events", ordered(3, "paid"), ordered(4, "message", text="Where is it?"), ordered(3, "paid"))
    rows = client.query("SELECT * FROM order_history WHERE order_id = 'o-1' ORDER BY occurred_at")
    assert [x["type"] for x in rows] == ["order.placed", "order.paid", "order.message"]
    assert (rows[0]["total"], rows[0]["code"], rows[0]["cart_id"]) == (Decimal("39.98"), "BACK10", "c1")
    assert rows[2]["text"] == "Where is it?"


def test_a_customer_has_orders_and_money_by_currency(client: ClickHouse) -> None:
    put(client, "subscriber-events", said(1, "updated", email="ana@example.com", name="Ana"))
    put(client, "subscriber-events", *(said(x + 10, "purchased", order_id=f"o-{x}") for x in (1, 2, 3)))
    put(client, "order-events", ordered(2, total="10"), ordered(3, order="o-2", total="5", currency="CHF"))
    put(client, "order-events", ordered(4, order="o-3", total="7"), ordered(5, "cancelled", order="o-3"))
    put(client, "order-events", ordered(6, "refunded", total="2"), ordered(2, total="10"))
    row = one(client, "customers")
    assert (row["email"], row["name"], row["kind"]) == ("ana@example.com", "Ana", "returning")
    assert (row["orders"], row["cancelled"]) == (2, 1)
    assert row["spent"] == {"EUR": Decimal(8), "CHF": Decimal(5)}


# -- current carts -----------------------------------------------------------------------------------------------
SHIRT, CAP = {"sku": "A1", "quantity": 2, "price": "19.99"}, {"sku": "B2", "price": "5.00"}
CARTS = [
    [event(1, items=[SHIRT]), event(2, items=[CAP, CAP])],
    [event(1, items=[SHIRT]), event(2, type="cart.updated", items=[CAP])],
    [event(1, items=[SHIRT, CAP]), event(2, type="cart.item_removed", items=[{"sku": "A1", "quantity": 1}])],
    [event(1, items=[SHIRT, CAP]), event(2, type="cart.item_removed", items=[{"sku": "A1"}])],
    [event(1, items=[SHIRT]), event(2, type="cart.item_removed", items=[{"sku": "A1", "quantity": 9}])],
    [
        event(1, items=[CAP]),
        event(2, type="cart.item_removed", items=[{"sku": "B2", "quantity": 5}]),
        event(3, items=[CAP]),
    ],
    [event(1, items=[SHIRT]), event(2, type="cart.cleared", items=[])],
    [event(1, items=[SHIRT]), event(2, type="cart.cleared", items=[]), event(3, items=[CAP])],
    [event(1, items=[SHIRT]), event(2, type="order.placed", items=[], order_id="o"), event(3, items=[CAP])],
    [event(1, items=[SHIRT]), event(2, type="cart.merged", items=[], into_cart_id="c2")],
    [event(1, items=[SHIRT]), event(2, items=[{"sku": "A1", "price": "18.00"}])],
    [event(1, items=[SHIRT]), event(2, type="checkout.step", step="payment", items=[])],
    [
        event(1, items=[SHIRT]),
        event(2, type="checkout.step", step="payment", items=[]),
        event(3, type="order.placed", items=[], order_id="o"),
        event(4, items=[CAP]),
    ],
    [event(1, type="cart.viewed", items=[])],
    [event(1, items=[SHIRT], email="a@example.com", cart_url="https://shop.example.com/c"), event(1, items=[SHIRT])],
]


@pytest.mark.parametrize("events", CARTS)
def test_a_cart_is_now_what_the_rules_of_stage_1_make_of_it(client: ClickHouse, events: list[dict[str, Any]]) -> None:
    cart = Cart("main", cart_id="c1")
    for offset, sent in enumerate(events):
        read, at = decode_cart(encode(sent))
        fold(cart, read, at=at, offset=offset, idle=7_200_000)
    put(client, "cart-events", *events)
    put(client, "cart-events", *events)  # once more, as after a crash
    rows = client.query("SELECT * FROM current_carts")
    if not cart.lines:
        assert rows == []
        return
    [row] = rows
    lines = {x["sku"]: (x["quantity"], x["price"]) for x in row["items"]}
    assert lines == {x.sku: (x.quantity, x.price and Decimal(x.price)) for x in cart.lines.values()}
    assert row["units"] == sum(x.quantity or 0 for x in cart.lines.values())
    assert row["value"] == sum((x.quantity or 0) * Decimal(x.price or 0) for x in cart.lines.values())
    assert row["stage"] == (cart.stage or "cart")
    assert (row["email"], row["cart_url"]) == (cart.email or "", cart.cart_url or "")
    assert row["last_activity"].timestamp() * 1000 == cart.last_activity


def test_a_clock_that_is_ahead_counts_as_the_time_of_arrival(client: ClickHouse) -> None:
    put(client, "cart-events", event(1, occurred_at=rfc3339(NOW + 600_000)))
    assert one(client, "current_carts")["last_activity"].timestamp() * 1000 == NOW


def test_contents_are_sure_when_an_event_said_the_whole_cart(client: ClickHouse) -> None:
    put(client, "cart-events", event(1), event(2, cart_id="c2", type="cart.updated"))
    rows = client.query("SELECT cart_id, sure FROM current_carts ORDER BY cart_id")
    assert [(x["cart_id"], x["sure"]) for x in rows] == [("c1", False), ("c2", True)]
