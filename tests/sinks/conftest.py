"""A migrated database of its own for each test, and topics of its own for those that need Kafka."""

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cartwake.settings import Settings
from cartwake.topics import ALL
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate
from tests.sinks.records import Rolled


@pytest.fixture
def empty(settings: Settings) -> Iterator[ClickHouse]:
    """A client of a database that does not exist yet, and is dropped in the end."""
    with Rolled.open(settings.clickhouse_dsn, settings.clickhouse_database) as client:
        yield client
        client.command(f"DROP DATABASE IF EXISTS {settings.clickhouse_database}")


@pytest.fixture
def client(empty: ClickHouse) -> ClickHouse:
    """A client of a migrated database that never merges, so that what was inserted twice can be seen."""
    migrate(empty, retention_days=90)
    for name in (*(topic.name.replace("-", "_") for topic in ALL), "arrivals", "plan_times"):
        empty.command(f"SYSTEM STOP MERGES {empty.database}.{name}_log")
    return empty


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The settings, with every topic made, two partitions each."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    new = [NewTopic(settings.topic_prefix + x.name, 2, 1, config=dict(x.config)) for x in ALL]
    for future in admin.create_topics(new).values():
        future.result()
    return settings
