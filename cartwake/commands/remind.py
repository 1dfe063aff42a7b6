"""`cartwake remind CART_ID`: ask for a reminder now, as the console's button does, and wait for its outcome."""

import sys
import time
import uuid
from typing import TYPE_CHECKING

import click

from cartwake import settings as settings_file
from cartwake.errors import CartwakeError, Rejected

if TYPE_CHECKING:
    from sinks.carts import Carts
    from sinks.rows import CartRow

_PATIENCE_S = 15.0
_POLL_S = 0.25
_PENDING = ("planned", "sending")
_SENT = ("sent", "opened", "clicked")


@click.command("remind")
@click.argument("cart_id")
@click.option("--shop", default="main", show_default=True, help="the cart's shop")
def command(cart_id: str, shop: str) -> None:
    """Write to the person of the abandoned cart CART_ID now, and say what became of it."""
    from cartwake.broker import ensure_topics
    from cartwake.clock import SystemClock, to_datetime
    from cartwake.model import SubscriberEvent, encode
    from cartwake.publish import Publisher
    from cartwake.topics import SUBSCRIBER_EVENTS
    from console.cart import why_no_reminder
    from local.stack import embedded
    from sinks.carts import Carts
    from sinks.clickhouse import ClickHouse

    with (
        embedded(settings_file.load(), kafka=True, clickhouse=True, say=_say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        carts = Carts(store)
        row = latest(carts, cart_id, shop)
        if reason := why_no_reminder(row):
            raise Rejected(reason)
        ensure_topics(settings, say=_say, patience=5)
        request_id = str(uuid.uuid4())
        event = SubscriberEvent(
            event_id=request_id,
            type="subscriber.reminder_requested",
            shop_id=row.shop_id,
            subscriber_id=row.subscriber_id,
            occurred_at=to_datetime(SystemClock().now_ms()),
            cart_id=row.cart_id,
            request_id=request_id,
            requested_by="command line",
        )
        with Publisher(settings) as publisher:
            publisher.send_and_wait(SUBSCRIBER_EVENTS, row.subscriber_id, encode(event))
        _say(f"asked for a reminder of cart {row.cart_id}; waiting for its outcome")
        sys.stdout.write(_outcome(carts, request_id) + "\n")


def latest(carts: "Carts", cart_id: str, shop: str) -> "CartRow":
    """The cart's newest abandonment; raises Rejected when it has none."""
    cursor = None
    while True:
        page = carts.page(shop=shop, search=cart_id, cursor=cursor, limit=500)
        for row in page.rows:
            if row.cart_id == cart_id:
                return row
        if (cursor := page.next) is None:
            raise Rejected(
                f"no abandoned cart {cart_id!r} in shop {shop!r}. Name its shop with --shop, and look for carts in "
                "the console; a cart that was just left may not be there yet"
            )


def _outcome(carts: "Carts", request_id: str) -> str:
    """The outcome in words when the mail was sent; raises Rejected with them when not."""
    from console import words

    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        status, why = carts.request_result(request_id) or ("planned", "")
        if status in _SENT:
            return f"sent: {words.explained(status, why)}"
        if status not in _PENDING:
            raise Rejected(f"{status}: {words.explained(status, why)}")
        time.sleep(_POLL_S)
    raise CartwakeError(
        f"no outcome within {_PATIENCE_S:.0f} s. The request is in Kafka and is answered when the roles `reminders` "
        "and `sink` are at work: cartwake doctor"
    )


def _say(words: str) -> None:
    click.echo(words, err=True)
