"""Where a microsecond goes: stage 1 in this process, without a broker, part by part.

Each line is the CPU time of one more part; what the rest of a worker costs (fetching, asyncio, sending, committing) is
the difference to `python -m bench carts --systems ours --workers 1`.
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from bench import feed
from cartwake import pipeline, topics
from cartwake.model import CartEvent, decode_cart
from cartwake.shops import Shops
from streams.runtime.partition import Partition, Surroundings
from streams.runtime.progress import BrokerClock, EventProgress
from streams.runtime.table import Table

_BATCH: Final = 2_500
_COMMIT: Final = 10  # batches


class Silent:
    """Stands where the producer stands: what is sent is forgotten."""

    room = 1 << 20

    def send(self, *_: Any, **__: Any) -> None:
        """Forget it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--events", type=int, default=250_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")


def main(arguments: argparse.Namespace) -> int:
    """Each part in turn, again and again; the median counts."""
    records = feed.day(arguments.events)
    batches = [_batch(records[n : n + _BATCH], n) for n in range(0, len(records), _BATCH)]
    bare = msgspec.json.Decoder(CartEvent).decode
    parts: dict[str, Callable[[], None]] = {
        "parse the records": lambda: _each(batches, lambda _: None),
        "and decode them, msgspec alone": lambda: _each(batches, lambda found: [bare(r.value) for r in found]),
        "and check them": lambda: _each(batches, lambda found: [decode_cart(r.value) for r in found]),
        "the whole stage, nothing packed": lambda: _stage(batches, commit=False),
        "the whole stage": lambda: _stage(batches, commit=True),
    }
    found: dict[str, list[float]] = {name: [] for name in parts}
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    for _ in range(arguments.runs):
        for name, part in parts.items():
            began = time.process_time()
            part()
            found[name].append((time.process_time() - began) * 1e6 / len(records))
    for name, costs in found.items():
        print(f"{name:34}{min(costs):7.2f} / {statistics.median(costs):.2f} / {max(costs):.2f} µs of CPU an event")
    if arguments.json:
        print(json.dumps({name: round(statistics.median(costs), 2) for name, costs in found.items()}))
    return 0


def _batch(records: Sequence[feed.Sent], offset: int) -> bytes:
    """Records as they lie in a fetch, without compression."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    for number, sent in enumerate(records):
        builder.append(number, timestamp=sent.at, key=sent.key.encode(), value=sent.value, headers=[])
    packed = bytearray(builder.build())
    packed[:8] = offset.to_bytes(8, "big")
    return bytes(packed)


def _each(batches: list[bytes], take: Callable[[list[Any]], object]) -> None:
    for batch in batches:
        take(list(DefaultRecordBatch(batch)))


def _stage(batches: list[bytes], *, commit: bool) -> None:
    clock, shops = BrokerClock(), Shops()
    clock.heard(feed.BEGIN_MS + 2 * feed.DAY_MS)
    shared = Surroundings(
        prefix="", producer=Silent(), dead_letters="", partitioner=lambda _key, _count: 0,  # type: ignore[arg-type]  # has what is called
        forwarded_header="", watermark_header="", event_time=True, clock=clock,
        partitions_of={topics.CART_EVENTS.name: 1, topics.CART_OUTCOMES.name: 0},
    )  # fmt: skip
    stage = pipeline.left(shops)
    progress = EventProgress({topic: ["input"] for topic in stage.inputs}, [])
    partition = Partition(stage, 0, progress, shared, table=Table(stage.key, stage.state))
    for number, batch in enumerate(batches, 1):
        partition.take(topics.CART_EVENTS.name, list(DefaultRecordBatch(batch)))
        partition.release()
        if commit and number % _COMMIT == 0:
            partition.table.take_dirty()
