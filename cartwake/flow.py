"""Whether a shop's checkout goes as usual: what is counted, what is normal, and when it has fallen. Pure.

Every signal is a share that falls when something breaks, or a number of orders. Normal is the same time of the same
weekday in the last weeks. docs/alarms.md says it for the staff, docs/decisions/0010-alarms.md why it is so.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from statistics import median
from typing import Final, Literal, Protocol

from cartwake.clock import to_datetime, to_ms

MINUTE_MS: Final = 60_000
#: Steps of a checkout, in order; each is a signal: the share of those who reached it that goes on.
STEPS: Final = ("contact", "address", "shipping", "payment", "review")
BOUGHT: Final = "bought"  # of the carts that were left or bought, the share that was bought
ORDERS: Final = "orders"  # orders against their usual number
SIGNALS: Final = (*STEPS, BOUGHT, ORDERS)

WEEKS: Final = tuple(range(7, 43, 7))  # days back
DAYS: Final = tuple(range(1, 8))  # for shops that are not there for three weeks yet
LEAST_PERIODS: Final = 3
LEAST_IN_PERIOD: Final = 10
LEAST_IN_ALL: Final = 50
AROUND_MS: Final = 30 * MINUTE_MS  # more of the hour than the window, before and after it
QUARTER_MS: Final = 15 * MINUTE_MS
SAID_MS: Final = 5 * MINUTE_MS  # after its deadline a cart's abandonment is known
MOST_LATE_MS: Final = 60 * MINUTE_MS
_MAD: Final = 1.4826  # of a normal distribution, so that the deviation compares with a standard deviation

Sensitivity = Literal["low", "normal", "high"]
Counted = tuple[int, int]  # (of how many, how many went on)


@dataclass(frozen=True, slots=True)
class Pace:
    """Who reached a step is given `within` (ms) to go on. Windows (minutes) are of reaching it, and end so long ago."""

    within: int
    windows: tuple[int, ...]


#: Quick finds a break of a busy checkout in minutes; slow has enough checkouts to judge a shop with few of them.
PACES: Final = (Pace(3 * MINUTE_MS, (5, 10, 20, 40)), Pace(20 * MINUTE_MS, (20, 60, 180)))
BOUGHT_WINDOWS: Final = (60, 180)
ORDER_WINDOWS: Final = (5, 15, 30, 60, 180)


@dataclass(frozen=True, slots=True)
class Demand:
    """What must hold before something is said: how unlikely, and how far below normal (as a share of it)."""

    chance: float
    fall: float


DEMANDS: Final[Mapping[Sensitivity, Demand]] = {
    "low": Demand(1e-9, 0.5),
    "normal": Demand(1e-7, 1 / 3),
    "high": Demand(1e-5, 0.2),
}


class Counts(Protocol):
    """What happened at a shop, counted; times are epoch milliseconds. Each method raises SinkUnavailable."""

    def newest(self, shop_id: str, now: int) -> tuple[int, int]:
        """When the newest step or order happened, 0 for none lately; and how late events come (19 of 20 sooner), ms."""
        ...

    def passing(
        self, shop_id: str, *, starts: Sequence[int], until: int, within: int
    ) -> Mapping[str, Sequence[Counted]]:
        """By step, for each of `starts` (earliest first): carts that reached it from there to `until` and went on.

        A cart counts when it reached the step first since the earliest start.
        """
        ...

    def bought(self, shop_id: str, *, starts: Sequence[int], until: int, idle: int) -> Sequence[Counted]:
        """For each of `starts`: carts whose last activity was from there to `until`, and those of them bought."""
        ...

    def orders(self, shop_id: str, *, starts: Sequence[int], until: int) -> Sequence[int]:
        """For each of `starts`: orders from there to `until`."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """A signal in a window, `start` to `until`, and the same of the weeks (else days) before."""

    signal: str
    start: int
    until: int
    within: int
    now: Counted
    past: tuple[Counted, ...]

    @property
    def minutes(self) -> int:
        """The length of the window."""
        return (self.until - self.start) // MINUTE_MS

    @property
    def share(self) -> float:
        """The share that went on; of orders what came of each that is usual."""
        of, passed = self.now
        if self.signal == ORDERS:
            usual = self.usual
            return passed / usual if usual else 1.0
        return passed / of if of else 1.0

    @property
    def usual(self) -> float | None:
        """The share, or number of orders, that is normal; None when nobody can say."""
        if self.signal == ORDERS:
            return float(median(n for n, _ in self.past)) if len(self.past) >= LEAST_PERIODS else None
        return median(self._shares()) if self._known() else None

    @property
    def least(self) -> float | None:
        """The low end of what is normal; None when nobody can say."""
        if self.signal == ORDERS:
            return float(min(n for n, _ in self.past)) if len(self.past) >= LEAST_PERIODS else None
        if not self._known():
            return None
        shares = self._shares()
        middle = median(shares)
        spread = _MAD * median(abs(share - middle) for share in shares)
        of, passed = (sum(column) for column in zip(*self.past, strict=True))
        return min(middle - 2 * spread, wilson(passed, of))

    def fell(self, demand: Demand) -> bool:
        """Whether it is far below normal, and not by chance."""
        least, usual = self.least, self.usual
        if least is None or usual is None or least <= 0:
            return False
        of, passed = self.now
        if self.signal == ORDERS:
            return passed <= least / 10 and poisson_at_most(passed, least) < demand.chance
        return self.share <= usual * (1 - demand.fall) and binomial_at_most(passed, of, least) < demand.chance

    def _known(self) -> bool:
        return len(self.past) >= LEAST_PERIODS and sum(of for of, _ in self.past) >= LEAST_IN_ALL

    def _shares(self) -> list[float]:
        return [passed / of for of, passed in self.past]


@dataclass(slots=True)
class Watcher:
    """Looks at shops through `counts`. What was normal is asked for once a quarter of an hour and remembered."""

    counts: Counts
    _normal: dict[tuple[str, str, int], list[Mapping[str, Sequence[Counted]]]] = field(default_factory=dict)

    def looks(self, shop_id: str, *, now: int, where: tzinfo, idle: int) -> list[Look]:
        """Every signal of a shop in every window. `where` is its time zone; a cart is left after `idle` ms."""
        newest, late = self.counts.newest(shop_id, now)
        if not newest or late > MOST_LATE_MS:
            return []
        heard = min(now, newest) - late
        found: list[Look] = []
        for number, pace in enumerate(PACES):
            until = heard - pace.within
            found += self._of(
                shop_id, f"pace {number}", pace.windows, until, where, pace.within,
                lambda starts, end, within=pace.within: self.counts.passing(
                    shop_id, starts=starts, until=end, within=within
                ),
            )  # fmt: skip
        found += self._of(
            shop_id, BOUGHT, BOUGHT_WINDOWS, now - idle - late - SAID_MS, where, 0,
            lambda starts, end: {BOUGHT: self.counts.bought(shop_id, starts=starts, until=end, idle=idle)},
        )  # fmt: skip
        found += self._of(
            shop_id, ORDERS, ORDER_WINDOWS, now - late, where, 0,
            lambda starts, end: {ORDERS: [(n, n) for n in self.counts.orders(shop_id, starts=starts, until=end)]},
        )  # fmt: skip
        return found

    def _of(
        self, shop_id: str, kind: str, windows: Sequence[int], until: int, where: tzinfo, within: int, ask: "_Ask"
    ) -> Iterator[Look]:
        starts = [until - minutes * MINUTE_MS for minutes in reversed(windows)]
        counted = ask(starts, until)
        if kind != ORDERS and not any(of >= LEAST_IN_PERIOD for each in counted.values() for of, _ in each):
            return
        normal = self._before(shop_id, kind, windows, until, where, ask)
        least = 1 if kind == ORDERS else LEAST_IN_PERIOD  # without an order: the shop was not there, or was broken
        for signal, each in counted.items():
            for number, now in enumerate(each):
                weeks, days = (
                    [x for x in (_counted(period, signal, number) for period in periods) if x[0] >= least]
                    for periods in (normal[: len(WEEKS)], normal[len(WEEKS) :])
                )
                yield Look(
                    signal, starts[number], until, within, now,
                    tuple(weeks if len(weeks) >= LEAST_PERIODS else days),
                )  # fmt: skip

    def _before(
        self, shop_id: str, kind: str, windows: Sequence[int], until: int, where: tzinfo, ask: "_Ask"
    ) -> list[Mapping[str, Sequence[Counted]]]:
        quarter = until // QUARTER_MS * QUARTER_MS
        key = (shop_id, kind, quarter)
        if key not in self._normal:
            for other in [x for x in self._normal if x[:2] == key[:2]]:
                del self._normal[other]
            around = 0 if kind == ORDERS else AROUND_MS
            self._normal[key] = [
                ask([then - minutes * MINUTE_MS - around for minutes in reversed(windows)], then + around)
                for then in (days_before(quarter, days, where) for days in (*WEEKS, *DAYS))
            ]
        return self._normal[key]


class _Ask(Protocol):
    def __call__(self, starts: Sequence[int], end: int, /) -> Mapping[str, Sequence[Counted]]: ...


def _counted(period: Mapping[str, Sequence[Counted]], signal: str, number: int) -> Counted:
    each = period.get(signal)
    return each[number] if each else (0, 0)


def days_before(at: int, days: int, where: tzinfo) -> int:
    """The same time of day by the clock there, so many days before."""
    return to_ms(to_datetime(at).astimezone(where) - timedelta(days=days))


# -- chance --------------------------------------------------------------------------------------------------------
def binomial_at_most(passed: int, of: int, share: float) -> float:
    """The chance that of so many no more than `passed` go on, where each does with the chance `share`."""
    if share <= 0 or passed >= of:
        return 1.0
    if share >= 1:
        return 0.0
    term = math.exp(
        math.lgamma(of + 1) - math.lgamma(passed + 1) - math.lgamma(of - passed + 1)
        + passed * math.log(share) + (of - passed) * math.log1p(-share)
    )  # fmt: skip
    if passed >= of * share:
        return 1.0  # no fall at all: nobody needs it more exactly
    total, odds = term, (1 - share) / share
    for k in range(passed, 0, -1):
        term *= k / (of - k + 1) * odds
        total += term
        if term < total * 1e-12:
            break
    return min(total, 1.0)


def poisson_at_most(count: int, mean: float) -> float:
    """The chance of no more than `count` where `mean` are usual."""
    if count >= mean:
        return 1.0
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    total = term
    for k in range(count, 0, -1):
        term *= k / mean
        total += term
    return min(total, 1.0)


def wilson(passed: int, of: int, z: float = 3.0) -> float:
    """The lower bound of a share that was counted (Wilson score interval)."""
    share, square = passed / of, z * z
    middle = share + square / (2 * of)
    return (middle - z * math.sqrt(share * (1 - share) / of + square / (4 * of * of))) / (1 + square / of)
