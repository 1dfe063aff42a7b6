"""Tells the story through the real pipeline: parts, roles and the shop's records in, mails and rows out.

The stages run on event time, so a day passes in seconds: after each half hour a watermark says that nothing
older will come, and the stages pass it on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import msgspec

import sql
from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import SystemClock
from cartwake.demo.story import CODES, MINUTE, SECOND_MAIL, SHOP_ID, STEPS, Product, Story, batches, tell
from cartwake.demo.watch import Watch
from cartwake.errors import CartwakeError
from cartwake.group import kept, role_part
from cartwake.model import OfferCode, encode
from cartwake.publish import Publisher
from cartwake.rehearsal import send_watermark
from cartwake.settings import Settings
from cartwake.shops import set_for
from ingest.shop import SHOP_ID as LIVE_SHOP_ID
from ingest.shop.goods import PRODUCTS
from local import mailbox, phone, stack
from sinks import rollup
from sinks.clickhouse import ClickHouse

LIVE_IDLE: Final = "20s"
PATIENCE_S: Final = 90.0
_HEADS: Final = (
    topics.CART_EVENTS,
    topics.DEVICE_EVENTS,
    topics.ORDER_EVENTS,
    topics.SUBSCRIBER_EVENTS,
    topics.OFFER_CODES,
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
    with kept(stack.parts(live), live.data_dir, say):
        ensure_topics(running, say=say, patience=60)
        say("starting the sink, the collector and the console")
        with kept([role_part(role, running) for role in ("sink", "collector", "console")], live.data_dir, say):
            yield running


def show(settings: Settings, say: Say, began: float) -> Shown:
    """Tell the day that ends now, wait until all of it has had its effect, and count in ClickHouse."""
    now = SystemClock().now_ms()
    counts = ensure_topics(settings, say=say, patience=60)
    story = tell(
        end=now // MINUTE * MINUTE,
        products=products_of(settings),
        shop_url=f"{settings.collector_url}/shop/",
        browser=phone.browser(mailbox.folder(settings.data_dir), settings.mailbox_url),
    )
    stages = msgspec.structs.replace(settings, time="event")
    with (
        Publisher(settings) as publisher,
        Watch(settings, counts, patience_s=PATIENCE_S) as watch,
        kept([role_part(role, stages) for role in ("streams", "reminders")], settings.data_dir, say),
    ):
        _open_shops(publisher)
        say(f"a day of the shop: {story.events:,} events of {_shoppers(story):,} shoppers")
        before = 0
        for moment, heard in batches(story):
            for record in heard:
                publisher.send(record.topic, record.key, record.value)
            send_watermark(publisher, counts, moment, _HEADS)
            publisher.flush()
            # one step ahead of the far end and no more: what is heard together is judged together
            watch.wait_until(partial(watch.reached, before))
            before = moment
        watch.wait_until(lambda: watch.reached(story.end))
        watch.wait_until(lambda: _all_ended(watch, story))
        say("every plan that was due has ended; waiting for the last rows in ClickHouse")
        _wait_for_sink(settings, counts)
    return _count(settings, story, None if watch.first_mail_at is None else watch.first_mail_at - began)


def _all_ended(watch: Watch, story: Story) -> bool:
    """Whether what was left is planned for, and what is due within the story has ended."""
    planned = {left for left, at in watch.left.items() if at <= story.end} <= watch.planned
    open_ = (plan for plan, at in watch.due.items() if at <= story.end and plan not in watch.ended)
    return planned and next(open_, None) is None and SECOND_MAIL in watch.answered


def products_of(settings: Settings) -> list[Product]:
    pictures = f"{settings.collector_url}/shop/static"
    return [Product(p.sku, p.name, p.price, p.category, f"{pictures}/{p.sku}.png") for p in PRODUCTS]


def _open_shops(publisher: Publisher) -> None:
    profile = {"title": "Kettle & Fern", "url": "https://shop.example.com", "locale": "en"}
    address = {"postal_address": "1 Example Street, 12345 Exampletown"}
    sender = {"sender": "Kettle & Fern <carts@example.com>"}
    for shop_id, idle in ((SHOP_ID, {"idle": "2h"}), (LIVE_SHOP_ID, {"idle": LIVE_IDLE, "trial": True})):
        set_for(publisher, shop_id, "shop", profile | address | sender)
        set_for(publisher, shop_id, "carts", idle)
    set_for(publisher, SHOP_ID, "reminders", {"steps": STEPS})
    for code in CODES:
        publisher.send(topics.OFFER_CODES, code, encode(OfferCode(shop_id=SHOP_ID, pool="welcome-back", code=code)))
    set_for(publisher, LIVE_SHOP_ID, "reminders", {"steps": [{}]})


def _shoppers(story: Story) -> int:
    return len({heard.key for heard in story.heard if heard.topic is topics.CART_EVENTS})


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
                return _wait_for_rollup(settings, {(t.removeprefix(prefix), n): end for (t, n), end in ends.items()})
            if time.monotonic() - started > PATIENCE_S:
                raise CartwakeError(f"the sink is {behind} records behind. Look into {settings.data_dir / 'logs'}")
            time.sleep(0.1)
    finally:
        consumer.close()


def _wait_for_rollup(settings: Settings, ends: dict[tuple[str, int], int]) -> None:
    """Wait until the abandonments say all that was heard."""
    wanted = {place: end for place, end in ends.items() if place[0] in rollup.TOPICS and end}
    started = time.monotonic()
    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
        while any(rollup.progress(store).get(place, 0) < end for place, end in wanted.items()):
            if time.monotonic() - started > PATIENCE_S:
                raise CartwakeError(f"the abandonments are not computed. Look into {settings.data_dir / 'logs'}")
            time.sleep(0.1)


def _count(settings: Settings, story: Story, first_mail: float | None) -> Shown:
    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
        (counted,) = store.query(sql.read("demo/figures.sql"))
        figures: dict[str, Any] = {"events": story.events, **counted}
        figures["mailbox"] = len(mailbox.mails(Path(settings.data_dir)))
        figures["console"] = settings.console_url
        cast = store.query(sql.read("demo/cast.sql"), {"shop": SHOP_ID, "carts": list(CAST)})
        refused = store.query(sql.read("demo/refused.sql"))
    return Shown(figures, cast, refused, first_mail)
