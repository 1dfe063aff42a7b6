"""Stage 4, remembering: every record of every topic into its table, once, whatever is killed in between.

in   all topics, by partition
out  ClickHouse tables `<topic>_log`, through sql/ingest; offsets of the group `<prefix>sink`; `dead-letters`, what
     ClickHouse refuses

One thread reads and commits. Batches of two partitions are inserted meanwhile, by threads of their own; a partition
has one on its way at most, so its offset and the bounds of what is being written are one commit.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import sql
from cartwake.errors import KafkaUnavailable
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.topics import ALL
from sinks.aside import put_aside
from sinks.batches import Batch, Limits, Partition, intended_end, intent
from sinks.columns import gather
from sinks.inserts import AT_ONCE, Inserted, Inserts, Refused, Store
from sinks.rollup import Rollup

__all__ = ["Counters", "Sink", "Store", "statements"]

log = logging.getLogger(__name__)

_READ: Final = 10_000  # records asked of the client in one call
_HELD: Final = 96 * 1024 * 1024  # bytes in memory, those on their way among them, before nothing more is read
_REPORT_EVERY: Final = 30.0
#: What a topic tells a second table: each statement has its own table, whose own token makes repeating it safe.
_MORE: Final = {"messages": ("given_codes",)}

Place = tuple[str, int]


@dataclass(slots=True)
class Counters:
    """What one sink has done since it started."""

    records: int = 0
    rows: int = 0
    bytes: int = 0
    batches: int = 0
    repeated: int = 0
    retries: int = 0
    dropped: int = 0
    refused: int = 0


def statements(topic: str) -> tuple[str, ...]:
    """The inserts that a batch of `topic` (its name without the prefix) is written with, all with the same body."""
    table = topic.replace("-", "_")
    return tuple(sql.read(f"ingest/{name}.sql") for name in (table, *_MORE.get(topic, ())))


class _MovedError(Exception):
    """Partitions were taken away, or Kafka did not take a commit: what is in flight is begun anew."""


class Sink:
    """One member of the sink's group. `at` is told the names of the points where a crash is interesting."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        limits: Limits | None = None,
        rollup: Rollup | None = None,
        at: Callable[[str], None] = lambda _point: None,
    ) -> None:
        self.counters = Counters()
        self._settings = settings
        self._store = store
        self._limits = limits or Limits()
        self._at = at
        self._bootstrap = settings.bootstrap
        self._prefix = settings.topic_prefix
        self._names = {self._prefix + x.name: x.name for x in ALL}
        self._gather = {topic: gather(name) for topic, name in self._names.items()}
        self._partitions: dict[Place, Partition] = {}
        self._flying: dict[Place, tuple[Batch, Future[Inserted]]] = {}
        self._held_back = False
        self._said = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()  # around what the inserting threads count
        self._consumer: Any = None
        self._rollup = rollup
        self._inserts: Any = None

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set. What is not yet written then stays on the topics, for the next run."""
        self._stop = stop
        self._consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": self._prefix + "sink",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "topic.metadata.refresh.interval.ms": 5_000,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 100,
                "queued.max.messages.kbytes": 32 * 1024,
                "log_level": 2,
                "error_cb": self._on_error,
            }
        )
        inserts = {topic: (name, statements(name)) for topic, name in self._names.items()}
        self._inserts = Inserts(self._store, inserts, self._put_aside, retried=self._count_retry)
        self._consumer.subscribe(
            list(self._names), on_assign=self._on_assign, on_revoke=self._on_gone, on_lost=self._on_gone
        )
        reported = time.monotonic()
        try:
            while not stop.is_set():
                try:
                    self._read()
                    self._write()
                    if self._rollup is not None:
                        self._rollup.look(time.monotonic())
                except (_MovedError, KafkaException) as exc:
                    self._begin_anew(exc)
                if time.monotonic() - reported >= _REPORT_EVERY:
                    reported = time.monotonic()
                    log.info("sink: %s", asdict(self.counters))
            self._land()
        finally:
            self._inserts.close()
            self._flying.clear()  # an error leaves it as a kill would
            self._partitions.clear()
            self._consumer.close()
            log.info("sink stopped: %s", asdict(self.counters))

    # -- reading -------------------------------------------------------------------------------------------------
    def _read(self) -> None:
        """Take what has come, unless too much is held: then wait for ClickHouse, still a member of the group."""
        if self._held() < _HELD or not self._flying:
            if self._held_back:
                self._held_back = False
                self._consumer.resume(self._consumer.assignment())
            self._take(self._consumer.consume(_READ, 0.1))
        elif not wait([x for _, x in self._flying.values()], 0 if self._held_back else 1.0, FIRST_COMPLETED).done:
            if not self._held_back:  # ClickHouse is away or slow; what the client has fetched is dropped by pausing
                self._held_back = True
                self._consumer.pause(self._consumer.assignment())
            self._take(self._consumer.consume(1, 0.2))

    def _held(self) -> int:
        waiting = sum(x.size for x in self._partitions.values())
        return waiting + sum(batch.rows.size for batch, _ in self._flying.values())

    def _take(self, messages: Iterable[Any]) -> None:
        now = time.monotonic()
        found: dict[Place, list[Any]] = {}
        for message in messages:
            place = (message.topic(), message.partition())
            if (error := message.error()) is None:
                if (known := found.get(place)) is None:
                    known = found[place] = []
                known.append(message)
            else:
                self._add(place, found.pop(place, []), now)
                self._on_message_error(error, place, message)
        for place, records in found.items():
            self._add(place, records, now)

    def _add(self, place: Place, records: list[Any], now: float) -> None:
        if records and (partition := self._partitions.get(place)) is not None:
            partition.add(records, now)
            self.counters.records += len(records)

    def _on_message_error(self, error: Any, place: Place, message: Any) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if place in self._partitions:
                self._partitions[place].reached_end(message.offset())
        elif error.fatal():
            raise KafkaUnavailable(f"Kafka at {self._bootstrap} ended this consumer: {error}; start it again")
        else:
            self._on_error(error)

    def _on_error(self, error: Any) -> None:
        if time.monotonic() - self._said > 5:
            self._said = time.monotonic()
            log.warning("waiting for Kafka at %s: %s", self._bootstrap, error.str())

    # -- assignment: a batch that was begun by anybody is found in the metadata of its offset ----------------------
    def _on_assign(self, _consumer: Any, places: Sequence[TopicPartition]) -> None:
        self._partitions.clear()
        self._held_back = False
        self._read_from(self._committed(places))
        log.info("sink reads %d partitions", len(self._partitions))

    def _on_gone(self, _consumer: Any, _places: Sequence[TopicPartition]) -> None:
        self._land()
        self.counters.dropped += len(self._partitions)
        self._partitions.clear()

    def _read_from(self, committed: Sequence[TopicPartition]) -> None:
        for place in committed:
            start = max(place.offset, 0)
            end = intended_end(place.metadata, start)
            self.counters.repeated += end is not None
            self._partitions[place.topic, place.partition] = Partition(
                start, end=end, limits=self._limits, gather=self._gather[place.topic]
            )
        self._consumer.assign([TopicPartition(x.topic, x.partition, x.offset) for x in committed])
        if self._rollup is not None:
            self._rollup.take({(self._names[x.topic], x.partition): max(x.offset, 0) for x in committed})

    def _committed(self, places: Sequence[TopicPartition]) -> list[TopicPartition]:
        while True:
            try:
                found = self._consumer.committed(list(places), timeout=10)
                if failed := [x.error for x in found if x.error]:
                    raise KafkaException(failed[0])
                return list(found)
            except KafkaException as exc:
                self._on_error(exc.args[0])
                if self._stop.wait(0.5):
                    return []

    def _begin_anew(self, reason: Exception) -> None:
        """Read again from what is committed; partitions that are no longer ours come with the next assignment."""
        log.info("sink begins its open batches anew: %s", reason)
        self._inserts.abandon()
        self._flying.clear()
        self._partitions.clear()
        self._held_back = False
        if ours := self._consumer.assignment():
            self._read_from(self._committed(ours))

    # -- writing -------------------------------------------------------------------------------------------------
    def _write(self) -> None:
        """Commit what is in ClickHouse and what goes there next, in one step, and send it on its way."""
        done = {place: flight.result() for place, (_, flight) in self._flying.items() if flight.done()}
        if done:
            self._at("after insert")
        for place in done:
            del self._flying[place]
        now = time.monotonic() if self._held() < _HELD else float("inf")
        due: dict[Place, Batch] = {}
        for place, partition in self._partitions.items():
            room = place not in self._flying and len(self._flying) + len(due) < 2 * AT_ONCE
            if room and (batch := partition.take(now)) is not None:
                due[place] = batch
        if not done and not due:
            return
        self._at("before intent")
        offsets = {place: TopicPartition(*place, x.batch.end) for place, x in done.items()}
        offsets |= {
            place: TopicPartition(*place, x.start, intent(x.end)) if len(x.rows) else TopicPartition(*place, x.end)
            for place, x in due.items()
        }
        self._commit(list(offsets.values()))
        if done:
            self._at("after commit")
        if self._rollup is not None:
            for place, end in [(p, x.batch.end) for p, x in done.items()] + [
                (p, x.end) for p, x in due.items() if not len(x.rows)
            ]:
                self._rollup.wrote((self._names[place[0]], place[1]), end)
        if due:
            self._at("after intent")
        for inserted in done.values():
            self._count(inserted)
        for place, batch in due.items():
            if len(batch.rows):
                self._flying[place] = (batch, self._inserts.begin(*place, batch))

    def _count(self, inserted: Inserted) -> None:
        self.counters.rows += len(inserted.batch.rows) - inserted.refused
        self.counters.bytes += inserted.batch.rows.size
        self.counters.batches += 1
        self.counters.refused += inserted.refused

    def _commit(self, offsets: Sequence[TopicPartition]) -> None:
        done = self._consumer.commit(offsets=list(offsets), asynchronous=False)
        if failed := [x.error for x in done if x.error]:
            raise _MovedError(f"offsets not taken: {failed[0]}")

    def _land(self) -> None:
        """Try nothing again, and commit what has come through; the rest is repeated by whoever has the partition."""
        self._inserts.abandon()
        flights, self._flying = self._flying, {}
        done = {place: x.result() for place, (_, x) in flights.items() if x.exception() is None}
        if not done:
            return
        try:
            self._commit([TopicPartition(*place, x.batch.end) for place, x in done.items()])
        except (_MovedError, KafkaException) as exc:
            log.info("%d batches are in ClickHouse and will be said again: %s", len(done), exc)
        else:
            for inserted in done.values():
                self._count(inserted)

    # -- from the inserting threads --------------------------------------------------------------------------------
    def _count_retry(self) -> None:
        with self._lock:
            self.counters.retries += 1

    def _put_aside(self, topic: str, partition: int, refused: Sequence[Refused]) -> None:
        with Publisher(self._settings) as publisher:
            put_aside(publisher, topic, partition, refused)
