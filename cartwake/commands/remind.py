"""`cartwake remind CART_ID …`: ask for reminders now, as the console's button does, and wait for their outcomes."""

import sys
import time
import uuid
from typing import TYPE_CHECKING

import click

from cartwake import settings as settings_file
from cartwake.errors import CartwakeError, Rejected

if TYPE_CHECKING:
    from cartwake.publish import Publisher
    from sinks.carts import Carts
    from sinks.rows import CartRow

_PATIENCE_S = 15.0
_POLL_S = 0.25
_PENDING = ("planned", "held", "sending")
_SENT = ("sent", "opened", "clicked")


@click.command("remind")
@click.argument("cart_ids", nargs=-1, required=True)
@click.option("--shop", default="main", show_default=True, help="the carts' shop")
@click.option("--text", help="own words instead of the template's introduction: at most 2,000 characters in 60 lines")
def command(cart_ids: tuple[str, ...], shop: str, text: str | None) -> None:
    """Write to the person of each abandoned cart CART_IDS now, and say what became of it; `-` reads them from input.

    Of several carts, 100 at most, each has its line, and the exit code is 1 when a reminder was not sent.
    """
    from cartwake.broker import ensure_topics
    from cartwake.publish import Publisher
    from console.asking import MOST_AT_ONCE
    from local.stack import embedded
    from sinks.carts import Carts
    from sinks.clickhouse import ClickHouse

    wanted = list(dict.fromkeys(sys.stdin.read().split() if cart_ids == ("-",) else cart_ids))
    if len(wanted) > MOST_AT_ONCE:
        raise Rejected(f"{len(wanted):,} carts are too many at once; at most {MOST_AT_ONCE}: `xargs -n {MOST_AT_ONCE}`")
    said = _own_words(text)
    with (
        embedded(settings_file.load(), kafka=True, clickhouse=True, say=_say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        carts = Carts(store)
        ensure_topics(settings, say=_say, patience=5)
        with Publisher(settings) as publisher:
            asked = {cart_id: _ask(carts, publisher, cart_id, shop, said) for cart_id in wanted}
        _say(f"asked for {sum(isinstance(x, str) for x in asked.values())}; waiting for the answer")
        until = time.monotonic() + _PATIENCE_S
        ends = {cart_id: _outcome(carts, request, until) for cart_id, request in asked.items()}
    if len(ends) == 1 and isinstance(end := next(iter(ends.values())), CartwakeError):
        raise end
    for cart_id, end in ends.items():
        sys.stdout.write(f"{end}\n" if len(ends) == 1 else f"{cart_id}  {end}\n")
    if unsent := sum(isinstance(end, CartwakeError) for end in ends.values()):
        raise Rejected(f"{unsent} of {len(ends)} reminders were not sent")


def _own_words(text: str | None) -> str | None:
    from console.asking import MOST_TEXT, own_words

    if text is None:
        return None
    try:
        said = own_words(text)
    except Rejected as exc:
        raise Rejected(f"--text: {exc}") from exc
    if said is None:
        raise Rejected(f"--text is empty; say something, at most {MOST_TEXT:,} characters")
    return said


def _ask(carts: "Carts", publisher: "Publisher", cart_id: str, shop: str, text: str | None) -> "str | CartwakeError":
    """The id of the request that is now on the broker, or why there is none."""
    from cartwake.clock import SystemClock, to_datetime
    from cartwake.model import encode
    from cartwake.topics import SUBSCRIBER_EVENTS
    from console.asking import request, why_no_reminder

    try:
        row = latest(carts, cart_id, shop)
    except Rejected as exc:
        return exc
    if reason := why_no_reminder(row):
        return Rejected(reason)
    now, request_id = to_datetime(SystemClock().now_ms()), str(uuid.uuid4())
    event = request(row, request_id=request_id, by="command line", at=now, text=text)
    publisher.send_and_wait(SUBSCRIBER_EVENTS, row.subscriber_id, encode(event))
    return request_id


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


def _outcome(carts: "Carts", request: "str | CartwakeError", until: float) -> "str | CartwakeError":
    """The outcome in words when the message was sent, else the error that says why not."""
    from console import words

    if isinstance(request, CartwakeError):
        return request
    while True:
        status, why = carts.request_result(request) or ("planned", "")
        if status in _SENT:
            return f"sent: {words.explained(status, why)}"
        if status not in _PENDING:
            return Rejected(f"{status}: {words.explained(status, why)}")
        if time.monotonic() >= until:
            return CartwakeError(
                f"no outcome within {_PATIENCE_S:.0f} s. The request is in Kafka and is answered when the roles "
                "`reminders` and `sink` are at work: cartwake doctor"
            )
        time.sleep(_POLL_S)


def _say(words: str) -> None:
    click.echo(words, err=True)
