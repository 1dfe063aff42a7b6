"""Tells the story through the real pipeline: parts, roles and the shop's records in, mails and rows out.

The stages run on event time, so a day passes in seconds: after each quarter of an hour a watermark says that nothing
older will come, and the stages pass it on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import msgspec

import sql
from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import SystemClock
from cartwake.demo.story import DELAY, MINUTE, SHOP_ID, Product, Story, batches, tell
from cartwake.errors import CartwakeError
from cartwake.group import role_part
from cartwake.model import decode_message
from cartwake.publish import Publisher
from cartwake.rehearsal import send_watermark
from cartwake.settings import Settings
from cartwake.shops import set_for
from ingest.shop import SHOP_ID as LIVE_SHOP_ID
from ingest.shop.goods import PRODUCTS
from local import mailbox, stack
from local.supervisor import Supervisor
from sinks.clickhouse import ClickHouse

LIVE_IDLE: Final = "20s"
PATIENCE_S: Final = 90.0
QUIET_S: Final = 1.0
_HEADS: Final = (topics.CART_EVENTS, topics.DEVICE_EVENTS, topics.ORDER_EVENTS, topics.SUBSCRIBER_EVENTS)
_ENDED: Final = frozenset(
    "message." + end for end in ("sent", "suppressed", "recovered", "expired", "failed", "uncertain")
)
CAST: Final = (
    "cart-reader", "cart-guest", "cart-quick", "cart-back", "cart-kitchen-1", "cart-kitchen-2", "cart-late",
    "cart-phone", "cart-later", "cart-wrong", "cart-silent", "cart-withdrawn", "cart-odd",
)  # fmt: skip

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to see afterwards."""

    figures: dict[str, Any]
    cast: list[Any]
    refused: list[Any]
    first_mail_after: float | None


@contextmanager
def stage(settings: Settings, say: Say) -> Iterator[Settings]:
    """The parts and the roles that stay: Kafka, ClickHouse, mailbox, sink, collector, console."""
    live = msgspec.structs.replace(settings, demo_idle=LIVE_IDLE)
    running = stack.addressed(live)
    say("starting Kafka, ClickHouse and the mailbox")
    with Supervisor(stack.parts(live), live.data_dir, say):
        ensure_topics(running, say=say, patience=60)
        say("starting the sink, the collector and the console")
        with Supervisor([role_part(role, running) for role in ("sink", "collector", "console")], live.data_dir, say):
            yield running


