"""Stage 4, remembering: every record of every topic into its table, once, whatever is killed in between.

in   all topics, by partition
out  ClickHouse tables `<topic>_log`, through sql/ingest; offsets of the group `<prefix>sink`
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

import sql
from cartwake.errors import KafkaUnavailable, SinkUnavailable
from cartwake.settings import Settings
from cartwake.topics import ALL
from sinks.batches import Batch, Limits, Partition, intended_end, intent, token
from sinks.rollup import Rollup
from sinks.rowbinary import Encode, encoder

log = logging.getLogger(__name__)

_AT_ONCE: Final = 10_000  # records asked of the client in one call
_HELD: Final = 96 * 1024 * 1024  # bytes in memory before everything is written, due or not
_LONGEST_PAUSE: Final = 5.0
_REPORT_EVERY: Final = 30.0
#: What a topic tells a second table: each statement has its own table, whose own token makes repeating it safe.
_MORE: Final = {"messages": ("given_codes",)}


class Store(Protocol):
    """Write every row or raise SinkUnavailable. Repeating a call with the same token is safe."""

    def insert(self, statement: str, body: bytes, *, token: str) -> None: ...


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
        self._store = store
        self._limits = limits or Limits()
        self._at = at
        self._bootstrap = settings.bootstrap
        self._prefix = settings.topic_prefix
        self._encoders: dict[str, Encode] = {self._prefix + x.name: encoder(x.name) for x in ALL}
        self._inserts = {self._prefix + x.name: statements(x.name) for x in ALL}
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._generation = 0
        self._said = 0.0
        self._stop = threading.Event()
        self._consumer: Any = None
        self._rollup = rollup

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
        self._consumer.subscribe(
            list(self._inserts), on_assign=self._on_assign, on_revoke=self._on_gone, on_lost=self._on_gone
        )
        reported = time.monotonic()
        try:
            while not stop.is_set():
                try:
                    self._take(self._consumer.consume(_AT_ONCE, 0.1))
                    self._write()
                    if self._rollup is not None:
                        self._rollup.look(time.monotonic())
                except (_MovedError, KafkaException) as exc:
                    self._begin_anew(exc)
                if time.monotonic() - reported >= _REPORT_EVERY:
                    reported = time.monotonic()
                    log.info("sink: %s", asdict(self.counters))
        finally:
            self._partitions.clear()
            self._consumer.close()
            log.info("sink stopped: %s", asdict(self.counters))

    # -- reading -------------------------------------------------------------------------------------------------
    def _take(self, messages: Iterable[Any]) -> None:
        now = time.monotonic()
        for message in messages:
            place = (message.topic(), message.partition())
            error = message.error()
            if error is not None:
                self._on_message_error(error, place, message)
            elif (partition := self._partitions.get(place)) is not None:
                partition.add(message.offset(), self._encoders[place[0]](message), now)
                self.counters.records += 1

    def _on_message_error(self, error: Any, place: tuple[str, int], message: Any) -> None:
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
        self._generation += 1
        self._partitions.clear()
        self._read_from(self._committed(places))
        log.info("sink reads %d partitions", len(self._partitions))

    def _on_gone(self, _consumer: Any, _places: Sequence[TopicPartition]) -> None:
        self._generation += 1
        self.counters.dropped += len(self._partitions)
        self._partitions.clear()

    def _read_from(self, committed: Sequence[TopicPartition]) -> None:
        for place in committed:
            start = max(place.offset, 0)
            end = intended_end(place.metadata, start)
            self.counters.repeated += end is not None
            self._partitions[place.topic, place.partition] = Partition(start, end=end, limits=self._limits)
        self._consumer.assign([TopicPartition(x.topic, x.partition, x.offset) for x in committed])
        if self._rollup is not None:
            self._rollup.take({(self._name(x.topic), x.partition): max(x.offset, 0) for x in committed})

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
        self._partitions.clear()
        if ours := self._consumer.assignment():
            self._read_from(self._committed(ours))

    def _name(self, topic: str) -> str:
        return topic.removeprefix(self._prefix)

    # -- writing -------------------------------------------------------------------------------------------------
    def _write(self) -> None:
        now = time.monotonic()
        if sum(x.size for x in self._partitions.values()) > _HELD:
            now = float("inf")
        due = [(*place, batch) for place, x in self._partitions.items() if (batch := x.take(now)) is not None]
        if not due:
            return
        self._at("before intent")
        begun = [TopicPartition(t, p, x.start, intent(x.end)) for t, p, x in due if x.rows]
        self._commit(begun)
        self._at("after intent")
        generation = self._generation
        for topic, partition, batch in due:
            if batch.rows:
                self._insert(topic, partition, batch, generation)
                self._at("after insert")
        self._commit([TopicPartition(t, p, x.end) for t, p, x in due])
        if self._rollup is not None:
            for topic, partition, batch in due:
                self._rollup.wrote((self._name(topic), partition), batch.end)
        self._at("after commit")
        rows = sum(x.rows for _, _, x in due)
        self.counters.rows += rows
        self.counters.bytes += sum(len(x.body) for _, _, x in due)
        self.counters.batches += len(due)
        log.debug("sink wrote %d rows in %d batches", rows, len(due))

    def _commit(self, offsets: Sequence[TopicPartition]) -> None:
        if offsets:
            done = self._consumer.commit(offsets=list(offsets), asynchronous=False)
            if failed := [x.error for x in done if x.error]:
                raise _MovedError(f"offsets not taken: {failed[0]}")

    def _insert(self, topic: str, partition: int, batch: Batch, generation: int) -> None:
        """Insert, again and again while ClickHouse is away: paused, but still a member of the group."""
        pause, name = 0.2, token(topic, partition, batch)
        while True:
            try:
                for statement in self._inserts[topic]:
                    self._store.insert(statement, batch.body, token=name)
                break
            except SinkUnavailable as exc:
                self.counters.retries += 1
                log.warning("%d rows of %s wait, next try in %.1f s: %s", batch.rows, topic, pause, exc)
                self._idle(pause, generation)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _idle(self, seconds: float, generation: int) -> None:
        until = time.monotonic() + seconds
        self._consumer.pause(self._consumer.assignment())
        try:
            while (left := until - time.monotonic()) > 0:
                self._take(self._consumer.consume(1, min(left, 0.2)))
                if self._generation != generation or self._stop.is_set():
                    raise _MovedError("stopped" if self._stop.is_set() else "partitions were reassigned")
        finally:
            self._consumer.resume(self._consumer.assignment())
