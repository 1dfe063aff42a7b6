"""Writing records from outside a stage: acknowledged by every replica, placed as Kafka's own clients place them."""

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

import confluent_kafka

from cartwake.errors import InvalidEvent, KafkaUnavailable
from cartwake.settings import Settings
from cartwake.topics import DEAD_LETTER_BYTES, Topic

Headers = Mapping[str, bytes]


class Records(Protocol):
    """Writes a record and returns when the broker has it, or raises Unavailable; a `Publisher` does."""

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None, *, timeout: float = ...) -> None: ...


class Publisher:
    """A producer with `acks=all` and murmur2 placement. Safe to share between threads."""

    def __init__(self, settings: Settings, *, linger_ms: int = 2) -> None:
        self._prefix = settings.topic_prefix
        self._bootstrap = settings.bootstrap
        self._failed: list[str] = []
        self._producer: Any = confluent_kafka.Producer(
            {
                "bootstrap.servers": settings.bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": linger_ms,
                "compression.type": "lz4",
                "message.max.bytes": DEAD_LETTER_BYTES,
                "queue.buffering.max.messages": 200_000,
                "log_level": 2,
            },
            error_cb=lambda _error: None,  # a delivery that fails says so itself
        )

    def send(
        self,
        topic: Topic,
        key: str | bytes | None,
        value: bytes | None,
        *,
        partition: int = -1,
        headers: Headers | None = None,
        on_delivery: Callable[[str | None], None] | None = None,
    ) -> None:
        """Queue a record; `on_delivery` gets None or what went wrong. `flush` waits for all of them."""
        done = self._remember if on_delivery is None else lambda err, _m: on_delivery(str(err) if err else None)
        while True:
            try:
                self._producer.produce(
                    self._prefix + topic.name,
                    value,
                    key,
                    partition,
                    done,
                    headers=list((headers or {}).items()),
                )
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)  # the queue is full: wait for room
            except confluent_kafka.KafkaException as exc:
                if exc.args[0].code() == confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE:
                    raise InvalidEvent(f"{len(value or b'')} bytes are more than a record may have") from exc
                raise KafkaUnavailable(f"Kafka at {self._bootstrap} took no record: {exc}") from exc

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None, *, timeout: float = 10) -> None:
        """Send one record and return when the broker has it; raises KafkaUnavailable."""
        done = threading.Event()
        problem: list[str | None] = []

        def delivered(error: str | None) -> None:
            problem.append(error)
            done.set()

        self.send(topic, key, value, on_delivery=delivered)
        self._producer.flush(timeout)
        if not done.wait(0.1) or problem[0]:
            raise KafkaUnavailable(f"Kafka at {self._bootstrap} did not take the record: {problem or 'no answer'}")

    def flush(self, timeout: float = 30) -> None:
        """Return when everything sent is on the broker; raises KafkaUnavailable when something is not."""
        left = self._producer.flush(timeout)
        if left or self._failed:
            reason = self._failed[0] if self._failed else f"{left} records without an answer after {timeout:g} s"
            self._failed.clear()
            raise KafkaUnavailable(f"Kafka at {self._bootstrap} did not take every record: {reason}")

    def poll(self, timeout: float = 0) -> None:
        """Hand delivery reports to their callbacks."""
        self._producer.poll(timeout)

    def _remember(self, error: object, _message: object) -> None:
        if error is not None:
            self._failed.append(str(error))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
