"""Real parts for the whole run: one Kafka and one ClickHouse, from testcontainers where a Docker engine answers,
else from `local/`. A part that can't be had fails the run; nothing is skipped."""

import os
import random
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from cartwake.settings import Settings
from local import stack
from tests.migrated import Migrated

#: Variables in which tests/run.py hands on the parts it has started.
KAFKA, CLICKHOUSE = "TEST_KAFKA", "TEST_CLICKHOUSE"
hypothesis.settings.register_profile("untimed", deadline=None)  # how fast the machine is decides no test
hypothesis.settings.load_profile("untimed")
KAFKA_IMAGE = "apache/kafka:4.1.0"
CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.3"


def free_port(*, below: int = 32_000) -> int:
    """A loopback port under `below` that nobody listens on, outside of what the system gives to clients."""
    while True:
        port = random.randrange(12_000, below)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def docker_answers() -> bool:
    """Whether a Docker engine runs here."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    kind, _, where = address.partition("://")
    try:  # docker's own client leaks a socket where nobody answers
        with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as probe:
            host, _, port = where.partition(":")
            probe.connect(where if kind == "unix" else (host, int(port or 2375)))
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def engine_answers() -> bool:
    """Whether a Docker engine runs here."""
    return docker_answers()


@pytest.fixture(scope="session")
def part_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Where the run's own parts live."""
    return Settings(data_dir=tmp_path_factory.mktemp("parts"), kafka_port=free_port(), clickhouse_port=free_port())


@pytest.fixture(scope="session")
def kafka_bootstrap(engine_answers: bool, part_settings: Settings) -> Iterator[str]:
    """A real Kafka, `host:port`."""
    if given := os.environ.get(KAFKA):  # tests/run.py has one for all
        yield given
    elif engine_answers:
        from testcontainers.kafka import KafkaContainer  # noqa: PLC0415 - needs the engine

        with KafkaContainer(KAFKA_IMAGE).with_kraft() as container:
            yield container.get_bootstrap_server()
    else:
        with stack.embedded(part_settings, kafka=True) as running:
            yield running.kafka_bootstrap


@pytest.fixture(scope="session")
def clickhouse_dsn(engine_answers: bool, part_settings: Settings) -> Iterator[str]:
    """A real ClickHouse, `clickhouse://user:password@host:port/database`."""
    if given := os.environ.get(CLICKHOUSE):
        yield given
    elif engine_answers:
        from testcontainers.clickhouse import ClickHouseContainer  # noqa: PLC0415 - needs the engine

        with ClickHouseContainer(CLICKHOUSE_IMAGE, port=8123) as container:
            host, port = container.get_container_host_ip(), container.get_exposed_port(8123)
            yield f"clickhouse://{container.username}:{container.password}@{host}:{port}/{container.dbname}"
    else:
        with stack.embedded(part_settings, clickhouse=True) as running:
            yield running.clickhouse_dsn


@pytest.fixture(scope="session")
def one_database(clickhouse_dsn: str) -> Iterator[Migrated]:
    """The migrated database of all tests that take `migrated`."""
    one = Migrated(clickhouse_dsn)
    yield one
    one.close()


@pytest.fixture
def migrated(one_database: Migrated) -> str:
    """The name of a database with the schema and without rows; a test that takes it finds it in its `settings`, too."""
    one_database.as_new()
    return one_database.name


@pytest.fixture
def settings(request: pytest.FixtureRequest, kafka_bootstrap: str, clickhouse_dsn: str, tmp_path: Path) -> Settings:
    """Settings of a pipeline of its own: fresh topics, a fresh data folder, a database `migrated` or not there."""
    name = uuid.uuid4().hex[:8]
    database = request.getfixturevalue("migrated") if "migrated" in request.fixturenames else f"t{name}"
    base, _, given = clickhouse_dsn.rpartition("/")
    assert given
    return Settings(
        kafka_bootstrap=kafka_bootstrap,
        topic_prefix=f"t{name}.",
        clickhouse_dsn=f"{base}/{database}",
        clickhouse_database=database,
        data_dir=tmp_path / "data",
        secret="a secret for tests only, of no use elsewhere",
        collector_port=free_port(),
        console_port=free_port(),
        mailbox_port=free_port(below=24_000),  # its page is 7,000 above
    )
