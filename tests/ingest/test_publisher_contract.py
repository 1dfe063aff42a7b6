"""What the collector and replay rely on, held by the recording publisher and by the real one alike."""

import asyncio
import uuid
from typing import Any

import confluent_kafka
import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import Shops
from cartwake.topics import ALL, CART_EVENTS, partition_of
from ingest.collector import create_app
from ingest.readiness import probe
from tests.ingest.shop_events import RecordingPublisher, raw
from tests.patience import until


@pytest.fixture
def kafka(kafka_bootstrap: str) -> Settings:
    """A real Kafka with fresh topics."""
    settings = Settings(kafka_bootstrap=kafka_bootstrap, topic_prefix=f"t{uuid.uuid4().hex[:8]}.")
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    new = [NewTopic(settings.topic_prefix + topic.name, 4, 1, config=dict(topic.config)) for topic in ALL]
    for done in admin.create_topics(new).values():
        done.result(30)
    return settings


@pytest.fixture(params=["recording", pytest.param("real", marks=pytest.mark.stack)])
def publisher(request: pytest.FixtureRequest) -> Any:
    if request.param == "recording":
        return RecordingPublisher()
    return Publisher(request.getfixturevalue("kafka"))


def test_each_record_is_answered_for_exactly_once(publisher: Any) -> None:
    answers: list[tuple[int, str | None]] = []
    for n in range(50):
        publisher.send(CART_EVENTS, f"c-{n}", raw(), on_delivery=lambda problem, n=n: answers.append((n, problem)))

    def all_answered() -> bool:
        publisher.poll(0.01)
        return len(answers) >= 50

    assert until(all_answered)
    publisher.flush(10)
    assert sorted(answers) == [(n, None) for n in range(50)]


def test_flush_returns_with_everything_answered(publisher: Any) -> None:
    answers: list[str | None] = []
    publisher.send(CART_EVENTS, "c-1", raw(), on_delivery=answers.append)
    publisher.flush(20)
    assert answers == [None]


@pytest.mark.stack
def test_what_was_answered_202_is_in_kafka_under_its_key_where_the_key_belongs(kafka: Settings) -> None:
    cart_id = f"c-{uuid.uuid4()}"
    sent = raw(cart_id=cart_id, unknown={"n": 1.10})
    app = create_app(kafka, Publisher(kafka), Shops())

    async def post() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x.example.com") as client:
            headers = {"Content-Type": "application/json"}
            return (await client.post("/v1/events", content=sent, headers=headers)).status_code

    assert asyncio.run(post()) == 202
    assert [(value, place) for value, place in _records(kafka, cart_id)] == [(sent, True)]


@pytest.mark.stack
def test_kafka_with_its_topics_is_ready(kafka: Settings) -> None:
    probe(kafka)()


def _records(settings: Settings, key: str) -> list[tuple[bytes, bool]]:
    """The values under a key, and whether each lies on the key's partition."""
    topic = settings.topic_prefix + CART_EVENTS.name
    options = {"bootstrap.servers": settings.bootstrap, "group.id": "test", "enable.partition.eof": True}
    consumer = confluent_kafka.Consumer(options)
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    start = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(topic, p, start) for p in partitions])
    found, unread = [], set(partitions)
    try:
        while unread and (message := consumer.poll(20)) is not None:
            if message.error():
                unread.discard(message.partition())
            elif message.key() == key.encode():
                place = message.partition() == partition_of(key.encode(), len(partitions))
                found.append((message.value(), place))
    finally:
        consumer.close()
    return found
