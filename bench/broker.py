"""The one broker of a run: the project's own embedded Kafka in a folder of its own, or one that is there."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from local.kafka import LocalKafka, free_port

# Workers that start together get their partitions together, as with Kafka's own default of 3 s: otherwise the first
# one takes all and a run begins with a rebalance.
TOGETHER_MS = 1500
# The embedded broker is made to start soon and to stay small. Here it runs as Kafka's own scripts start it.
_SMALL = ("-Xms", "-Xmx", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel")
_SERVER = ("-server", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")


@contextmanager
def broker(bootstrap: str = "", parent: Path | None = None, together_ms: int = TOGETHER_MS) -> Iterator[str]:
    """Where Kafka is, for as long as the block lasts; an embedded one is stopped and its data removed afterwards.

    It waits `together_ms` for more members when the first one of a group joins.
    """
    if bootstrap:
        yield bootstrap
        return

    def adapt(command: list[str]) -> list[str]:
        java, *options = (word for word in command if not word.startswith(_SMALL))
        return [java, *_SERVER, *options, "--override", f"group.initial.rebalance.delay.ms={together_ms}"]

    with (
        tempfile.TemporaryDirectory(prefix="bench-kafka-", dir=parent, ignore_cleanup_errors=True) as folder,
        LocalKafka(Path(folder), free_port(), adapt) as kafka,
    ):
        yield kafka.bootstrap


def make_topic(bootstrap: str, name: str, partitions: int) -> None:
    """A topic whose records carry the broker's time and are kept."""
    config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    made = admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)])
    made[name].result(30)
    while name not in admin.list_topics(timeout=30).topics:  # not known everywhere at once
        time.sleep(0.02)


def clear(bootstrap: str, prefix: str, keep: str, group: str = "") -> None:
    """Delete every topic of `prefix` but `keep`, and `group`: the next system starts on a clean broker."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    until = time.monotonic() + 60
    while time.monotonic() < until:
        doomed = [name for name in admin.list_topics(timeout=30).topics if name.startswith(prefix) and name != keep]
        groups = [g.group_id for g in admin.list_consumer_groups().result().valid if g.group_id == group]
        if not doomed and not groups:
            return
        waiting = [
            *(admin.delete_topics(doomed).values() if doomed else ()),
            *(admin.delete_consumer_groups(groups).values() if groups else ()),
        ]
        for future in waiting:
            future.exception(30)  # a group whose last member is still going is tried again
        time.sleep(0.2)
