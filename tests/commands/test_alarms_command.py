"""`cartwake alarms`: a broken checkout is on the topic and in the admin's mailbox, once, and so is its end."""

import json
import random
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cartwake import alert_log
from cartwake.alarms import Alarms
from cartwake.arrival import Arrival
from cartwake.clock import SystemClock, rfc3339
from cartwake.model import Alert, encode
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from cartwake.topics import ALERTS, CART_EVENTS
from local import mailbox, stack
from sinks.clickhouse import ClickHouse
from sinks.sink import Sink
from tests.commands.conftest import Run
from tests.sinks.records import Kept, put

pytestmark = pytest.mark.stack
MINUTE = 60_000
HOUR = 60 * MINUTE
WEEK = 7 * 24 * HOUR


def checkouts(begin: int, end: int, *, go_on: float = 0.75) -> Iterator[Kept]:
    """A payment every 15 seconds, of which so many are an order a minute later; each arrives when it happens."""
    chance = random.Random(begin)
    for number, at in enumerate(range(begin, end, 15_000)):
        cart = f"c-{begin}-{number}"
        yield _event(cart, at, type="checkout.step", step="payment")
        if chance.random() < go_on:
            yield _event(cart, at + MINUTE, type="order.placed", order_id=f"o-{cart}")


def _event(cart: str, at: int, **more: str) -> Kept:
    event = {"event_id": f"{cart}-{more['type']}", "shop_id": "main", "cart_id": cart, "occurred_at": rfc3339(at)}
    return Kept(json.dumps(event | more).encode(), at=random.randrange(2**40), arrived=at)


@pytest.fixture
def post(settings: Settings) -> Iterator[Settings]:
    with stack.embedded(settings, mailbox=True) as running:
        yield running


@pytest.fixture
def now() -> int:
    """Epoch milliseconds as the test begins."""
    return SystemClock().now_ms()


@pytest.fixture
def weeks(store: ClickHouse, topics: Settings, now: int) -> ClickHouse:
    """Four weeks in which the shop's checkout worked at this hour."""
    for week in range(1, 5):
        put(store, "cart-events", *checkouts(now - week * WEEK - 3 * HOUR, now - week * WEEK + HOUR))
    return store


def said(run: Run, *words: str, **changes: str) -> list[dict[str, Any]]:
    done = run("alarms", *words, metrics_port="0", **changes)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_broken_checkout_is_said_and_mailed_once_and_so_is_that_it_works_again(
    run: Run, weeks: ClickHouse, post: Settings, now: int
) -> None:
    to_post = {"smtp_host": post.smtp_host, "smtp_port": str(post.smtp_port), "smtp_tls": "none"}
    to_post["console_public_url"] = "https://carts.shop.example.com"
    with Publisher(post) as publisher:
        set_for(publisher, "main", "shop", {"title": "Shirts <b>&</b> Co", "sender": "shop@example.com"})
        set_for(publisher, "main", "alarms", {"admins": ["ana@example.com"], "pause_reminders": True})
    put(weeks, "cart-events", *checkouts(now - 3 * HOUR, now - 30 * MINUTE))
    put(weeks, "cart-events", *checkouts(now - 30 * MINUTE, now, go_on=0.0))
    opened, told = said(run, "--once", **to_post)
    assert (opened["type"], opened["signal"], opened["number"]) == ("alert.opened", "payment", 1)
    assert (told["type"], told["to"], told["about"]) == ("alert.mailed", "ana@example.com", "alert.opened")
    assert said(run, "--once", **to_post) == []  # another process: it reads what was said
    (mail,) = [mailbox.parse(path) for path in mailbox.mails(post.data_dir)]
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert mail["To"] == "ana@example.com"
    assert mail["Subject"] == "Alarm: Shirts <b>&</b> Co: shoppers do not get past the step payment"
    assert opened["words"] in text
    assert "Reminders wait until it is over" in text
    assert "https://carts.shop.example.com/carts" in text
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "Shirts &lt;b&gt;&amp;&lt;/b&gt; Co" in html
    (line,) = run("alarms").stdout.splitlines()
    assert line.endswith(f"… open  main  {opened['words']}")
    weeks.execute("TRUNCATE TABLE checkout_steps_log")
    for week in range(5):
        put(weeks, "cart-events", *checkouts(now - week * WEEK - 3 * HOUR, now - week * WEEK))
    closed, told = said(run, "--once", **to_post)
    assert (closed["type"], closed["alert_id"], closed["reason"]) == ("alert.closed", opened["alert_id"], "back")
    assert (told["type"], told["about"]) == ("alert.mailed", "alert.closed")
    assert said(run, "--once", **to_post) == []
    subjects = [mailbox.parse(path)["Subject"] for path in mailbox.mails(post.data_dir)]
    assert [subject[:6] for subject in subjects] == ["Alarm:", "Over: "]


def test_a_mail_server_that_is_away_is_tried_again_with_the_next_look(
    run: Run, weeks: ClickHouse, post: Settings, now: int
) -> None:
    with Publisher(post) as publisher:
        set_for(publisher, "main", "alarms", {"admins": ["ana@example.com"]})
    put(weeks, "cart-events", *checkouts(now - HOUR, now, go_on=0.0))
    assert [x["type"] for x in said(run, "--once", smtp_host="127.0.0.1", smtp_port="9", smtp_tls="none")] == [
        "alert.opened"
    ]
    to_post = {"smtp_host": post.smtp_host, "smtp_port": str(post.smtp_port), "smtp_tls": "none"}
    assert [x["type"] for x in said(run, "--once", **to_post)] == ["alert.mailed"]


def test_while_the_sink_is_behind_nothing_is_judged(run: Run, weeks: ClickHouse, topics: Settings) -> None:
    with Publisher(topics) as publisher:
        for number in range(10):
            publisher.send(CART_EVENTS, f"c{number}", b"{}")
        publisher.flush()
    with Arrival(topics) as arrival:
        assert not arrival.wait(0.5)
        stop = threading.Event()
        sink = threading.Thread(target=Sink(topics, weeks).run, args=(stop,))
        sink.start()
        try:
            assert arrival.wait(60)
        finally:
            stop.set()
            sink.join()


def test_what_was_said_is_in_the_view_once_and_is_read_again_by_whoever_starts(
    store: ClickHouse, topics: Settings, now: int
) -> None:
    alert = Alert(
        record_id="r1", type="alert.opened", alert_id="a1", shop_id="main", number=1, occurred_at=rfc3339(now),
        signal="payment", words="It fell.",
    )  # fmt: skip
    with Publisher(topics) as publisher:
        for value in (encode(alert), b"{", encode(alert)):
            publisher.send_and_wait(ALERTS, "main", value)
    alarms = Alarms()
    alert_log.read(topics, alarms)
    assert [(alarm.number, alarm.open) for alarm in alarms] == [(1, True)]
    for number in range(2):
        put(store, "alerts", Kept(encode(alert), at=number))
    put(store, "alerts", Kept(b"{}", at=3), Kept(encode(msgspec.structs.replace(alert, record_id="r2")), at=4))
    rows = store.query("SELECT record_id, number, words, signal FROM alerts ORDER BY record_id")
    assert [tuple(row.values()) for row in rows] == [("r1", 1, "It fell.", "payment"), ("r2", 1, "It fell.", "payment")]


def test_once_and_every_do_not_go_together(run: Run) -> None:
    assert "either --once or --every" in str(run("alarms", "--once", "--every", "1m").output)
