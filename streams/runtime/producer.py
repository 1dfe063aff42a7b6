"""Sending records so that "sent" can be waited for: acks from all replicas, a failure is never swallowed."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import confluent_kafka

_SOON_S: Final = 0.1
Headers = Sequence[tuple[str, bytes]]


class SendFailed(Exception):
    """The broker did not take a record; the process must end, so that its input is read again."""


class Producer:
    """An idempotent producer with `acks=all` and murmur2 placement, used from one event loop."""

    def __init__(self, bootstrap: str, *, max_bytes: int) -> None:
        self._failures: list[str] = []
        self.room = max_bytes - 64 * 1024  # for key and value, beside headers and what the protocol adds
        self._producer: Any = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 20,  # each request costs the broker more than the records in it
                "compression.type": "lz4",
                "message.max.bytes": max_bytes,
                "queue.buffering.max.messages": 1_000_000,
                "delivery.report.only.error": True,
                "on_delivery": self._on_delivery,
                "log_level": 2,
            },
            error_cb=lambda _error: None,  # what fails for good comes back through on_delivery
        )

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int = -1, headers: Headers = ()
    ) -> None:
        """Queue a record. Records of one partition arrive in the order they were sent."""
        while True:
            try:
                if headers:
                    self._producer.produce(topic, value, key, partition, headers=list(headers))
                else:
                    self._producer.produce(topic, value, key, partition)
            except BufferError:
                self._producer.poll(0.05)  # the queue is full: let the broker catch up
            except confluent_kafka.KafkaException as exc:
                raise SendFailed(f"{topic}: {exc}") from exc
            else:
                return

    async def hasten(self) -> None:
        """Send what is queued without waiting for more of it to come; returns when it is sent, or soon."""
        await asyncio.to_thread(self._producer.flush, _SOON_S)

    async def flush(self) -> None:
        """Return when every record sent so far is on the broker; raises SendFailed."""
        while await asyncio.to_thread(self._producer.flush, 1.0):
            self._raise()
        self._raise()

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}[{message.partition()}]: {error}")

    def _raise(self) -> None:
        if self._failures:
            raise SendFailed("; ".join(self._failures[:3]))
