"""A file through the real Kafka and the real stages, on event time, beside whatever runs: nothing is sent.

The topics are made for it under a prefix of their own and deleted afterwards. At the end of the file two watermarks
follow: the largest time in it, so that what is due by then fires, and the end of time, which shows what was open.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import confluent_kafka
import msgspec

from cartwake import pipeline, topics
from cartwake.broker import delete_topics
from cartwake.clock import SystemClock, rfc3339
from cartwake.errors import CartwakeError, KafkaUnavailable
from cartwake.model import LATEST, CartOutcome, decode_outcome
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import Shops, follow
from ingest.replay import FeedResult, feed

PATIENCE_S = 120.0  # without any outcome or progress
_HEAD = (topics.CART_EVENTS, topics.DEVICE_EVENTS, topics.ORDER_EVENTS)


@dataclass
class Tally:
    """What the outcomes add up to; a repeated outcome counts once."""

    seen: set[str] = field(default_factory=set)
    abandoned: dict[str, CartOutcome] = field(default_factory=dict)
    completed: int = 0
    recovered: int = 0

    def take(self, outcome: CartOutcome) -> None:
        """Count one outcome."""
        if outcome.outcome_id in self.seen:
            return
        self.seen.add(outcome.outcome_id)
        if outcome.type == "cart.abandoned":
            self.abandoned[outcome.abandonment_id or ""] = outcome
        elif outcome.type == "cart.withdrawn":
            self.abandoned.pop(outcome.abandonment_id or "", None)
        elif outcome.type == "cart.completed":
            self.completed += 1
        elif outcome.type == "cart.recovered":
            self.recovered += 1


def rehearse(
    settings: Settings,
    paths: Sequence[Path],
    *,
    format: str,
    shop_id: str,
    on_progress: Callable[[int], None],
    on_rejected: Callable[[Path, int, str], None],
) -> dict[str, Any]:
    """Run the files through; returns the figures of design section 6. Raises KafkaUnavailable, ConfigurationError."""
    shops = _shops(settings)
    prefix = f"{settings.topic_prefix}replay-{uuid.uuid4().hex[:8]}."
    apart = msgspec.structs.replace(settings, topic_prefix=prefix, time="event")
    app = pipeline.streams(apart, shops, say=lambda _text: None)
    try:
        result, tally, seconds = asyncio.run(_run(app, apart, paths, format, shop_id, on_progress, on_rejected))
    finally:
        with contextlib.suppress(KafkaUnavailable):  # the error that brought us here says more
            delete_topics(apart, [prefix + t.name for t in topics.ALL] + [app.changelog(stage) for stage in app.stages])
    counters = app.counters
    last = rfc3339(min(result.max_occurred_at or 0, SystemClock().now_ms()))
    due = sum((outcome.abandoned_at or "") <= last for outcome in tally.abandoned.values())
    value = sum((outcome.value or Decimal(0) for outcome in tally.abandoned.values()), Decimal(0))
    return {
        "events": result.lines,
        "rejected": result.rejected + counters[pipeline.CARTS, "dead_letters"],
        "duplicates": counters[pipeline.CARTS, "duplicates"],
        "carts": counters[pipeline.CARTS, "carts"],
        "abandonments": len(tally.abandoned),
        "due": due,
        "open": len(tally.abandoned) - due,
        "completed": tally.completed,
        "recovered": tally.recovered,
        "abandoned_value": f"{value:f}",
        "events_per_second": round(result.lines / seconds) if seconds else 0,
    }


async def _run(
    app: Any,
    settings: Settings,
    paths: Sequence[Path],
    format: str,
    shop_id: str,
    on_progress: Callable[[int], None],
    on_rejected: Callable[[Path, int, str], None],
) -> tuple[FeedResult, Tally, float]:
    await app.start()
    began = time.monotonic()
    try:
        outcomes = asyncio.create_task(asyncio.to_thread(_outcomes, app, settings))
        with Publisher(settings, linger_ms=50) as publisher:
            result: FeedResult = await asyncio.to_thread(
                feed, paths, format, shop_id, publisher, on_progress=on_progress, on_rejected=on_rejected
            )
            for at in (min(result.max_occurred_at or 0, SystemClock().now_ms()), LATEST):
                send_watermark(publisher, app.config.partitions_of, at)
        return result, await outcomes, time.monotonic() - began
    finally:
        await app.stop()


def send_watermark(
    publisher: Publisher,
    partitions_of: Any,
    at: int,
    heads: Sequence[topics.Topic] = _HEAD,
) -> None:
    """Promise that nothing older than `at` (epoch ms) will be sent to the topics at the head."""
    mark = {topics.WATERMARK: f"input|{at}".encode()}
    for topic in heads:
        for partition in range(partitions_of[topic.name]):
            publisher.send(topic, None, None, partition=partition, headers=mark)


def _outcomes(app: Any, settings: Settings) -> Tally:
    """Read the outcomes until every partition of stage 1 has said that time is over."""
    topic = settings.topic_prefix + topics.CART_OUTCOMES.name
    partitions = app.config.partitions_of[topics.CART_OUTCOMES.name]
    sources = app.config.partitions_of[topics.CART_EVENTS.name]
    awaited = {(n, f"{pipeline.CARTS}/{source}") for n in range(partitions) for source in range(sources)}
    consumer: Any = confluent_kafka.Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": "replay", "enable.auto.commit": False, "log_level": 2}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, n, 0) for n in range(partitions)])
    tally, moved, seen = Tally(), time.monotonic(), -1
    try:
        while awaited:
            messages = consumer.consume(5_000, timeout=0.2)
            events = app.counters[pipeline.CARTS, "events"]
            if messages or events != seen:
                moved, seen = time.monotonic(), events
            elif app.failure is not None or time.monotonic() - moved > PATIENCE_S:
                raise CartwakeError(f"the stages stopped: {app.failure or f'nothing moved for {PATIENCE_S:.0f} s'}")
            for message in messages:
                if message.error():
                    continue  # the consumer goes on by itself; patience bounds it
                mark = dict(message.headers() or ()).get(topics.WATERMARK)
                if mark is None:
                    tally.take(decode_outcome(message.value()))
                elif mark.endswith(f"|{LATEST}".encode()):
                    awaited.discard((message.partition(), mark.decode().partition("|")[0]))
        return tally
    finally:
        consumer.close()


def _shops(settings: Settings) -> Shops:
    """What shops have set where there is a pipeline, else the defaults."""
    shops = Shops()
    with contextlib.suppress(KafkaUnavailable, KeyError):
        follow(settings, shops)()
    return shops
