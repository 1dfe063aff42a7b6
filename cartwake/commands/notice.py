"""`cartwake notice ORDER_ID`: one mail about an order, with files, to somebody who need not have subscribed."""

import asyncio
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cartwake import settings as settings_file
from cartwake.errors import CartwakeError, Rejected

if TYPE_CHECKING:
    from cartwake.publish import Publisher
    from cartwake.settings import Settings
    from cartwake.shops import Shop
    from reminders.order_mail import Notice
    from reminders.outbox import Mail
    from reminders.outcomes import Result
    from sinks.carts import Carts

_PATIENCE_S = 15.0
_POLL_S = 0.25
_MOST_SUBJECT = 150
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("notice")
@click.argument("order_id")
@click.option("--to", required=True, metavar="ADDRESS", help="who placed the order")
@click.option("--subject", required=True, help="one line, 150 characters at most")
@click.option("--text", required=True, help="plain words, up to 60 lines; - reads them from input")
@click.option("--attach", multiple=True, type=_FILE, help="a file to go with it; repeatable, 10 MiB together")
@click.option("--picture", type=_FILE, help="a .png, .jpg or .gif that is shown below the text")
@click.option("--shop", "shop_id", default="main", show_default=True, help="the order's shop")
@click.option("--locale", help="the reader's language, as de or pt-BR; without it the shop's")
@click.option("--again", is_flag=True, help="also when this notice was sent, or may have been")
def command(
    order_id: str,
    to: str,
    subject: str,
    text: str,
    attach: tuple[Path, ...],
    picture: Path | None,
    shop_id: str,
    locale: str | None,
    again: bool,
) -> None:
    """Send a notice about ORDER_ID, in the shop's design, through its mail relay.

    No consent is needed for it. Nobody is written to who was erased, complained, or whose address is dead or blocked;
    the same subject about the same order goes to an address once.
    """
    from cartwake.broker import ensure_topics
    from cartwake.clock import SystemClock
    from cartwake.publish import Publisher
    from cartwake.secret import secret_of
    from local.stack import embedded
    from reminders import channels
    from reminders.files import attached
    from reminders.links import Links
    from reminders.order_mail import order_mail
    from reminders.reader import Unfit
    from sinks.carts import Carts
    from sinks.clickhouse import ClickHouse

    files, shown = attached(attach, picture)
    request_id = str(uuid.uuid4())
    notice = _notice(
        shop_id, order_id, to, subject, sys.stdin.read() if text == "-" else text,
        written_at=SystemClock().now_ms(), locale=locale, files=files, picture=shown, again=request_id if again else "",
    )  # fmt: skip
    with (
        embedded(settings_file.load(), kafka=True, clickhouse=True, mailbox=True, say=_say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        ensure_topics(settings, say=_say, patience=5)
        shop = _shop(settings, notice)
        links = Links(settings.collector_url, secret_of(settings))
        try:  # before anything is asked: what can't be made is not let through either
            mail = order_mail(notice, shop, channels.renderer(settings, links), links)
        except Unfit as exc:
            raise Rejected(str(exc)) from exc
        with Publisher(settings) as publisher:
            _ask(publisher, Carts(store), notice, request_id)
            result = _send(mail, settings)
            _tell(publisher, notice, request_id, mail, result)


def _notice(shop_id: str, order_id: str, to: str, subject: str, text: str, **more: Any) -> "Notice":
    """The notice; raises Rejected for what could not be sent as it is written."""
    from cartwake.model import person_id
    from reminders.address import check_address
    from reminders.clean import MOST_LINES, line
    from reminders.order_mail import Notice

    if (problem := check_address(to)) is not None:
        raise Rejected(f"--to {to!r} can't be written to: {problem}")
    if not 0 < len(order_id) <= 200:
        raise Rejected("an order's id has 1 to 200 characters")
    if not 0 < len(subject.strip()) <= _MOST_SUBJECT:
        raise Rejected(f"--subject has {len(subject.strip())} characters; at least one and at most {_MOST_SUBJECT}")
    rows = text.strip().splitlines()
    if not rows or len(rows) > MOST_LINES or max(map(len, rows)) > 2_000:
        raise Rejected(f"--text has {len(rows)} lines; at least one and at most {MOST_LINES} of 2,000 characters")
    key = (shop_id, person_id(to))
    return Notice(key=key, order_id=order_id, to=to, subject=line(subject, _MOST_SUBJECT), text=text.strip(), **more)


def _shop(settings: "Settings", notice: "Notice") -> "Shop":
    """The shop as it is set; raises Rejected when it has put the address on its block list."""
    from cartwake.shops import Shops, follow
    from reminders.gates import is_blocked

    shops = Shops()
    follow(settings, shops)()
    shop = shops.of(notice.key[0])
    if is_blocked(notice.to, shop.reminders.blocked):
        raise Rejected(f"not sent: {notice.to} is on the block list of shop {shop.shop_id}")
    return shop


def _ask(publisher: "Publisher", carts: "Carts", notice: "Notice", request_id: str) -> None:
    """Wait until stage 3 lets the notice through; raises Rejected with its reason."""
    from reminders import notices

    _event(publisher, notices.REQUESTED, notice, request_id, notices.AGAIN if notice.again else None)
    until = time.monotonic() + _PATIENCE_S
    while (found := carts.request_result(request_id)) is None:
        if time.monotonic() >= until:
            words = f"nobody said within {_PATIENCE_S:.0f} s whether it may be"
            _event(publisher, notices.FAILED, notice, request_id, words)  # read after the request, whenever that is
            raise CartwakeError(
                f"not sent: {words}. The roles `reminders` and `sink` have to be at work: cartwake doctor"
            )
        time.sleep(_POLL_S)
    status, words = found
    if status != "notice_sending":
        raise Rejected(f"not sent: {words}")


def _send(mail: "Mail", settings: "Settings") -> "Result":
    from reminders import channels
    from reminders.outbox import deliver

    async def hand_over() -> "Result":
        channel = channels.email(settings)
        try:
            return await deliver(channel, mail, cancelled=lambda: False)
        finally:
            await channel.close()

    return asyncio.run(hand_over())


def _tell(publisher: "Publisher", notice: "Notice", request_id: str, mail: "Mail", result: "Result") -> None:
    """Record the outcome, and say it: in words when it was sent, else as the error that it is."""
    from cartwake.clock import SystemClock
    from cartwake.model import encode
    from cartwake.topics import MESSAGES
    from reminders import notices
    from reminders.outcomes import Failed, Later, Sent, Uncertain

    def record(what: str, words: str, reason: str | None = None) -> None:
        message = notices.said(
            notice.key, notice.order_id, notice.subject, request_id, what,
            now=SystemClock().now_ms(), reason=reason, words=words, to=notice.to, **mail.shown,
        )  # fmt: skip
        publisher.send_and_wait(MESSAGES, notice.key[1], encode(message))

    match result:
        case Sent(words):
            words += "".join(f"; with {file.name} ({len(file.content):,} bytes)" for file in notice.files)
            sys.stdout.write(f"sent: {words}\nMessage-ID: {mail.message_id}\n")
            sys.stdout.flush()
            record("sent", words)
        case Uncertain():
            words = f"it may or may not have arrived: look for Message-ID {mail.message_id} in the mail server's log"
            record("uncertain", words, "no_answer")
            raise CartwakeError(f"handed over, but the mail server did not answer; {words}")
        case Failed(_, words, bounced):
            _event(publisher, notices.FAILED, notice, request_id, words)
            if bounced:
                _event(publisher, "subscriber.bounced", notice, request_id, f"hard: {words}")
            raise Rejected(f"not sent: {words}")
        case Later(words):
            _event(publisher, notices.FAILED, notice, request_id, words)
            raise CartwakeError(f"not sent: {words}")
        case _:
            raise AssertionError(f"{result} is no end of a mail that nothing calls off")


def _event(publisher: "Publisher", kind: str, notice: "Notice", request_id: str, reason: str | None) -> None:
    """Tell stage 3, and return when the broker has it."""
    from cartwake.clock import SystemClock, to_datetime
    from cartwake.model import SubscriberEvent, encode
    from cartwake.topics import SUBSCRIBER_EVENTS

    event = SubscriberEvent(
        event_id=str(uuid.uuid4()),
        type=kind,
        shop_id=notice.key[0],
        subscriber_id=notice.key[1],
        occurred_at=to_datetime(SystemClock().now_ms()),
        order_id=notice.order_id,
        request_id=request_id,
        requested_by="command line",
        reason=reason and reason[:500],
        message=notice.subject,
        channels=("email",),
    )
    publisher.send_and_wait(SUBSCRIBER_EVENTS, notice.key[1], encode(event))


def _say(words: str) -> None:
    click.echo(words, err=True)
