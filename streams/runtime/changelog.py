"""The changelog of one partition: read to its end, written by one owner at a time.

Every write is a transaction under an id that belongs to the partition. Opening it shuts out whoever had it before
(KIP-98: the broker refuses an older epoch and ends its open transaction), so a process that was stopped, lost its
partitions and wakes up can't put an old state over a newer one. Offsets and outputs need no transaction: the group
refuses a commit of a past generation, and outputs carry ids derived from their input.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.runtime.producer import SendFailed
from streams.runtime.progress import BrokerClock
from streams.runtime.table import Table

OWNER: Final = b"\0owner"  # a key that no packed key equals; its record says who opened the changelog, and when
PATIENCE_S: Final = 60.0
ATTEMPTS: Final = 3
_SOME: Final = 10_000
_PAUSE_S: Final = 0.02  # `consume` waits so long for its full number, at the end of the log too


class Fenced(Exception):
    """Another worker has opened this changelog: nothing that we would write counts any more."""


class Changelog:
    """What the broker holds of one partition's table."""

    def __init__(self, bootstrap: str, topic: str, partition: int, *, max_bytes: int, clock: BrokerClock) -> None:
        self._bootstrap, self._topic, self._partition = bootstrap, topic, partition
        self._clock = clock
        self._max_bytes = max_bytes
        self._failures: list[object] = []
        self.written_at = 0.0  # monotonic
        self._producer: Any = None

    def _connect(self) -> Any:
        return confluent_kafka.Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "transactional.id": f"{self._topic}-{self._partition}",
                "transaction.timeout.ms": 60_000,
                "linger.ms": 100,  # `flush` does not wait for it
                "compression.type": "lz4",
                "message.max.bytes": self._max_bytes,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 512 * 1024,
                "delivery.report.only.error": False,
                "log_level": 2,
            },
            error_cb=lambda _error: None,  # what matters comes back from the calls
        )

    def open(self) -> None:
        """Shut out whoever had this partition; blocks. Raises SendFailed when the broker stays away for 60 s."""
        for attempt in range(1, ATTEMPTS + 1):
            self._producer = self._connect()
            try:
                # a client that is connected already asks at once, one that is not looks again after half a second
                self._try(lambda: self._producer.list_topics(self._topic, PATIENCE_S))
                self._try(lambda: self._producer.init_transactions(PATIENCE_S))
                self.write([])
            except SendFailed:  # a coordinator that has only just begun may answer with an error of its own
                if attempt == ATTEMPTS:
                    raise
                self._failures.clear()
            else:
                return

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Have these states on the broker when this returns; blocks. Raises Fenced or SendFailed.

        Without changes it says only that we are here, which tells the broker's clock.
        """
        produce, topic, number = self._producer.produce, self._topic, self._partition
        self._producer.begin_transaction()
        for key, value in changes:
            produce(topic, value, key, number)
        produce(topic, b"", OWNER, number, on_delivery=self._heard)
        try:
            self._producer.flush(PATIENCE_S)
        except (KafkaException, SystemError) as exc:  # the client says a refusal in several ways
            self._failures.append(exc)
        if self._failures:
            self._try(lambda: self._producer.abort_transaction(1))  # says whether it is for ever
            raise SendFailed(f"{topic}[{number}]: {self._failures[0]}")
        self._try(lambda: self._producer.commit_transaction(PATIENCE_S))
        self.written_at = time.monotonic()

    def restore(self, table: Table[Any, Any], *, wanted: Callable[[], bool]) -> int:
        """Fill `table`, as long as it is wanted; returns the records read. Blocks.

        Raises KafkaException or SendFailed when the broker stays away.
        """
        consumer: Any = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "restore",  # never joined: the partition is assigned by hand
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,  # markers of transactions end the log, and no record says so
                "fetch.wait.max.ms": 10,
                "fetch.message.max.bytes": 512 * 1024,  # the next one comes while this one is taken in
                "queued.max.messages.kbytes": 16 * 1024,
                "fetch.queue.backoff.ms": 5,  # a full queue is soon empty
                "check.crcs": True,
                "log_level": 2,
            }
        )
        try:
            # asking the client for the beginning costs half a second before it asks the broker
            consumer.assign([TopicPartition(self._topic, self._partition, 0)])
            count, until = 0, time.monotonic() + PATIENCE_S
            while wanted():
                messages = consumer.consume(_SOME, timeout=_PAUSE_S)
                changes = [(m.key(), m.value()) for m in messages if m.error() is None]
                table.load_all(changes)
                count += len(changes)
                errors = [m.error() for m in messages if m.error()] if len(changes) < len(messages) else []
                for error in errors:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    table.load_all([(OWNER, None)])
                    table.index()
                    return count
                if messages:
                    until = time.monotonic() + PATIENCE_S
                elif time.monotonic() > until:
                    raise SendFailed(f"{self._topic}[{self._partition}]: the broker does not answer")
            return count
        finally:
            consumer.close()

    def close(self) -> None:
        """Let go: an open transaction is ended by whoever opens the changelog next, or by the broker."""
        if self._producer is not None:
            self._producer.purge()

    def _heard(self, error: Any, message: Any) -> None:
        if error is None:
            self._clock.heard(message.timestamp()[1])
        else:
            self._failures.append(error)

    def _try(self, call: Callable[[], Any]) -> None:
        """Call until it is done; raises Fenced, or SendFailed for what does not pass."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                call()
            except KafkaException as exc:
                error = exc.args[0]
                if error.code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED):
                    raise Fenced(f"{self._topic}[{self._partition}]: another worker has it now") from exc
                if not error.retriable() or time.monotonic() > until:
                    raise SendFailed(f"{self._topic}[{self._partition}]: {error}") from exc
            else:
                return
