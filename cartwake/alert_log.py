"""The topic `alerts`, read from its beginning and followed: every alarm there was, and which are open."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import confluent_kafka
import msgspec

from cartwake.alarms import Alarms
from cartwake.clock import to_ms
from cartwake.errors import KafkaUnavailable
from cartwake.model import decode_alert
from cartwake.settings import Settings
from cartwake.topics import ALERTS

log = logging.getLogger(__name__)


def read(settings: Settings, alarms: Alarms) -> None:
    """Take in what is on the topic now; raises KafkaUnavailable when it can't be read within 30 seconds."""
    follow(settings, alarms)()


def follow(settings: Settings, alarms: Alarms) -> Callable[[], None]:
    """Read the topic to its end, then keep following it in a thread; returns what stops that.

    Raises KafkaUnavailable when the topic can't be read within 30 seconds.
    """
    consumer: Any = confluent_kafka.Consumer(
        {
            "bootstrap.servers": settings.bootstrap,
            "group.id": "cartwake-alerts",  # never joined: partitions are assigned by hand
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
    topic = settings.topic_prefix + ALERTS.name
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    except confluent_kafka.KafkaException as exc:
        raise KafkaUnavailable(f"the topic {topic} can't be read from {settings.bootstrap}: {exc}") from exc
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
            take_in(message.value(), alarms)
        consumer.close()

    thread = threading.Thread(target=run, name="alerts", daemon=True)
    thread.start()

    def stop() -> None:
        stopping.set()
        thread.join(5)

    if partitions and not ready.wait(30):
        stop()
        raise KafkaUnavailable(f"the topic {topic} was not read to its end within 30 s")
    return stop


def take_in(value: bytes | None, alarms: Alarms) -> None:
    """One record of the topic; one that can't be read is said and left out."""
    try:
        alert = decode_alert(value or b"")
        alarms.apply(alert, to_ms(datetime.fromisoformat(alert.occurred_at)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError, OverflowError) as exc:
        log.warning("a record of %s can't be read and has been ignored: %s", ALERTS.name, exc)
