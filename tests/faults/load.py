"""Input whose outcome is plain, and feeding it.

Every event lies hours in the past, and further than the idle time from the cart's event before it. So each gap is an
abandonment whenever it is computed: by the cart's next event, or by a clock that has long passed the deadline. Carts
follow a few dozen plots; what must come out is what the oracle says of each plot.
"""

import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import confluent_kafka
import msgspec

from tests import oracle

HOUR: Final = 3_600_000
IDLE: Final = 2 * HOUR  # the default of a shop
PLOTS: Final = 48
REPEATED: Final = 0.04  # of the events come again
PATIENCE_S: Final = 120.0


@cache
def _today() -> int:
    """One moment for all loads of a run, so that equal ones are the same."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Load:
    """About `events` events of interleaved carts, each cart in order; the same for the same arguments."""

    seed: int
    events: int
    longest: int = 12  # events of a cart
    at: int = field(default_factory=_today)  # all is over by then
    plots: list[list[dict[str, Any]]] = field(default_factory=list)
    expected: list[list[tuple[Any, ...]]] = field(default_factory=list)  # of each plot: what is decided, in order

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        for _ in range(PLOTS):
            plot = _plot(chance, self.longest, self.at)
            self.plots.append(plot)
            self.expected.append(_outcomes(plot))

    def plot_of(self, cart: str) -> int:
        """Which plot a cart follows."""
        return int(cart[1:]) % PLOTS

    def small(self) -> "Load":
        """The same plots with one cart each."""
        return Load(self.seed, 1, self.longest, self.at)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Cart and record, one after the other; every cart that begins also ends, and each plot has a cart."""
        chance = random.Random(self.seed + 1)
        tails = [[msgspec.json.encode(event)[1:] for event in plot] for plot in self.plots]
        crowd = max(PLOTS, min(2_000, self.events // 40))
        going = [[n, 0] for n in range(crowd if self.events > 1 else PLOTS)]
        began, said = len(going), 0
        while going:
            place = int(chance.random() * len(going))
            number, step = cart = going[place]
            while True:
                yield (
                    f"c{number}",
                    b'{"event_id":"e%d-%d","cart_id":"c%d",' % (number, step, number) + tails[number % PLOTS][step],
                )
                said += 1
                if chance.random() > REPEATED:
                    break
            cart[1] += 1
            if cart[1] < len(tails[number % PLOTS]):
                continue
            if said < self.events and self.events > 1:
                going[place], began = [began, 0], began + 1
            else:
                going[place] = going[-1]
                going.pop()


def _plot(chance: random.Random, longest: int, now: int) -> list[dict[str, Any]]:
    """What happens to a cart, without its name: first an item, and never two events within one idle time."""
    length = chance.randint(1, longest)
    gaps = [IDLE + chance.randint(1, 2 * HOUR) for _ in range(length + 1)]
    at = now - sum(gaps) - HOUR
    plot: list[dict[str, Any]] = []
    for step in range(length):
        kind = "cart.item_added" if step == 0 else chance.choice(_KINDS)
        event = {"type": kind, "shop_id": "main", "occurred_at": at, "currency": "EUR"}
        if kind == "checkout.step":
            event["step"] = chance.choice(oracle.STEPS)
        elif kind == "order.placed":
            event["order_id"] = f"o{step}"
        elif kind in oracle.FILLINGS:
            event["items"] = [
                {
                    "sku": f"s{chance.randrange(4)}",
                    "quantity": chance.randint(1, 3),
                    "price": f"{chance.randint(1, 99)}.50",
                }
                for _ in range(chance.randint(1, 2))
            ]
        plot.append(event)
        at += gaps[step]
    return plot


_KINDS: Final = (
    *["cart.item_added"] * 5, *["cart.item_removed"] * 2, *["cart.updated"] * 2, *["cart.viewed"] * 2,
    *["checkout.step"] * 2, *["order.placed"] * 2, "cart.cleared",
)  # fmt: skip


def _outcomes(plot: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What the oracle says of one cart; `cart_id` is left out, as each cart that follows the plot has its own."""
    first = plot[0]["occurred_at"]
    arrivals = [
        {
            "partition": 0,
            "arrival": max(first, event["occurred_at"]),
            "event": event | {"event_id": str(n), "cart_id": ""},
        }
        for n, event in enumerate(plot)
    ]
    result = oracle.run(arrivals, idle=IDLE, until=math.inf)
    return [effect(outcome) for said in result.outcomes.values() for outcome in said]


def effect(outcome: oracle.Outcome) -> tuple[Any, ...]:
    """What an outcome says as far as the rules decide it, to be counted."""
    said = oracle.decided(outcome)
    return tuple(tuple(sorted(part.items())) if isinstance(part, dict) else part for part in said)


class Feeder:
    """Sends a load in a thread, `rate` events a second, None for as fast as it goes; the rate may be changed."""

    def __init__(self, bootstrap: str, topic: str, load: Load, rate: float | None = None) -> None:
        self.rate = rate
        self.burst = 0  # so many are sent at once before the rate counts
        self.sent = 0
        self.refused: list[str] = []
        self._topic, self._load = topic, load
        self._stop = threading.Event()
        self._producer: Any = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True,
                "linger.ms": 5, "queue.buffering.max.messages": 100_000, "message.timeout.ms": 600_000,
                "reconnect.backoff.max.ms": 500, "log_level": 2,
            },
            error_cb=lambda _error: None,  # what fails for good is told by on_delivery
        )  # fmt: skip
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> "Feeder":
        """Begin."""
        self._thread.start()
        return self

    def finish(self) -> int:
        """Send the rest at once and return how many were sent; raises RuntimeError when the broker took not all."""
        self.rate = None
        self._thread.join(PATIENCE_S + self._load.events / 2_000)
        if self._thread.is_alive() or self.refused:
            raise RuntimeError(f"the input was not fed: {self.refused[:2] or 'the broker takes none'}")
        return self.sent

    @property
    def done(self) -> bool:
        """Whether all of it has been sent."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Give up."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(60)

    def _run(self) -> None:
        due = time.monotonic()
        for cart, record in self._load:
            while True:
                try:
                    self._producer.produce(self._topic, record, cart, on_delivery=self._on_delivery)
                    break
                except BufferError:
                    self._producer.poll(0.1)
                if self._stop.is_set():
                    return
            self.sent += 1
            if self.sent % 50 == 0:
                self._producer.poll(0)
                if self._stop.is_set():
                    return
                rate = self.rate if self.sent >= self.burst else None
                due = max(due + 50 / rate, time.monotonic() - 0.5) if rate else time.monotonic()
                while rate and self.rate and (left := due - time.monotonic()) > 0 and not self._stop.is_set():
                    time.sleep(min(left, 0.1))
        while self._producer.flush(0.5) and not self._stop.is_set():
            pass

    def _on_delivery(self, error: Any, _message: Any) -> None:
        if error is not None:
            self.refused.append(str(error))
