"""Hands records to Kafka from the event loop and waits, without blocking it, until the broker has them."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cartwake.errors import KafkaUnavailable
from cartwake.topics import Topic
from ingest.routing import Routed

MOST_RECORDS: Final = 50_000  # well under what the producer queues before `send` blocks
MOST_BYTES: Final = 128 * 1024 * 1024
_POLL_SECONDS: Final = 0.002


class Sender(Protocol):
    """Queues records and says of each, from `send` or `poll` in any thread, whether the broker has it.

    `on_delivery` is called exactly once, with None or what went wrong. `send` raises KafkaUnavailable when it takes
    nothing, and then does not call it.
    """

    def send(
        self,
        topic: Topic,
        key: str | bytes | None,
        value: bytes | None,
        *,
        on_delivery: Callable[[str | None], None] | None = None,
    ) -> None: ...

    def poll(self, timeout: float = 0) -> None: ...


class Delivery:
    """The way of the collector's records to Kafka, with a bound on how many may be without an answer."""

    def __init__(self, sender: Sender, *, timeout: float = 10) -> None:
        self._sender = sender
        self._timeout = timeout
        self._lock = threading.Lock()
        self._records = 0
        self._bytes = 0
        self._answered = 0.0  # when the broker last took a record, or the first of the waiting ones was sent
        self._polling: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Records that the broker has not answered for."""
        return self._records

    async def send(self, records: Sequence[Routed]) -> None:
        """Return when the broker has every record.

        Raises KafkaUnavailable otherwise; some records may be there all the same, so the sender repeats all of them.
        """
        if not records:
            return
        loop = asyncio.get_running_loop()
        self._check_room(records, loop.time())
        done: asyncio.Future[None] = loop.create_future()
        left = len(records)

        def settle(problem: str | None) -> None:
            if done.done():
                return
            if problem is None:
                done.set_result(None)
            else:
                done.set_exception(KafkaUnavailable(problem))

        def answered(size: int, problem: str | None) -> None:
            nonlocal left
            with self._lock:
                self._records -= 1
                self._bytes -= size
                left -= 1
                last = left == 0
            if problem is None:
                self._answered = loop.time()
            if last or problem is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended, nobody waits
                    loop.call_soon_threadsafe(settle, problem)

        try:
            for record in records:
                self._queue(record, answered)
            await asyncio.wait_for(done, self._timeout)
        except TimeoutError as exc:
            raise KafkaUnavailable(f"no answer from Kafka within {self._timeout:g} s") from exc
        finally:
            done.cancel()  # a record of a batch that was given up may still fail: nobody listens any more

    def _queue(self, record: Routed, answered: Callable[[int, str | None], None]) -> None:
        size = len(record.value)
        with self._lock:
            self._records += 1
            self._bytes += size
        try:
            self._sender.send(
                record.topic, record.key, record.value, on_delivery=lambda problem: answered(size, problem)
            )
        except BaseException:
            with self._lock:
                self._records -= 1
                self._bytes -= size
            raise
        finally:
            self._keep_polling()

    def _check_room(self, records: Sequence[Routed], now: float) -> None:
        if not self._records:
            self._answered = now
        silent = now - self._answered
        if silent > self._timeout:
            raise KafkaUnavailable(f"no answer from Kafka for {silent:.0f} s")
        size = sum(len(record.value) for record in records)
        if self._records + len(records) > MOST_RECORDS or self._bytes + size > MOST_BYTES:
            raise KafkaUnavailable(f"{self._records} records wait for Kafka already")

    def _keep_polling(self) -> None:
        if self._records and (self._polling is None or self._polling.done()):
            self._polling = asyncio.get_running_loop().create_task(self._poll())

    async def _poll(self) -> None:
        while self._records:
            self._sender.poll(0)
            await asyncio.sleep(_POLL_SECONDS)
