"""Weeks of checkouts with a daily rhythm, and counts of them in memory with the promises of `cartwake.flow.Counts`."""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate

from cartwake.flow import PACES, STEPS, Counted

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
MONDAY = int(datetime(2026, 8, 3, tzinfo=UTC).timestamp() * 1000)

#: Of those at a step, how many go on; and how many minutes half of them take.
GO_ON = {"contact": 0.8, "address": 0.85, "shipping": 0.9, "payment": 0.8}
TAKE = {"contact": 1.0, "address": 0.8, "shipping": 0.4, "payment": 1.0}
NEXT = {"contact": "address", "address": "shipping", "shipping": "payment", "payment": "order"}
ORDER = {step: number for number, step in enumerate((*STEPS, "order"))}


@dataclass
class Cart:
    """What one cart did: its steps with their times, its order if it came to one."""

    moments: list[tuple[int, str]]


def rhythm(at: int) -> float:
    """How busy a shop is: 0.02 at four in the night, 1 at seven in the evening; a little less at weekends."""
    hour = at % DAY / HOUR
    daily = max(0.02, (1 + math.cos((hour - 19) / 24 * 2 * math.pi)) / 2)
    return daily * (0.8 if (at - MONDAY) // DAY % 7 >= 5 else 1.0)


@dataclass
class World:
    """A shop with `rate` checkouts in its busiest hour; `more` and `go_on` change that from time to time."""

    rate: float
    weeks: float
    seed: int = 1
    more: Callable[[int], float] = lambda _at: 1.0
    go_on: Callable[[int, str], float] = lambda _at, _step: 1.0
    most: float = 1.0  # of `more`
    week_to_week: float = 0.0  # spread of how busy whole days are, and of how many go on

    def carts(self) -> list[Cart]:
        """All checkouts, in order of time."""
        chance = random.Random(self.seed)
        found: list[Cart] = []
        at, end = float(MONDAY), MONDAY + self.weeks * WEEK
        busy: dict[int, tuple[float, float]] = {}
        peak = self.most * math.exp(3 * self.week_to_week)
        while at < end:
            at += chance.expovariate(self.rate * peak / HOUR)
            day = busy.setdefault(
                int(at // DAY),
                (math.exp(chance.gauss(0, self.week_to_week)), 1 - abs(chance.gauss(0, self.week_to_week / 5))),
            )
            if chance.random() * peak < rhythm(int(at)) * self.more(int(at)) * day[0]:
                found.append(Cart(self._moments(int(at), chance, day[1])))
        return found

    def memory(self) -> "Memory":
        """Counts of them."""
        return Memory(self.carts())

    def _moments(self, at: int, chance: random.Random, today: float) -> list[tuple[int, str]]:
        moments, step = [(at, "contact")], "contact"
        while step != "order" and chance.random() < GO_ON[step] * today * self.go_on(at, step):
            at += int(chance.lognormvariate(math.log(TAKE[step]), 0.7) * MINUTE)
            step = NEXT[step]
            moments.append((at, step))
        return moments


@dataclass
class Memory:
    """Counts over carts in lists; only what happened before the moment that is asked about is asked for."""

    carts: Sequence[Cart]
    late: int = 0
    _times: list[int] = field(default_factory=list, init=False)
    _steps: dict[str, tuple[list[int], dict[int, list[int]]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._times = sorted(at for cart in self.carts for at, _ in cart.moments)
        for step in STEPS:
            entries = sorted(
                (at, next((t for t, s in cart.moments if t >= at and s != step and ORDER[s] > ORDER[step]), -1))
                for cart in self.carts
                for at, name in cart.moments
                if name == step
            )
            sums = {
                pace.within: [0, *accumulate(int(then >= 0 and then - at <= pace.within) for at, then in entries)]
                for pace in PACES
            }
            if entries:
                self._steps[step] = ([at for at, _ in entries], sums)
        ends = sorted((cart.moments[-1][0], cart.moments[-1][1] == "order") for cart in self.carts)
        self._ends = [at for at, _ in ends]
        self._bought = [0, *accumulate(int(bought) for _, bought in ends)]
        self._orders = [at for at, bought in ends if bought]

    def newest(self, shop_id: str, now: int) -> tuple[int, int]:
        number = bisect_right(self._times, now)
        return (self._times[number - 1] if number else 0), self.late

    def passing(
        self, shop_id: str, *, starts: Sequence[int], until: int, within: int
    ) -> Mapping[str, Sequence[Counted]]:
        found = {}
        for step, (entries, sums) in self._steps.items():
            end = bisect_left(entries, until)
            begins = [bisect_left(entries, start) for start in starts]
            if begins[0] < end:
                total = sums[within]
                found[step] = [(end - begin, total[end] - total[begin]) for begin in begins]
        return found

    def bought(self, shop_id: str, *, starts: Sequence[int], until: int, idle: int) -> Sequence[Counted]:
        end = bisect_left(self._ends, until)
        return [(end - b, self._bought[end] - self._bought[b]) for b in (bisect_left(self._ends, s) for s in starts)]

    def orders(self, shop_id: str, *, starts: Sequence[int], until: int) -> Sequence[int]:
        end = bisect_left(self._orders, until)
        return [end - bisect_left(self._orders, start) for start in starts]
