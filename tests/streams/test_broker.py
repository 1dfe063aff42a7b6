"""What is refused or reported about topics when a role starts, on a real Kafka."""

from typing import Any

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaTimeoutError, RequestTimedOutError
from msgspec.structs import replace

from cartwake import broker
from cartwake.broker import connect, ensure_topics
from cartwake.errors import ConfigurationError, KafkaUnavailable
from cartwake.settings import Settings

pytestmark = pytest.mark.stack


def _create(settings: Settings, name: str, partitions: int, **configs: str) -> None:
    admin = connect(settings, patience=10)
    options = {option.replace("_", "."): value for option, value in configs.items()}
    topic = {"num_partitions": partitions, "replication_factor": 1, "configs": options}
    admin.create_topics({settings.topic_prefix + name: topic}, wait_for_metadata=True)
    admin.close()


def test_a_topic_that_keeps_its_writers_times_is_reported(settings: Settings) -> None:
    _create(settings, "cart-events", 4, message_timestamp_type="CreateTime")
    said: list[str] = []
    ensure_topics(settings, say=said.append)
    (words,) = said
    assert f"{settings.topic_prefix}cart-events has message.timestamp.type=CreateTime" in words
    assert "--add-config message.timestamp.type=LogAppendTime" in words


def test_joined_topics_with_unequal_partitions_are_refused_with_the_repair(settings: Settings) -> None:
    _create(settings, "device-events", 3)
    _create(settings, "cart-outcomes", 4)
    with pytest.raises(ConfigurationError, match="joined topics need the same number") as refused:
        ensure_topics(settings)
    assert f"--topic {settings.topic_prefix}device-events --partitions 4" in str(refused.value)


def test_what_is_joined_with_a_shops_own_topic_follows_it(settings: Settings) -> None:
    _create(settings, "device-events", 3, message_timestamp_type="LogAppendTime")
    counts = ensure_topics(settings)
    assert (counts["cart-outcomes"], counts["device-events"], counts["cart-events"]) == (3, 3, 4)


def test_a_changelog_that_does_not_follow_its_input_is_refused(settings: Settings) -> None:
    _create(settings, "state", 2)
    changelogs = {f"{settings.topic_prefix}state": "cart-events"}
    with pytest.raises(ConfigurationError, match="has 2 partitions, but its input"):
        ensure_topics(settings, changelogs)


def test_a_shops_own_partition_count_is_kept(settings: Settings) -> None:
    _create(settings, "cart-events", 7, message_timestamp_type="LogAppendTime")
    changelog = f"{settings.topic_prefix}log"
    counts = ensure_topics(settings, {changelog: "cart-events"})
    assert counts["cart-events"] == 7
    admin = connect(settings, patience=10)
    (found,) = admin.describe_topics([changelog])
    admin.close()
    assert len(found["partitions"]) == 7


def test_a_broker_that_takes_its_time_is_asked_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = KafkaAdminClient.create_topics, []

    def slow(admin: KafkaAdminClient, topics: dict[str, Any], **options: Any) -> Any:
        asked.append(len(topics))
        if len(asked) == 1:
            raise KafkaTimeoutError("nothing within ten seconds")
        answer = real(admin, topics, **options)
        if len(asked) == 2:
            for topic in answer["topics"]:
                topic["error_code"] = RequestTimedOutError.errno  # they are being made
        return answer

    monkeypatch.setattr(KafkaAdminClient, "create_topics", slow)
    assert len(ensure_topics(settings)) == asked[0] == asked[1]
    assert len(asked) == 2


def test_topics_that_another_role_makes_are_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _create(settings, "cart-events", 4, message_timestamp_type="LogAppendTime")
    real, hidden = KafkaAdminClient.list_topics, [True]
    monkeypatch.setattr(KafkaAdminClient, "list_topics", lambda self: [] if hidden.pop() else real(self))
    monkeypatch.setattr(broker, "_there", lambda _admin, _names: {})
    assert ensure_topics(settings)["cart-events"] == 4


def test_topics_that_never_come_are_an_error_with_their_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "_READY_S", 0.5)
    monkeypatch.setattr(KafkaAdminClient, "create_topics", lambda *_args, **_options: {"topics": []})
    with pytest.raises(KafkaUnavailable, match=f"{settings.topic_prefix}cart-events"):
        ensure_topics(settings)


def test_what_the_broker_refuses_is_said_at_once(settings: Settings) -> None:
    with pytest.raises(KafkaUnavailable, match=r"cart-events: .*replication factor"):
        ensure_topics(replace(settings, replication=3))