def show(settings: Settings, say: Say, began: float) -> Shown:
    """Tell the day that ends now, wait until all of it has had its effect, and count in ClickHouse."""
    now = SystemClock().now_ms()
    counts = ensure_topics(settings, say=say, patience=60)
    story = tell(end=now // MINUTE * MINUTE, products=_products(settings), shop_url=f"{settings.collector_url}/shop/")
    stages = msgspec.structs.replace(settings, time="event")
    with (
        Publisher(settings) as publisher,
        Supervisor([role_part(role, stages) for role in ("streams", "reminders")], settings.data_dir, say),
    ):
        _open_shops(publisher)
        say(f"a day of the shop: {story.events:,} events of {_shoppers(story):,} shoppers")
        for moment, heard in batches(story):
            for record in heard:
                publisher.send(record.topic, record.key, record.value)
            send_watermark(publisher, counts, min(moment, story.end), _HEADS)
        send_watermark(publisher, counts, story.end, _HEADS)
        publisher.flush()
        first_mail = _wait_for_messages(settings, counts, story.end, began)
        say("every plan has ended; waiting for the last rows in ClickHouse")
        _wait_for_sink(settings, counts)
    return _count(settings, story, first_mail)


def _products(settings: Settings) -> list[Product]:
    pictures = f"{settings.collector_url}/shop/static"
    return [Product(p.sku, p.name, p.price, p.category, f"{pictures}/{p.sku}.png") for p in PRODUCTS]


def _open_shops(publisher: Publisher) -> None:
    profile = {"title": "The Quiet Kitchen", "url": "https://shop.example.com", "locale": "en"}
    address = {"postal_address": "The Quiet Kitchen, 1 Example Street, 12345 Exampletown"}
    sender = {"sender": "The Quiet Kitchen <carts@example.com>"}
    for shop_id, idle in ((SHOP_ID, {"idle": "2h"}), (LIVE_SHOP_ID, {"idle": LIVE_IDLE, "trial": True})):
        set_for(publisher, shop_id, "shop", profile | address | sender)
        set_for(publisher, shop_id, "carts", idle)
    set_for(publisher, SHOP_ID, "reminders", {"enabled": True, "delay": f"{DELAY // MINUTE}m"})


def _shoppers(story: Story) -> int:
    return len({heard.key for heard in story.heard if heard.topic is topics.CART_EVENTS})


def _wait_for_messages(settings: Settings, counts: dict[str, int], end: int, began: float) -> float | None:
    """Read the messages until time has come to `end` for all of stage 3 and every plan due by then has ended.

    Returns the seconds from `began` to the first mail that was sent.
    """
    topic = settings.topic_prefix + topics.MESSAGES.name
    sources = counts[topics.SUBSCRIBER_CARTS.name]
    awaited = {(n, f"reminders/{s}") for n in range(counts[topics.MESSAGES.name]) for s in range(sources)}
    planned: dict[str, int] = {}
    ended: set[str] = set()
    first: float | None = None
    consumer: Any = confluent_kafka.Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": "demo", "enable.auto.commit": False, "log_level": 2}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, n, 0) for n in range(counts[topics.MESSAGES.name])])
    quiet_since = started = time.monotonic()
    try:
        while awaited or planned.keys() - ended or time.monotonic() - quiet_since < QUIET_S:
            if time.monotonic() - started > PATIENCE_S:
                left = len(planned.keys() - ended)
                raise CartwakeError(
                    f"the story did not come to its end within {PATIENCE_S:.0f} s ({len(awaited)} watermarks, {left} "
                    f"plans missing). Look into {settings.data_dir / 'logs'}"
                )
            for message in consumer.consume(1_000, timeout=0.1):
                if message.error():
                    continue  # the consumer goes on by itself; the patience bounds it
                mark = dict(message.headers() or ()).get(topics.WATERMARK)
                if mark is not None:
                    source, _, at = mark.decode().partition("|")
                    if int(at) >= end:
                        awaited.discard((message.partition(), source))
                    continue
                quiet_since = time.monotonic()
                said = decode_message(message.value())
                if said.type == "message.planned" and (said.due_at is None or _ms(said.due_at) <= end):
                    planned[said.plan_id] = 1
                elif said.type in _ENDED:
                    ended.add(said.plan_id)
                if said.type == "message.sent" and first is None:
                    first = time.monotonic() - began
        return first
    finally:
        consumer.close()


def _ms(moment: str) -> int:
    from datetime import datetime  # noqa: PLC0415 - only here

    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _wait_for_sink(settings: Settings, counts: dict[str, int]) -> None:
    """Wait until the sink's group has committed the present end of every topic."""
    prefix = settings.topic_prefix
    places = [confluent_kafka.TopicPartition(prefix + t, n) for t, count in counts.items() for n in range(count)]
    places = [place for place in places if place.topic.removeprefix(prefix) in {t.name for t in topics.ALL}]
    consumer: Any = confluent_kafka.Consumer({"bootstrap.servers": settings.bootstrap, "group.id": prefix + "sink"})
    started = time.monotonic()
    try:
        ends = {(p.topic, p.partition): consumer.get_watermark_offsets(p, timeout=10)[1] for p in places}
        while True:
            committed = {(p.topic, p.partition): max(p.offset, 0) for p in consumer.committed(places, timeout=10)}
            behind = sum(max(0, end - committed[place]) for place, end in ends.items())
            if not behind:
                return
            if time.monotonic() - started > PATIENCE_S:
                raise CartwakeError(f"the sink is {behind} records behind. Look into {settings.data_dir / 'logs'}")
            time.sleep(0.1)
    finally:
        consumer.close()


def _count(settings: Settings, story: Story, first_mail: float | None) -> Shown:
    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
        (counted,) = store.query(sql.read("demo/figures.sql"))
        figures: dict[str, Any] = {"events": story.events, **counted}
        figures["mailbox"] = len(mailbox.mails(Path(settings.data_dir)))
        figures["console"] = settings.console_url
        cast = store.query(sql.read("demo/cast.sql"), {"shop": SHOP_ID, "carts": list(CAST)})
        refused = store.query(sql.read("demo/refused.sql"))
    return Shown(figures, cast, refused, first_mail)
