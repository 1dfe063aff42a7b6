"""Abandonments kept as rows: computed anew when something new is said of them.

in   what the sink has written of cart-outcomes, subscriber-carts and messages: offsets by topic and partition
out  abandonments_log, and rollup_progress, from which whoever has the partition next goes on
"""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

import sql
from cartwake.errors import SinkUnavailable
from cartwake.topics import CART_OUTCOMES, MESSAGES, SUBSCRIBER_CARTS

log = logging.getLogger(__name__)

TOPICS: Final = frozenset(topic.name for topic in (CART_OUTCOMES, SUBSCRIBER_CARTS, MESSAGES))
#: Seconds between two looks: each costs the same for one abandonment and for a hundred.
PAUSE: Final = 2.0
_OFFSETS: Final = 5_000  # looked at in one go
_KEYS: Final = 1_000  # computed in one go
_DAY_MS: Final = timedelta(days=1) // timedelta(milliseconds=1)

Place = tuple[str, int]


class Store(Protocol):
    """ClickHouse as it is needed here."""

    def query(self, statement: str, parameters: Any = None) -> list[dict[str, Any]]: ...
    def execute(self, statement: str, parameters: Any = None) -> None: ...


class Rollup:
    """What waits to be computed, by topic (its name without the prefix) and partition. Not for several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._until: dict[Place, int] = {}  # computed up to here
        self._written: dict[Place, int] = {}  # in the logs up to here
        self._next = 0.0

    def take(self, places: dict[Place, int]) -> None:
        """These partitions are ours now, each written up to an offset; raises SinkUnavailable."""
        known = {(x["topic"], x["partition"]): x["until"] for x in self._store.query(sql.read("rollup/progress.sql"))}
        self._written = {place: end for place, end in places.items() if place[0] in TOPICS}
        # a topic that was made anew begins again
        self._until = {
            place: known.get(place, 0) if known.get(place, 0) <= end else 0 for place, end in self._written.items()
        }

    def wrote(self, place: Place, end: int) -> None:
        """The log has the records of a partition up to `end`."""
        if place in self._written:
            self._written[place] = end

    @property
    def behind(self) -> int:
        """Offsets that are written and not computed."""
        return sum(end - self._until[place] for place, end in self._written.items())

    def look(self, now: float, *, at_once: bool = False) -> None:
        """Compute some of what waits, if it is time to; what fails now is tried again later."""
        if now < self._next and not at_once:
            return
        self._next = now + PAUSE
        try:
            for place, end in self._written.items():
                while (begin := self._until[place]) < end and (at_once or time.monotonic() < self._next):
                    self.compute(place, begin, min(begin + _OFFSETS, end))
                    self._until[place] = min(begin + _OFFSETS, end)
        except SinkUnavailable as exc:
            log.warning("abandonments wait to be computed: %s", exc)

    def compute(self, place: Place, first: int, last: int) -> None:
        """Compute what records of a partition speak of, from offset `first` up to, not including, `last`."""
        topic, partition = place
        asked = {"topic": topic, "partition": partition, "first": first, "last": last}
        touched = self._store.query(sql.read("rollup/touched.sql"), asked)
        for some in _pieces(sorted(touched, key=lambda x: (x["at"], x["abandonment_id"]))):
            parameters = {
                "shops": sorted({x["shop_id"] for x in some}),
                "carts": [x["cart_id"] for x in some],
                "abandonments": [x["abandonment_id"] for x in some],
                "times": sorted({x["at"] for x in some}),
                "since": some[0]["at"] - _DAY_MS,
            }
            self._store.execute(sql.read("rollup/abandonments.sql"), parameters)
        self._store.execute(sql.read("rollup/note.sql"), {"topic": topic, "partition": partition, "until": last})


def _pieces(keys: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    return (keys[i : i + _KEYS] for i in range(0, len(keys), _KEYS))
