"""The broker's side of the topics: wait for Kafka, create what is missing, refuse what can't work."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kafka.admin import ConfigResource, KafkaAdminClient  # kafka-python
from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NoError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    for_code,
)

from cartwake.errors import ConfigurationError, KafkaUnavailable
from cartwake.settings import Settings
from cartwake.topics import ALL, DEAD_LETTER_BYTES, JOINED, check_joined

Say = Callable[[str], None]

#: How long a broker may take to make topics: on a busy disk each partition is a matter of seconds.
_READY_S: Final = 120.0
#: Said of topics that are being made, by us or by another role.
_ON_THE_WAY: Final = (NoError, TopicAlreadyExistsError, RequestTimedOutError)
#: The broker did not answer; it may have done what was asked.
_NO_ANSWER: Final = (KafkaTimeoutError, RequestTimedOutError, KafkaConnectionError)


def connect(settings: Settings, *, say: Say = print, patience: float | None = None) -> KafkaAdminClient:
    """An admin client; waits for Kafka with a message and growing pauses, for ever or `patience` seconds.

    Raises KafkaUnavailable when the patience is over.
    """
    began, pause = time.monotonic(), 0.5
    while True:
        try:
            return KafkaAdminClient(
                bootstrap_servers=settings.bootstrap.split(","),
                client_id="cartwake-admin",
                request_timeout_ms=10_000,
                bootstrap_timeout_ms=2_000,  # the patience is ours
            )
        except KafkaError as exc:
            waited = time.monotonic() - began
            if patience is not None and waited > patience:
                raise KafkaUnavailable(
                    f"Kafka at {settings.bootstrap} does not answer ({exc}). Is it running? "
                    "CARTWAKE_KAFKA_BOOTSTRAP=host:9092 names another one; `cartwake up` starts an embedded one"
                ) from exc
            say(f"waiting for Kafka at {settings.bootstrap} ({waited:.0f} s)")
            time.sleep(pause)
            pause = min(pause * 2, 10)


def ensure_topics(
    settings: Settings, changelogs: Mapping[str, str] | None = None, *, say: Say = print, patience: float | None = None
) -> dict[str, int]:
    """Create the topics that are missing; returns partitions by topic name without prefix.

    `changelogs` maps the full name of each changelog to the topic (without prefix) whose partitions it follows.
    Raises ConfigurationError when joined topics or a changelog have the wrong number of partitions.
    """
    admin = connect(settings, say=say, patience=patience)
    try:
        prefix = settings.topic_prefix
        there = _there(admin, [prefix + topic.name for topic in ALL])
        # what is joined with a topic that a shop has made follows it
        follows = {
            t.name: there[prefix + x.name] for group in JOINED for t in group for x in group if prefix + x.name in there
        }
        wanted = {prefix + t.name: (follows.get(t.name, settings.partitions), dict(t.config)) for t in ALL}
        _create(admin, settings, wanted)
        counts = _counts(admin, wanted)
        check_joined(counts, prefix, settings.bootstrap)
        for name, kind in _timestamps(admin, counts).items():
            if kind != "LogAppendTime":
                say(client_times(name, kind, settings))
        found = {name.removeprefix(prefix): n for name, n in counts.items()}
        if changelogs:
            compacted = {"cleanup.policy": "compact", "compression.type": "producer"}
            compacted["message.timestamp.type"] = "LogAppendTime"  # the answer to a write tells the broker's clock
            compacted["max.message.bytes"] = str(DEAD_LETTER_BYTES)  # what our producers send at most
            logs = {name: (found[topic], compacted) for name, topic in changelogs.items()}
            _create(admin, settings, logs)
            for name, n in _counts(admin, logs).items():
                if n != logs[name][0]:
                    raise ConfigurationError(
                        f"{name} has {n} partitions, but its input {prefix + changelogs[name]} has {logs[name][0]}. "
                        f"Stop all roles, delete {name}, reset the group to the beginning, and start again: "
                        "the state is then made anew from the input"
                    )
        return found
    finally:
        admin.close()


def client_times(topic: str, kind: str, settings: Settings) -> str:
    """What is wrong with a topic that keeps its writers' times, and the command that puts it right."""
    return (
        f"{topic} has message.timestamp.type={kind}, so progress and retention follow the clocks of whoever writes to "
        f"it. Set it: kafka-configs.sh --bootstrap-server {settings.bootstrap} --alter --entity-type topics "
        f"--entity-name {topic} --add-config message.timestamp.type=LogAppendTime"
    )


def delete_topics(settings: Settings, names: Iterable[str]) -> None:
    """Delete topics by full name; those that are not there are no error."""
    admin = connect(settings, patience=30)
    try:
        there = set(admin.list_topics())
        doomed = [name for name in names if name in there]
        if doomed:
            admin.delete_topics(doomed)
    finally:
        admin.close()


def _there(admin: KafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    present = list(set(admin.list_topics()) & set(names))
    return {t["name"]: len(t["partitions"]) for t in (admin.describe_topics(present) if present else [])}


def _create(admin: KafkaAdminClient, settings: Settings, wanted: Mapping[str, tuple[int, dict[str, str]]]) -> None:
    """Make what is missing and wait until each partition has a leader; asks again where no answer came."""
    until = time.monotonic() + _READY_S
    there = set(admin.list_topics())
    missing = {
        name: {"num_partitions": n, "replication_factor": settings.replication, "configs": config}
        for name, (n, config) in wanted.items()
        if name not in there
    }
    while missing:
        try:
            for topic in admin.create_topics(missing, raise_errors=False)["topics"]:
                error = for_code(topic["error_code"])
                if error not in _ON_THE_WAY:
                    raise error(f"{topic['name']}: {topic['error_message']}")
            admin.wait_for_topics(list(missing), timeout_ms=(until - time.monotonic()) * 1000)
            return
        except KafkaError as exc:
            if not isinstance(exc, _NO_ANSWER) or time.monotonic() > until:
                raise KafkaUnavailable(f"topics could not be created on {settings.bootstrap}: {exc}") from exc
            time.sleep(0.5)  # a refused connection fails at once: without this the loop would spin


def _timestamps(admin: KafkaAdminClient, names: Iterable[str]) -> dict[str, str]:
    configs = admin.describe_configs([ConfigResource("topic", name) for name in names], config_filter="all")["topic"]
    return {name: str(options["message.timestamp.type"]["value"]) for name, options in configs.items()}


def _counts(admin: KafkaAdminClient, wanted: Iterable[str]) -> dict[str, int]:
    names = list(wanted)
    found: dict[str, int] = {}
    for _ in range(100):  # a topic just created is not known everywhere at once
        found = {t["name"]: len(t["partitions"]) for t in admin.describe_topics(names) if t["partitions"]}
        if len(found) == len(names):
            return found
        time.sleep(0.1)
    raise KafkaUnavailable(f"topics are not ready: {', '.join(set(names) - set(found))}")
