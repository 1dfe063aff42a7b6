"""`cartwake topics`: what is missing is made, what can't work is said."""

import os
import subprocess
import sys

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from cartwake.topics import ALL
from tests.commands.conftest import Run

pytestmark = pytest.mark.stack


def make(settings: Settings, name: str, partitions: int, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": settings.bootstrap})
    options = {"message.timestamp.type": "LogAppendTime"} | {k.replace("_", "."): v for k, v in config.items()}
    full = settings.topic_prefix + name
    admin.create_topics([NewTopic(full, partitions, 1, config=options)])[full].result()


def test_dry_run_makes_nothing_and_a_run_makes_all(run: Run, settings: Settings) -> None:
    asked = run("topics", "--dry-run")
    assert asked.exit_code == 0
    assert asked.stdout.count("missing") == len(ALL)
    assert "cartwake topics" in asked.stderr
    made = run("topics")
    assert (made.exit_code, made.stderr) == (0, "")
    lines = made.stdout.splitlines()
    assert len(lines) == len(ALL) + 1
    row = next(x.split() for x in lines if x.startswith(f"{settings.topic_prefix}cart-events"))
    assert row[1:4] == ["4", "cart_id", "LogAppendTime"]
    assert "newest of each key" in next(x for x in lines if x.startswith(f"{settings.topic_prefix}settings"))
    assert "missing" not in made.stdout


def test_timestamps_of_clients_are_reported_with_the_repair(run: Run, settings: Settings) -> None:
    make(settings, "cart-events", 4, message_timestamp_type="CreateTime")
    said = run("topics")
    assert said.exit_code == 0
    assert f"{settings.topic_prefix}cart-events has message.timestamp.type=CreateTime" in said.stderr
    assert "--add-config message.timestamp.type=LogAppendTime" in said.stderr


def test_joined_topics_with_unequal_partitions_are_refused_with_the_repair(run: Run, settings: Settings) -> None:
    make(settings, "device-events", 2)
    make(settings, "cart-outcomes", 4)
    said = run("topics")
    assert isinstance(said.exception, ConfigurationError)
    assert "--alter --topic" in str(said.exception)
    assert "--partitions 4" in str(said.exception)


def test_an_absent_kafka_is_a_sentence_on_standard_error(settings: Settings) -> None:
    environment = os.environ | settings.environment() | {"CARTWAKE_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    said = subprocess.run(
        [sys.executable, "-m", "cartwake", "topics"], env=environment, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout) == (1, "")
    last = said.stderr.strip().splitlines()[-1]
    assert last.startswith("cartwake: Kafka at 127.0.0.1:1 does not answer")
    assert "CARTWAKE_KAFKA_BOOTSTRAP" in last


def test_partitions_and_prefix_are_those_of_the_settings(run: Run, settings: Settings) -> None:
    other = msgspec.structs.replace(settings, topic_prefix="x" + settings.topic_prefix)
    said = run("topics", topic_prefix=other.topic_prefix, partitions="3")
    assert next(x.split()[1] for x in said.stdout.splitlines() if "messages" in x) == "3"
