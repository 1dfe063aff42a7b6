"""Where a batch of one partition starts and ends: fixed before it is written, found again after a crash.

A batch is the records from offset `start` up to, not including, `end`. Offsets may have gaps (compaction,
transactions), so bounds are offsets, never counts. Before a batch is written its bounds are committed to Kafka as
offset `start` with the metadata `end=<offset>`; afterwards offset `end` without. Whoever reads the first after a crash
writes exactly these records again, under the same token, and ClickHouse drops what it has.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_INTENT: Final = re.compile(r"^end=(\d{1,19})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A batch is written when it has so many rows or bytes, or is so old."""

    rows: int = 50_000
    size: int = 16 * 1024 * 1024
    age: timedelta = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Records of one partition from `start` up to `end`; `rows` of them are to be inserted, as `body`."""

    start: int
    end: int
    rows: int
    body: bytes


def intent(end: int) -> str:
    """The metadata that says "I am about to write up to `end`"."""
    return f"end={end}"


def intended_end(metadata: str | None, start: int) -> int | None:
    """What `intent` said, or None when there is no such word, or it says nothing beyond `start`."""
    match = _INTENT.match(metadata or "")
    return int(match[1]) if match and int(match[1]) > start else None


def token(topic: str, partition: int, batch: Batch) -> str:
    """The deduplication token: the same for the same records of the same place, another for all else.

    The hash of the body is part of it because offsets start again when a topic is made anew, and ClickHouse drops a
    known token silently whatever its rows.
    """
    digest = hashlib.blake2b(batch.body, digest_size=12).hexdigest()
    return f"{topic}/{partition}/{batch.start}-{batch.end}/{digest}"


class Partition:
    """Collects the rows of one partition into batches. Times are seconds of a monotonic clock."""

    def __init__(self, start: int, *, end: int | None = None, limits: Limits) -> None:
        """Collect from offset `start`; `end` is the bound of a batch that was begun before a crash."""
        self._limits = limits
        self._closed: list[Batch] = []
        self._fixed = end
        self._begin(start)

    def _begin(self, start: int) -> None:
        self._start = self._position = start
        self._rows: list[bytes] = []
        self._size = 0
        self._since: float | None = None

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size + sum(len(x.body) for x in self._closed)

    def add(self, offset: int, row: bytes | None, now: float) -> None:
        """Take the record at `offset`; None when it is not to be inserted."""
        if offset < self._position:
            self._fixed = None  # the topic was made anew: what was intended is gone with it
            self._begin(offset)
        elif self._fixed is not None and offset >= self._fixed:
            self._close(self._fixed)
        if self._since is None:
            self._since = now
        if row is not None:
            self._rows.append(row)
            self._size += len(row)
        self._position = offset + 1
        if self._fixed is None and (len(self._rows) >= self._limits.rows or self._size >= self._limits.size):
            self._close(self._position)

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
            self._closed.append(Batch(start=self._start, end=end, rows=len(self._rows), body=b"".join(self._rows)))
        self._begin(max(end, self._start))
