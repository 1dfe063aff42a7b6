"""Lateness and latency while events flow: abandonments behind their deadline, outcomes behind their event.

So many carts lie open with deadlines over the next two hours, and events of other carts come at a steady rate; one in
fifty is an order. An abandonment's lateness is the broker's time of its outcome less its deadline; an order's latency
is the broker's time of its `cart.completed` less the broker's time of the order.
"""

import argparse
import itertools
import json
import tempfile
import threading
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.broker import broker
from bench.made import PARTITIONS, fill, settled, workers
from bench.run import cpu_seconds
from cartwake import topics
from cartwake.clock import rfc3339, to_ms
from cartwake.model import decode_outcome
from cartwake.shops import IDLE_MS

_SLICE_S = 0.02
_ORDERS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--carts", type=int, default=5_000_000)
    parser.add_argument("--rate", type=int, default=20_000, help="events a second")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--json", action="store_true")


class Observer:
    """Reads outcomes from now on; keeps how late each abandonment was and how long each order took."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.ordered: dict[str, int] = {}  # broker's time of an order, by cart
        self.completed: dict[str, int] = {}  # broker's time of its outcome
        self.late: list[tuple[int, int]] = []  # deadline, lateness in ms
        self._stop = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "observer", "log_level": 2})
        ends = [self._consumer.get_watermark_offsets(TopicPartition(topic, n))[1] for n in range(PARTITIONS)]
        self._consumer.assign([TopicPartition(topic, n, end) for n, end in enumerate(ends)])
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(2_000, timeout=0.1):
                outcome, at = decode_outcome(message.value() or b""), message.timestamp()[1]
                if outcome.type == "cart.completed":
                    self.completed[outcome.cart_id] = at
                elif outcome.type == "cart.abandoned" and outcome.abandoned_at:
                    deadline = to_ms(datetime.fromisoformat(outcome.abandoned_at))
                    self.late.append((deadline, at - deadline))

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()


def feed(bootstrap: str, topic: str, rate: int, seconds: int, observer: Observer) -> float:
    """Send events at `rate`; returns the share of slices that came late."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 5, "compression.type": "lz4",
         "log_level": 2, "queue.buffering.max.messages": 1_000_000}
    )  # fmt: skip

    def taken(error: Any, message: Any) -> None:
        if error is None:
            observer.ordered[message.key().decode()] = message.timestamp()[1]

    began, number, late, slices = time.monotonic(), 0, 0, int(seconds / _SLICE_S)
    run = uuid.uuid4().hex[:8]
    item = '"items":[{"sku":"A1","name":"Blue linen shirt","quantity":1,"price":"19.95","category":"shirts"}]'
    for index in range(slices):
        pause = began + index * _SLICE_S - time.monotonic()
        late += pause < -0.5
        time.sleep(max(0.0, pause))
        now = rfc3339(time.time_ns() // 1_000_000)
        for _ in range(int(rate * _SLICE_S)):
            number += 1
            order = number % _ORDERS == 0  # of the cart that was filled by the event before
            cart = f"f{run}-{number - order}"
            more = f'"order_id":"o-{number}"' if order else item
            value = (
                f'{{"event_id":"{run}{number:024x}","type":"{"order.placed" if order else "cart.item_added"}",'
                f'"shop_id":"main","cart_id":"{cart}","session_id":"s-{number:012x}","device_id":"d-{number:010x}",'
                f'"occurred_at":"{now}","currency":"EUR",{more},"cart_url":"https://shop.example.com/cart/{cart}"}}'
            )
            while True:
                try:
                    if order:
                        producer.produce(topic, value, cart, on_delivery=taken)
                    else:
                        producer.produce(topic, value, cart)
                    break
                except BufferError:
                    producer.poll(0.01)
        producer.poll(0)
    producer.flush(30)
    return late / slices


def quantiles(values: list[int]) -> dict[str, float]:
    """p50, p99 and the most, in milliseconds."""
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": ordered[len(ordered) // 2],
        "p99": ordered[int(len(ordered) * 0.99)],
        "max": ordered[-1],
    }


def main(arguments: argparse.Namespace) -> int:
    """Fill, restore, flow, and say both."""
    with broker(arguments.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        prefix = f"flow{uuid.uuid4().hex[:6]}."
        first_due = time.time_ns() // 1_000_000 + 20_000 + arguments.carts // 100  # when they are back, or later
        step = IDLE_MS / max(arguments.carts, 1)
        fill(bootstrap, prefix, arguments.carts, (first_due - IDLE_MS + int(n * step) for n in itertools.count()))
        with workers(arguments.workers, bootstrap, prefix, Path(folder)) as found:
            settled(found)
            feed_topic, out = prefix + topics.CART_EVENTS.name, prefix + topics.CART_OUTCOMES.name
            observer = Observer(bootstrap, out)
            feed(bootstrap, feed_topic, arguments.rate, 5, observer)  # warm
            observer.ordered.clear()
            time.sleep(max(0.0, first_due / 1000 - time.time()))  # the measure begins with the first deadline
            since, used = time.time_ns() // 1_000_000, _cpu(found)
            behind = feed(bootstrap, feed_topic, arguments.rate, arguments.seconds, observer)
            busy = (_cpu(found) - used) / arguments.seconds
            time.sleep(2)
            observer.stop()
        until = since + arguments.seconds * 1000
        late = quantiles([ms for deadline, ms in observer.late if since <= deadline <= until])
        done, asked = observer.completed, observer.ordered
        latency = quantiles([done[cart] - at for cart, at in asked.items() if cart in done])
        missing = sum(cart not in observer.completed for cart in observer.ordered)
    print(f"{arguments.carts:,} open carts, {arguments.rate:,} events/s for {arguments.seconds} s, workers used "
          f"{busy:.2f} cores, {behind:.1%} of the feeder's slices late")  # fmt: skip
    print(f"abandonments behind their deadline, ms: {late}")
    print(f"outcomes behind their event, ms: {latency}, {missing} without an outcome")
    if arguments.json:
        print(json.dumps({"carts": arguments.carts, "rate": arguments.rate, "lateness_ms": late, "latency_ms": latency,
                          "missing": missing, "cores": busy}))  # fmt: skip
    return 0


def _cpu(found: list[Any]) -> float:
    return sum(cpu_seconds(worker.process.pid) for worker in found)
