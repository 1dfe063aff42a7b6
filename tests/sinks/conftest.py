"""A migrated database, or one that is not there, and topics of its own for a test that needs Kafka."""

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cartwake.settings import Settings
from cartwake.topics import ALL
from sinks.clickhouse import ClickHouse
from tests.migrated import Migrated
from tests.sinks.records import Rolled


@pytest.fixture
def empty(settings: Settings) -> Iterator[ClickHouse]:
    """A client of a database that does not exist yet, and is dropped in the end."""
    with Rolled.open(settings.clickhouse_dsn, settings.clickhouse_database) as client:
        yield client
        client.command(f"DROP DATABASE IF EXISTS {settings.clickhouse_database}")


@pytest.fixture(scope="session")
def one_database(clickhouse_dsn: str) -> Iterator[Migrated]:
    """The migrated database of all tests of the sink."""
    one = Migrated(clickhouse_dsn, merges=False)
    yield one
    one.close()


@pytest.fixture
def client(settings: Settings, migrated: str) -> Iterator[ClickHouse]:
    """A client of the migrated database, which does not merge, so that what was inserted twice can be seen."""
    with Rolled.open(settings.clickhouse_dsn, migrated) as client:
        yield client


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The settings, with every topic made, two partitions each."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    new = [NewTopic(settings.topic_prefix + x.name, 2, 1, config=dict(x.config)) for x in ALL]
    for future in admin.create_topics(new).values():
        future.result()
    return settings
