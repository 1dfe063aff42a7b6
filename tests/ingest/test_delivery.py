"""Delivery: one answer for all records, and bounds on how many may wait."""

import asyncio
import gzip
from collections.abc import Coroutine
from typing import Any

import pytest
from starlette.requests import Request

from cartwake.errors import KafkaUnavailable
from ingest.bodies import MAX_BODY, MAX_IN_MEMORY, BadBody, Bodies
from ingest.delivery import MOST_BYTES, MOST_RECORDS, Delivery
from ingest.routing import Routed, route
from tests.ingest.shop_events import RecordingPublisher, raw

RECORD = route(raw())
LARGE = Routed(RECORD.topic, RECORD.key, b"x" * 1024 * 1024, RECORD.at)
NEVER = 1_000.0


async def refused(sending: Coroutine[Any, Any, None]) -> str:
    with pytest.raises(KafkaUnavailable) as caught:
        await asyncio.wait_for(sending, 5)
    return str(caught.value)


def test_one_failure_among_many_is_a_failure_of_all_and_known_at_once() -> None:
    class OneFails(RecordingPublisher):
        def send(self, *args: Any, on_delivery: Any = None, **more: Any) -> None:
            n = len(self.records)
            self.failing = n == 1
            super().send(*args, on_delivery=on_delivery, **more)
            if n == 1:
                self.poll()  # the others have no answer yet, and get none
                self.away = True

    assert "broker says no" in asyncio.run(refused(Delivery(OneFails(), timeout=NEVER).send([RECORD] * 3)))


@pytest.mark.parametrize(
    ("waiting", "more"), [([RECORD] * MOST_RECORDS, [RECORD]), ([LARGE] * (MOST_BYTES // len(LARGE.value)), [LARGE])]
)
def test_more_than_may_wait_is_refused_before_it_is_queued(waiting: list[Routed], more: list[Routed]) -> None:
    publisher = RecordingPublisher()
    publisher.away = True
    delivery = Delivery(publisher, timeout=NEVER)

    async def fill_and_send() -> None:
        first = asyncio.create_task(delivery.send(waiting))
        await asyncio.sleep(0)
        assert delivery.waiting == len(waiting)
        assert "wait for Kafka already" in await refused(delivery.send(more))
        assert len(publisher.records) == len(waiting)
        publisher.away = False
        await first
        await delivery.send(more)

    asyncio.run(fill_and_send())
    assert delivery.waiting == 0


def test_while_kafka_is_silent_nothing_more_is_queued_for_it() -> None:
    publisher = RecordingPublisher()
    publisher.away = True
    delivery = Delivery(publisher, timeout=0.02)

    async def send_twice() -> str:
        await refused(delivery.send([RECORD]))
        return await refused(delivery.send([RECORD]))

    assert "no answer from Kafka for" in asyncio.run(send_twice())
    assert len(publisher.records) == 1


def test_a_refusal_halfway_leaves_only_what_was_queued_waiting() -> None:
    class TakesTwo(RecordingPublisher):
        def send(self, *args: Any, **more: Any) -> None:
            self.away = True  # what was queued gets no answer
            self.refusing = len(self.records) == 2
            super().send(*args, **more)

    delivery = Delivery(TakesTwo(), timeout=NEVER)

    async def send() -> None:
        await refused(delivery.send([RECORD] * 5))
        assert delivery.waiting == 2

    asyncio.run(send())


# -- bodies --------------------------------------------------------------------------------------------------
def request_of(*parts: bytes, encoding: str = "identity") -> Any:
    left = list(parts)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    headers = [(b"content-type", b"application/json"), (b"content-encoding", encoding.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_bodies_that_were_refused_or_released_are_held_no_longer() -> None:
    bodies = Bodies()

    async def read_many() -> None:
        for _ in range(2 * MAX_IN_MEMORY // MAX_BODY):
            bodies.release(len(await bodies.read(request_of(b" " * MAX_BODY))))
            with pytest.raises(BadBody):
                await bodies.read(request_of(b" " * MAX_BODY, b" "))

    asyncio.run(read_many())


def test_more_than_fits_in_memory_at_once_is_turned_away_for_now() -> None:
    bodies = Bodies()

    async def hold_many() -> BadBody:
        for _ in range(MAX_IN_MEMORY // MAX_BODY):
            await bodies.read(request_of(b" " * MAX_BODY))
        with pytest.raises(BadBody) as caught:
            await bodies.read(request_of(b" " * MAX_BODY))
        return caught.value

    assert asyncio.run(hold_many()).status == 503


def test_something_after_the_end_of_gzip_is_refused_in_a_later_part_too() -> None:
    with pytest.raises(BadBody, match="after the end"):
        asyncio.run(Bodies().read(request_of(gzip.compress(raw()), gzip.compress(b" "), encoding="gzip")))
