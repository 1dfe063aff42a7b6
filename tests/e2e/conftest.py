"""A pipeline of its own for a test: every role as a process, on the run's Kafka and ClickHouse, with a real mailbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import confluent_kafka
import httpx
import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from cartwake.broker import ensure_topics
from cartwake.group import role_part
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from local import mailbox, stack
from local.supervisor import Supervisor
from sinks.clickhouse import ClickHouse

ROLES = ("sink", "streams", "reminders", "collector", "console")


@dataclass
class Pipeline:
    """A running pipeline and independent eyes on it."""

    settings: Settings
    supervisor: Supervisor
    publisher: Publisher
    http: httpx.Client

    def mails(self) -> list[EmailMessage]:
        """What lies in the mailbox, oldest first."""
        return [mailbox.parse(path) for path in sorted(mailbox.mails(Path(self.settings.data_dir)))]

    def records(self, topic: str) -> list[dict[str, Any]]:
        """What every record on a topic says."""
        return [msgspec.json.decode(record.value) for record in self.raw(topic)]

    def raw(self, topic: str) -> list[Any]:
        """Every record on a topic, read with kafka-python; watermarks and deletions left out."""
        consumer: Any = KafkaConsumer(bootstrap_servers=self.settings.bootstrap, enable_auto_commit=False)
        try:
            name = self.settings.topic_prefix + topic
            places = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name) or ()]
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            ends = consumer.end_offsets(places)
            found: list[Any] = []
            while any(consumer.position(place) < ends[place] for place in places):
                for batch in consumer.poll(timeout_ms=500).values():
                    found += [record for record in batch if record.value is not None]
            return found
        finally:
            consumer.close()

    def committed(self, role: str, topic: str) -> int:
        """How many records of `topic` the group of `role` has committed."""
        group, name = self.settings.topic_prefix + role, self.settings.topic_prefix + topic
        consumer: Any = confluent_kafka.Consumer({"bootstrap.servers": self.settings.bootstrap, "group.id": group})
        try:
            places = [confluent_kafka.TopicPartition(name, n) for n in range(self.settings.partitions)]
            return sum(max(0, place.offset) for place in consumer.committed(places, timeout=60))
        finally:
            consumer.close()

    def rows(self, statement: str) -> list[Any]:
        """What ClickHouse answers."""
        with ClickHouse.open(self.settings.clickhouse_dsn, self.settings.clickhouse_database) as store:
            return store.query(statement)


@pytest.fixture
def rules() -> dict[str, Any]:
    """The rules for reminders of the shop `main`: one mail, as soon as a cart was left."""
    return {"steps": [{}]}


@pytest.fixture
def pipeline(settings: Settings, rules: dict[str, Any]) -> Iterator[Pipeline]:
    """Every role running; the shop `main` has an idle time of three seconds."""
    with Publisher(settings) as publisher:
        ensure_topics(settings)
        set_for(publisher, "main", "carts", {"idle": "3s", "trial": True})
        set_for(publisher, "main", "shop", {"title": "The Quiet Kitchen", "url": "https://shop.example.com"})
        set_for(publisher, "main", "reminders", rules)
        running = msgspec.structs.replace(
            settings, smtp_host="127.0.0.1", smtp_port=settings.mailbox_port, smtp_tls="none"
        )
        parts = [stack.mailbox_part(settings), *(role_part(role, running) for role in ROLES)]
        supervisor = Supervisor(parts, settings.data_dir, lambda _text: None)
        with supervisor, httpx.Client(base_url=settings.collector_url, timeout=60) as http:
            yield Pipeline(running, supervisor, publisher, http)
