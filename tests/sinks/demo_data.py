"""A shop's day in a database without a pipeline: the demo's own events, and what the stages would have said of some."""

from collections import defaultdict
from typing import Any

from cartwake.clock import rfc3339
from cartwake.demo.show import products_of
from cartwake.demo.story import Heard, tell
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse
from tests.sinks.records import DEAD, HOUR, NOON, Kept, dead_letter, event, match, message, outcome, put

DUE = {"due_at": rfc3339(NOON), "channel": "email", "step": 1}


def fill(client: ClickHouse) -> None:
    """Fill every view with something."""
    heard: dict[str, list[Kept]] = defaultdict(list)
    story = tell(end=NOON, products=products_of(Settings()), shop_url="https://shop.example.com")
    for number, record in enumerate(story.heard):
        heard[record.topic.name].append(_kept(record, number))
    for topic, records in heard.items():
        put(client, topic, *records)
    put(client, "cart-outcomes", *(outcome(number=x, shop_id="demo") for x in range(1, 8)))
    put(client, "cart-outcomes", outcome("recovered", 2, 1, shop_id="demo", order_id="o-7", value="39.98"))
    put(client, "subscriber-carts", *(match(number=x, shop_id="demo") for x in range(1, 6)))
    put(client, "subscriber-events", _said("purchased", order_id="o-7"), _said("updated", name="Ana", locale="de"))
    put(client, "messages", *(_message(kind, minute) for minute, kind in enumerate(("planned", "sent", "opened"), 1)))
    put(
        client,
        "messages",
        _message("clicked", 4),
        _message("suppressed", 2, plan="plan2", number=2, reason="quiet_hours"),
    )
    bought = event(900, type="order.placed", cart_id="c1", order_id="o-7", total="39.98", shop_id="demo")
    put(client, "cart-events", bought, event(901, shop_id="demo", campaign="autumn"))
    put(client, "cart-events", event(902, shop_id="demo", type="wishlist.updated", cart_id="w-1"))
    put(client, "order-events", _ordered("paid"), _ordered("message", text="Where is it?"))
    put(client, DEAD, dead_letter(b"{"))


def _kept(record: Heard, number: int) -> Kept:
    return Kept(record.value, name=record.key.encode(), at=number)


def _said(kind: str, **changes: Any) -> dict[str, Any]:
    at = rfc3339(NOON + 20 * HOUR)
    named = {"subscriber_id": "p-ana", "email": "ana@example.com"}
    return (
        {"event_id": f"s-{kind}", "type": f"subscriber.{kind}", "shop_id": "demo", "occurred_at": at} | named | changes
    )


def _message(kind: str, minute: int, **changes: Any) -> dict[str, Any]:
    return message(kind, minute, shop_id="demo", words="In words.", **(DUE | changes))


def _ordered(kind: str, **changes: Any) -> dict[str, Any]:
    at = rfc3339(NOON + 21 * HOUR)
    return {
        "event_id": f"o-{kind}",
        "type": f"order.{kind}",
        "shop_id": "demo",
        "order_id": "o-7",
        "occurred_at": at,
    } | changes
