"""A small topic read from its beginning and then followed, by a thread: how roles hear of settings and alarms."""

import threading
from collections.abc import Callable
from typing import Any

import confluent_kafka

from cartwake.errors import KafkaUnavailable
from cartwake.settings import Settings
from cartwake.topics import Topic

Take = Callable[[bytes | None, bytes | None], None]


def follow(settings: Settings, which: Topic, take: Take, *, called: str) -> Callable[[], None]:
    """Hand each record's key and value to `take`; returns what stops that, once the topic was read to its end.

    Raises KafkaUnavailable, which says what the topic is `called`, when it can't be read within 30 seconds.
    """
    consumer: Any = confluent_kafka.Consumer(
        {
            "bootstrap.servers": settings.bootstrap,
            "group.id": f"cartwake-{which.name}",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
    topic = settings.topic_prefix + which.name
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    except confluent_kafka.KafkaException as exc:
        raise KafkaUnavailable(f"the {called} {topic} can't be read from {settings.bootstrap}: {exc}") from exc
    beginning = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(topic, p, beginning) for p in partitions])
    ready, stopping, left = threading.Event(), threading.Event(), set(partitions)

    def run() -> None:
        while not stopping.is_set():
            message = consumer.poll(0.2)
            if message is None:
                continue
            if message.error():
                if message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                    if not left:
                        ready.set()
                continue
            take(message.key(), message.value())
        consumer.close()

    thread = threading.Thread(target=run, name=which.name, daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join(5)

    if partitions and not ready.wait(30):
        stop()
        raise KafkaUnavailable(f"the {called} {topic} was not read to its end within 30 s")
    return stop
