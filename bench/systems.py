"""All systems by name, in the order in which a round takes them."""

import sys
from collections.abc import Callable

from bench import java, python
from bench.job import Command, Job, System
from cartwake import topics
from local.kafka import free_port


def _ours(job: Job, workers: int) -> list[Command]:
    return [[sys.executable, "-m", "bench.ours", *job.flags(), f"--worker={n}"] for n in range(workers)]


def kafka_streams(store: str, guarantee: str, *more: str) -> Callable[[Job, int], list[Command]]:
    """How Kafka Streams is started with this store and guarantee; its workers are threads."""

    def commands(job: Job, workers: int) -> list[Command]:
        options = (f"--store={store}", f"--guarantee={guarantee}", f"--threads={workers}", *more)
        return [java.command("kafka-streams", "bench.CartsApp", *job.flags(), *options)]

    return commands


def _flink(backend: str) -> Callable[[Job, int], list[Command]]:
    def commands(job: Job, workers: int) -> list[Command]:
        options = (f"--backend={backend}", f"--threads={workers}")
        return [java.command("flink", "bench.CartsJob", *job.flags(), *options)]

    return commands


def _quix(closing: str) -> Callable[[Job, int], list[Command]]:
    def commands(job: Job, workers: int) -> list[Command]:
        options = (*job.flags(), f"--closing={closing}")
        return [python.command("quix_session", *options, f"--worker={n}") for n in range(workers)]

    return commands


def _bytewax(way: str) -> Callable[[Job, int], list[Command]]:
    def commands(job: Job, workers: int) -> list[Command]:
        options = [*job.flags(), f"--way={way}"]
        if workers > 1:
            options.append("--addresses=" + ",".join(f"127.0.0.1:{free_port()}" for _ in range(workers)))
        return [python.command("bytewax_flow", *options, f"--worker={n}") for n in range(workers)]

    return commands


def _faust(job: Job, _workers: int) -> list[Command]:
    return [python.command("faust_stock", *job.flags())]


_ALL = (
    System(
        name="ours",
        says="Faust with partition batches; changelog and offsets committed every 0.5 s",
        workers=(1, 2, 4),
        commands=_ours,
        output=topics.CART_OUTCOMES.name,
        group="bench",
    ),
    System(
        name="kafka-streams",
        says="at_least_once, store in memory with cache and changelog; commits each 30 s (its default) and on closing",
        workers=(1, 2, 4),
        commands=kafka_streams("memory", "at_least_once"),
        ready=lambda: java.ready("kafka-streams"),
    ),
    System(
        name="kafka-streams-eos",
        says="exactly_once_v2, otherwise the same; commits each 0.1 s (its default)",
        workers=(1, 2, 4),
        commands=kafka_streams("memory", "exactly_once_v2"),
        ready=lambda: java.ready("kafka-streams"),
    ),
    System(
        name="kafka-streams-rocksdb",
        says="at_least_once, store in RocksDB with cache and changelog; commits each 30 s (its default) and on closing",
        workers=(1, 2, 4),
        commands=kafka_streams("rocksdb", "at_least_once"),
        ready=lambda: java.ready("kafka-streams"),
    ),
    System(
        name="flink",
        says="heap state, checkpoint to the local disk each 10 s and a savepoint at the end; no state goes to Kafka",
        workers=(1, 2),
        commands=_flink("hashmap"),
        ready=lambda: java.ready("flink"),
        commits=False,
    ),
    System(
        name="flink-rocksdb",
        says="RocksDB state, incremental checkpoint to the local disk each 10 s and a savepoint at the end; "
        "no state goes to Kafka",
        workers=(1, 2),
        commands=_flink("rocksdb"),
        ready=lambda: java.ready("flink"),
        commits=False,
    ),
    System(
        name="quix",
        says="session window with the default closing: a cart's window closes when a later event of that cart comes, "
        "so a cart nobody touches again is never said to be left",
        workers=(1, 2),
        commands=_quix("key"),
        ready=python.ready,
    ),
    System(
        name="quix-partition",
        says="session window that closes by partition: when another event of the partition comes late enough; measured "
        "on 200,000 events, because a million would take many minutes",
        workers=(1, 2),
        commands=_quix("partition"),
        ready=python.ready,
        most=200_000,
    ),
    System(
        name="bytewax",
        says="stateful logic with notify_at, recovery each 10 s; wakes by the system clock, so on a replay most "
        "abandonments are said only at the end of the input",
        workers=(1, 2),
        commands=_bytewax("stateful"),
        ready=python.ready,
        commits=False,
    ),
    System(
        name="bytewax-session",
        says="contents in a stateful step, session window on an event clock that each cart moves by itself, recovery "
        "each 10 s",
        workers=(1, 2),
        commands=_bytewax("session"),
        ready=python.ready,
        commits=False,
    ),
    System(
        name="faust",
        says="stock Faust, table in memory with changelog, offsets committed each second; measured on 50,000 events, "
        "because a million would take minutes",
        workers=(1,),
        commands=_faust,
        ready=python.ready,
        most=50_000,
    ),
)
SYSTEMS: dict[str, System] = {system.name: system for system in _ALL}
