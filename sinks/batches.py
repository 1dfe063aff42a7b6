"""Where a batch of one partition starts and ends: fixed before it is written, found again after a crash.

A batch is the records from offset `start` up to, not including, `end`. Offsets may have gaps (compaction,
transactions), so bounds are offsets, never counts. Before a batch is written its bounds are committed to Kafka as
offset `start` with the metadata `end=<offset>`; afterwards offset `end` without. Whoever reads the first after a crash
writes exactly these records again, under the same token, and ClickHouse drops what it has.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sinks.columns import Gather, Record, Rows

_AT_ONCE: Final = 1_000  # records between two looks at the limit of bytes
_INTENT: Final = re.compile(r"^end=(\d{1,19})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A batch is written when it has so many rows or bytes, or is so old."""

    rows: int = 50_000
    size: int = 16 * 1024 * 1024
    age: timedelta = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of one partition from `start` up to `end`; `rows` of them are to be inserted."""

    start: int
    end: int
    rows: Rows


def intent(end: int) -> str:
    """The metadata that says "I am about to write up to `end`"."""
    return f"end={end}"


def intended_end(metadata: str | None, start: int) -> int | None:
    """What `intent` said, or None when there is no such word, or it says nothing beyond `start`."""
    match = _INTENT.match(metadata or "")
    return int(match[1]) if match and int(match[1]) > start else None


def token(topic: str, partition: int, bounds: tuple[int, int], body: bytes) -> str:
    """The deduplication token: the same for the same records of the same place, another for all else.

    The hash of the body is part of it because offsets start again when a topic is made anew, and ClickHouse drops a
    known token silently whatever its rows. (SHA-256 is the fastest of hashlib where the processor knows it.)
    """
    return f"{topic}/{partition}/{bounds[0]}-{bounds[1]}/{hashlib.sha256(body).hexdigest()[:24]}"


class Partition:
    """Collects the rows of one partition into batches. Times are seconds of a monotonic clock."""

    def __init__(self, start: int, *, end: int | None = None, limits: Limits, gather: Gather) -> None:
        """Collect from offset `start`; `end` is the bound of a batch that was begun before a crash."""
        self._limits = limits
        self._gather = gather
        self._closed: list[Batch] = []
        self._fixed = end
        self._begin(start)

    def _begin(self, start: int) -> None:
        self._start = self._position = start
        self._rows = Rows()
        self._since: float | None = None

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._rows.size + sum(x.rows.size for x in self._closed)

    def add(self, records: Sequence[Record], now: float) -> None:
        """Take records, in their order."""
        done = 0
        while done < len(records):
            step = 1 if self._in_doubt(records, done) else max(1, self._limits.rows - len(self._rows))
            some = records[done : done + min(step, _AT_ONCE)]
            done += len(some)
            self._meet(_offset(some[0]))
            if self._since is None:
                self._since = now
            self._gather(self._rows, some)
            self._position = _offset(some[-1]) + 1
            if self._fixed is None and (len(self._rows) >= self._limits.rows or self._rows.size >= self._limits.size):
                self._close(self._position)

    def _in_doubt(self, records: Sequence[Record], done: int) -> bool:
        """Whether a bound lies among the records from `done` on, or may: then each one is looked at."""
        return self._fixed is not None or not self._position <= _offset(records[done]) <= _offset(records[-1])

    def _meet(self, offset: int) -> None:
        if offset < self._position:
            self._fixed = None  # the topic was made anew: what was intended is gone with it
            self._begin(offset)
        elif self._fixed is not None and offset >= self._fixed:
            self._close(self._fixed)

    def reached_end(self, offset: int) -> None:
        """The partition ends at `offset` for now: a batch begun before can't get more records."""
        if self._fixed is not None:
            self._close(min(self._fixed, max(offset, self._start)))

    def take(self, now: float) -> Batch | None:
        """The next batch that is complete or old enough, oldest first; it is not held any more."""
        old = self._since is not None and now - self._since >= self._limits.age.total_seconds()
        if old and not self._closed and self._fixed is None:
            self._close(self._position)
        return self._closed.pop(0) if self._closed else None

    def _close(self, end: int) -> None:
        self._fixed = None
        if end > self._start:
            self._closed.append(Batch(start=self._start, end=end, rows=self._rows))
        self._begin(max(end, self._start))


def _offset(record: Record) -> int:
    return record.offset() or 0
