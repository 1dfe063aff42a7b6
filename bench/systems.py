"""All systems by name, in the order in which a round takes them."""

import sys
from collections.abc import Callable

from bench import java
from bench.job import Command, Job, System
from cartwake import topics


def _ours(job: Job, workers: int) -> list[Command]:
    return [[sys.executable, "-m", "bench.ours", *job.flags(), f"--worker={n}"] for n in range(workers)]


def _kafka_streams(store: str, guarantee: str) -> Callable[[Job, int], list[Command]]:
    def commands(job: Job, workers: int) -> list[Command]:
        options = (f"--store={store}", f"--guarantee={guarantee}", f"--threads={workers}")
        return [java.command("kafka-streams", "bench.CartsApp", *job.flags(), *options)]

    return commands


_ALL = (
    System(
        name="ours",
        says="Faust with partition batches; changelog and offsets committed every 0.1 s",
        workers=(1, 2, 3),
        commands=_ours,
        output=topics.CART_OUTCOMES.name,
        group="bench",
    ),
    System(
        name="kafka-streams",
        says="at_least_once, store in memory with cache and changelog; commits each 30 s (its default) and on closing",
        workers=(1, 2, 4),
        commands=_kafka_streams("memory", "at_least_once"),
        ready=lambda: java.ready("kafka-streams"),
    ),
    System(
        name="kafka-streams-eos",
        says="exactly_once_v2, otherwise the same; commits each 0.1 s (its default)",
        workers=(1, 2, 4),
        commands=_kafka_streams("memory", "exactly_once_v2"),
        ready=lambda: java.ready("kafka-streams"),
    ),
    System(
        name="kafka-streams-rocksdb",
        says="at_least_once, store in RocksDB with cache and changelog; commits each 30 s (its default) and on closing",
        workers=(1, 2, 4),
        commands=_kafka_streams("rocksdb", "at_least_once"),
        ready=lambda: java.ready("kafka-streams"),
    ),
)
SYSTEMS: dict[str, System] = {system.name: system for system in _ALL}
