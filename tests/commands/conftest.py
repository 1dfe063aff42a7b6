"""The command line, run in this process on parts of its own."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from cartwake.__main__ import cli
from cartwake.broker import ensure_topics
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    """`run("topics", "--dry-run")`: a command with the test's settings in the environment."""

    def call(*words: str, stdin: str | None = None, **changes: str) -> Result:
        environment = settings.environment() | {f"CARTWAKE_{name.upper()}": value for name, value in changes.items()}
        return CliRunner().invoke(cli, words, input=stdin, env=environment)

    return call


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """The settings, with every topic made."""
    ensure_topics(settings, say=lambda _words: None, patience=30)
    return settings


@pytest.fixture
def store(settings: Settings, migrated: str) -> Iterator[ClickHouse]:
    """A client of the migrated database."""
    with ClickHouse.open(settings.clickhouse_dsn, migrated) as client:
        yield client
