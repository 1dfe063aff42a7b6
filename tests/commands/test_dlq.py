"""`cartwake dlq`: dead letters are shown harmlessly, and go back once to where they came from."""

import json

import confluent_kafka
import pytest

from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.topics import DEAD_LETTERS, partition_of
from tests.commands.conftest import Run

pytestmark = pytest.mark.stack

GOOD = b'{"event_id": "e1", "type": "cart.viewed", "cart_id": "c-1", "occurred_at": 1795428900120}'


@pytest.fixture
def publisher(topics: Settings) -> Publisher:
    return Publisher(topics)


def bury(
    publisher: Publisher, settings: Settings, value: bytes | None, reason: str, topic: str = "cart-events", **more: str
) -> None:
    said = {"reason": reason, "topic": settings.topic_prefix + topic, "partition": "3", "offset": "41"} | more
    publisher.send(DEAD_LETTERS, b"c-1", value, headers={k: v.encode() for k, v in said.items()})
    publisher.flush()


def records(settings: Settings, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": "test", "enable.partition.eof": True}
    )
    name = settings.topic_prefix + topic
    consumer.assign([confluent_kafka.TopicPartition(name, p, 0) for p in range(4)])
    found, left = [], 4
    while left:
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            left -= 1
        else:
            found.append((message.partition(), message.key(), message.value()))
    consumer.close()
    return found


def test_list_shows_place_reason_and_first_bytes_without_control_characters(
    run: Run, publisher: Publisher, topics: Settings
) -> None:
    bury(publisher, topics, b"{\x1b[31m\xff" + b"x" * 500, "not \x1b[2JJSON")
    bury(publisher, topics, None, "no value", stage="carts")
    said = run("dlq", "list")
    assert said.exit_code == 0
    first, value, second, nothing = said.stdout.splitlines()
    assert first == f"{topics.topic_prefix}cart-events[3]@41  not \\x1b[2JJSON"
    assert value.startswith("    {\\x1b[31m\\xffxxx")
    assert len(value) < 100
    assert second.endswith("no value")
    assert nothing.strip() == "(no value)"
    assert "2 dead letters" in said.stderr


def test_list_filters_and_limits(run: Run, publisher: Publisher, topics: Settings) -> None:
    for number in range(5):
        bury(publisher, topics, str(number).encode(), "Expected `object`")
    bury(publisher, topics, b"5", "too large", topic="order-events")
    found = [json.loads(x) for x in run("dlq", "list", "--json", "--match", "OBJECT").stdout.splitlines()]
    assert [x["value"] for x in found] == ["0", "1", "2", "3", "4"]
    assert [json.loads(x)["value"] for x in run("dlq", "list", "--json", "--limit", "1").stdout.splitlines()] == ["5"]
    assert run("dlq", "list", "--topic", "order-events").stdout.count("too large") == 1


def test_replay_sends_each_content_once_to_its_keys_partition(run: Run, publisher: Publisher, topics: Settings) -> None:
    for _ in range(2):
        bury(publisher, topics, GOOD, "rejected by an older version")
    dry = run("dlq", "replay", "--dry-run")
    assert (dry.exit_code, "1 would be sent" in dry.stderr) == (0, True)
    assert records(topics, "cart-events") == []
    sent = run("dlq", "replay", "--match", "older version")
    assert sent.stdout.split() == [f"{topics.topic_prefix}cart-events", "1"]
    assert records(topics, "cart-events") == [(partition_of(b"c-1", 4), b"c-1", GOOD)]


def test_replay_leaves_what_would_be_refused_again_unless_forced(
    run: Run, publisher: Publisher, topics: Settings
) -> None:
    bury(publisher, topics, b"{", "not JSON")
    said = run("dlq", "replay")
    assert "would be refused again" in said.stderr
    assert "0 sent, 1 not" in said.stderr
    assert "1 sent, 0 not" in run("dlq", "replay", "--force").stderr
    assert [x[2] for x in records(topics, "cart-events")] == [b"{"]


def test_replay_sends_nothing_to_topics_that_are_not_ours(run: Run, publisher: Publisher, topics: Settings) -> None:
    bury(publisher, topics, GOOD, "r", topic="dead-letters")
    bury(publisher, topics, GOOD, "r", topic="other")
    publisher.send(DEAD_LETTERS, None, GOOD)
    publisher.flush()
    said = run("dlq", "replay", "--force")
    assert said.stderr.count("is none of ours") == 3
    assert "0 sent, 3 not" in said.stderr


def test_an_empty_topic_is_no_error(run: Run, topics: Settings) -> None:
    said = run("dlq", "list")
    assert (said.exit_code, said.stdout) == (0, "")
