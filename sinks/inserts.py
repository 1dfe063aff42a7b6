"""Batches on their way to ClickHouse: several at once, again and again while it is away, halved when it refuses a row.

in   batches with fixed bounds
out  rows in ClickHouse; the records of refused rows, to whoever takes them

A batch is inserted under one token. When ClickHouse refuses it for good, its halves are tried, and theirs, until the
rows are found that it does not take: those are handed over once, when all others are in. The halves have tokens of
their own that depend on nothing but the batch, so a batch that is repeated after a crash is halved the same way and
nothing is there twice.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final, Protocol

from cartwake.errors import Rejected, SinkUnavailable, Unavailable
from sinks.batches import Batch, token
from sinks.columns import Rows, block

log = logging.getLogger(__name__)

AT_ONCE: Final = 2  # one more gains nothing: ClickHouse sorts and compresses each in one thread, Python feeds them
MOST_REFUSED: Final = 100  # of a batch; more is no odd record but something that is wrong everywhere
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class Store(Protocol):
    """Write every row or raise SinkUnavailable or Rejected. Repeating a call with the same token is safe."""

    def insert(self, statement: str, body: bytes, *, token: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that ClickHouse did not take, and what it said."""

    offset: int
    key: bytes | None
    value: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of a batch: all rows but `refused` are in."""

    batch: Batch
    refused: int


#: Takes what was refused of a topic's partition; raises Unavailable to be asked again.
Aside = Callable[[str, int, Sequence[Refused]], None]


class AbandonedError(Exception):
    """The batch is not to be waited for any more; whoever owns its partition next writes it."""


class Inserts:
    """The batches that are being written. `inserts` has the statements and the plain name of each topic."""

    def __init__(
        self,
        store: Store,
        inserts: Mapping[str, tuple[str, Sequence[str]]],
        aside: Aside,
        *,
        retried: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._inserts = inserts
        self._aside = aside
        self._retried = retried
        self._gone = threading.Event()
        self._flying: set[Future[Inserted]] = set()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="insert")

    def begin(self, topic: str, partition: int, batch: Batch) -> Future[Inserted]:
        """Write the batch; the future ends when ClickHouse has it.

        It raises Rejected when ClickHouse would take no row, or refused more than MOST_REFUSED, and AbandonedError.
        """
        flight = self._pool.submit(_Flight(self, topic, partition, batch, self._gone).fly)
        self._flying.add(flight)
        flight.add_done_callback(self._flying.discard)
        return flight

    def abandon(self) -> None:
        """Try nothing again, and return when what was being said to ClickHouse has been said."""
        self._gone.set()
        wait(set(self._flying))
        self._gone = threading.Event()

    def close(self) -> None:
        """Abandon all, and end the threads."""
        self.abandon()
        self._pool.shutdown()


class _Flight:
    """One batch on its way."""

    def __init__(self, shared: Inserts, topic: str, partition: int, batch: Batch, gone: threading.Event) -> None:
        self._shared = shared
        self._topic = topic
        self._partition = partition
        self._batch = batch
        self._gone = gone
        self._name, self._statements = shared._inserts[topic]
        self._refused: dict[int, Refused] = {}

    def fly(self) -> Inserted:
        rows, bounds = self._batch.rows, (self._batch.start, self._batch.end)
        body = block(self._name, self._partition, rows)
        for statement in self._statements:
            try:
                self._insert(statement, body, bounds)
            except Rejected as exc:
                self._check(statement, exc)
                self._find(statement, rows, exc)
        if self._refused:
            found = [self._refused[offset] for offset in sorted(self._refused)]
            self._patiently(lambda: self._shared._aside(self._topic, self._partition, found), "dead letters")
        return Inserted(self._batch, len(self._refused))

    def _check(self, statement: str, exc: Rejected) -> None:
        """Raise `exc` when no row at all would be taken: then it is not a row's fault."""
        try:
            self._patiently(lambda: self._shared._store.insert(statement, b"", token=""), "rows")
        except Rejected:
            raise exc from None

    def _find(self, statement: str, rows: Rows, exc: Rejected) -> None:
        """Insert the rows but those that are refused; `exc` is what was said to all of them."""
        if len(rows) == 1:
            self._refused[rows.offsets[0]] = Refused(rows.offsets[0], rows.keys[0], rows.values[0], str(exc))
            if len(self._refused) > MOST_REFUSED:
                raise exc
            return
        for half in rows.halves():
            try:
                bounds = (half.offsets[0], half.offsets[-1] + 1)
                self._insert(statement, block(self._name, self._partition, half), bounds)
            except Rejected as said:
                self._find(statement, half, said)

    def _insert(self, statement: str, body: bytes, bounds: tuple[int, int]) -> None:
        name = token(self._topic, self._partition, bounds, body)
        self._patiently(lambda: self._shared._store.insert(statement, body, token=name), "rows")

    def _patiently(self, act: Callable[[], None], what: str) -> None:
        """Do it, again and again while ClickHouse or Kafka is away."""
        pause = _FIRST_PAUSE
        while True:
            if self._gone.is_set():
                raise AbandonedError
            try:
                act()
            except Unavailable as exc:
                if isinstance(exc, SinkUnavailable):
                    self._shared._retried()
                log.warning(
                    "%d %s of %s wait, next try in %.1f s: %s", len(self._batch.rows), what, self._topic, pause, exc
                )
                if self._gone.wait(pause):
                    raise AbandonedError from exc
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return
