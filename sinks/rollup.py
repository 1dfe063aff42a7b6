"""Abandonments kept as rows, and their days as figures: computed anew when something new is said of them.

in   what the sink has written of cart-outcomes, subscriber-carts and messages: offsets by topic and partition
out  abandonments_log, abandonment_days_log, and rollup_progress_log, from which whoever has the partition next goes on
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import sql
from cartwake.clock import DAY_MS
from cartwake.errors import SinkUnavailable
from cartwake.topics import CART_OUTCOMES, MESSAGES, SUBSCRIBER_CARTS
from sinks.clickhouse import moments

log = logging.getLogger(__name__)

TOPICS: Final = frozenset(topic.name for topic in (CART_OUTCOMES, SUBSCRIBER_CARTS, MESSAGES))
#: Seconds between two looks at least. Each costs nearly the same for one abandonment and for a hundred, so one that
#: took long is followed by a pause of several times that.
LEAST_PAUSE: Final = 0.2
SHARE: Final = 4
_OFFSETS: Final = 5_000  # looked at in one go
_KEYS: Final = 1_000  # computed in one go

_DAYS: Final = 100  # counted in one go

Place = tuple[str, int]
Day = tuple[str, int]  # of a shop, the day since the epoch, UTC
T = TypeVar("T")


class Store(Protocol):
    """ClickHouse as it is needed here."""

    def query(self, statement: str, parameters: Any = None) -> list[dict[str, Any]]: ...
    def execute(self, statement: str, parameters: Any = None) -> None: ...


class Rollup:
    """What waits to be computed, by topic (its name without the prefix) and partition. Not for several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[Place, int] = {}  # in the logs up to here
        self._until: dict[Place, int] | None = None  # computed up to here; None: to be asked for
        self._next = 0.0

    def take(self, places: Mapping[Place, int]) -> None:
        """These partitions are ours now, each written up to an offset."""
        self._written = {place: end for place, end in places.items() if place[0] in TOPICS}
        self._until = None

    def wrote(self, place: Place, end: int) -> None:
        """The log has the records of a partition up to `end`."""
        if place in self._written:
            self._written[place] = end

    def look(self, now: float, *, patience: float = 0.5) -> None:
        """Compute what waits, if it is time to, for so many seconds; what fails is tried again later."""
        if now < self._next:
            return
        began = time.monotonic()
        try:
            until = self._until = self._asked() if self._until is None else self._until
            days, fresh = set[Day](), set[Place]()
            for place, end in self._written.items():
                while (first := until[place]) < end and time.monotonic() < began + patience:
                    until[place] = min(first + _OFFSETS, end)
                    days |= self._renew(place, first, until[place])
                    fresh.add(place)
            count(self._store, days)
            for place in fresh:
                self._note(place, until[place])
        except SinkUnavailable as exc:
            self._until = None
            log.warning("abandonments wait to be computed: %s", exc)
        self._next = now + max(LEAST_PAUSE, SHARE * (time.monotonic() - began))

    def _asked(self) -> dict[Place, int]:
        known = progress(self._store)
        # a topic that was made anew begins again
        return {place: known.get(place, 0) if known.get(place, 0) <= end else 0 for place, end in self._written.items()}

    def compute(self, place: Place, first: int, last: int) -> None:
        """Compute what records of a partition speak of, from offset `first` up to, not including, `last`."""
        count(self._store, self._renew(place, first, last))
        self._note(place, last)

    def _renew(self, place: Place, first: int, last: int) -> set[Day]:
        """Write the abandonments anew that these records speak of; the days whose figures are to be counted for it."""
        topic, partition = place
        asked = {"topic": topic, "partition": partition, "first": first, "last": last}
        touched = self._store.query(sql.read("rollup/touched.sql"), asked)
        for some in _pieces(sorted(touched, key=lambda x: (x["at"], x["abandonment_id"])), _KEYS):
            parameters = {
                "shops": sorted({x["shop_id"] for x in some}),
                "carts": [x["cart_id"] for x in some],
                "abandonments": [x["abandonment_id"] for x in some],
                "times": moments(x["at"] for x in some),
                "since": some[0]["at"] - DAY_MS,
            }
            self._store.execute(sql.read("rollup/abandonments.sql"), parameters)
        return {(x["shop_id"], x["at"] // DAY_MS) for x in touched}

    def _note(self, place: Place, until: int) -> None:
        topic, partition = place
        self._store.execute(sql.read("rollup/note.sql"), {"topic": topic, "partition": partition, "until": until})


def count(store: Store, days: Iterable[Day]) -> None:
    """Count these days anew. Days of several shops may be counted that only one of them asked for."""
    for some in _pieces(sorted(days, key=lambda x: x[1]), _DAYS):
        first, last = some[0][1], some[-1][1] + 1
        parameters = {
            "shops": sorted({shop for shop, _ in some}),
            "days": [at[:10] for at in moments(day * DAY_MS for _, day in some)],
            "since": moments([first * DAY_MS])[0],
            "until": moments([last * DAY_MS])[0],
        }
        store.execute(sql.read("rollup/days.sql"), parameters)


def progress(store: Store) -> dict[Place, int]:
    """How far the abandonments are computed, by topic (its name without the prefix) and partition."""
    return {(x["topic"], x["partition"]): x["until"] for x in store.query(sql.read("rollup/progress.sql"))}


def _pieces(found: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (found[i : i + size] for i in range(0, len(found), size))
