"""The sink: cart events from Kafka to rows that can be read, beside other ways; bytes on disk; how soon a row is there.

All read the same topic and write to the same ClickHouse, one after the other, in turns. A run begins when the first
record reaches the writer and ends when it has committed the last one, which can then be read.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import sql
from bench import feed
from bench.analytics_ground import Ground, Truth, grounds, make_topics
from bench.flow import quantiles
from bench.run import cpu_seconds
from cartwake.errors import Rejected
from cartwake.topics import CART_EVENTS
from sinks.clickhouse import ClickHouse
from sinks.migrate import fill, migrate

_LONGEST: Final = 900.0
_TARGETS: Final = {"connect": 3.0, "engine": 1.5}


def add_arguments(parser: Any) -> None:
    """Options of this benchmark."""
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", nargs="+", default=("ours", "connect", "json", "engine"), choices=tuple(RUNS))
    parser.add_argument("--rate", type=int, default=2_000, help="events a second while the time to a row is measured")
    parser.add_argument("--seconds", type=int, default=30, help="for how long; 0: not at all")
    parser.add_argument("--sink-json", action="store_true")


@dataclass
class Figures:
    """What the runs of one system showed."""

    rates: list[float] = field(default_factory=list)
    cpu_writer: list[float] = field(default_factory=list)
    cpu_server: list[float] = field(default_factory=list)

    def add(self, rate: float, writer: float, server: float) -> None:
        """Count a run in: rows a second, microseconds of CPU a row."""
        self.rates.append(rate)
        self.cpu_writer.append(writer)
        self.cpu_server.append(server)

    def summary(self) -> dict[str, Any]:
        """Rows a second and microseconds of CPU a row."""
        return {
            "rows_per_second": [round(x) for x in (min(self.rates), statistics.median(self.rates), max(self.rates))],
            "cpu_us_writer": round(statistics.median(self.cpu_writer), 2),
            "cpu_us_clickhouse": round(statistics.median(self.cpu_server), 2),
        }


@contextmanager
def writer(ground: Ground, name: str, database: str) -> Iterator[subprocess.Popen[str]]:
    """A writer's process, from its first record on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.analytics_writers", name],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ground.settings(database).environment(),
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "first":
            raise RuntimeError(f"{name} ended with {process.wait()}")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def until(client: ClickHouse, table: str, truth: Truth) -> None:
    """Return when the last record of each partition is in the table: each writer keeps their order."""
    end = time.monotonic() + _LONGEST
    while newest(client, table) != truth.last:
        if time.monotonic() > end:
            raise TimeoutError(f"{table}: {newest(client, table)} is the last that has come, not {truth.last}")
        time.sleep(0.02)


def until_committed(ground: Ground, group: str, truth: Truth) -> None:
    """Return when the writer's group has the whole topic behind it: every writer commits what can be read.

    ClickHouse is not asked, which would take a part of the time that is measured.
    """
    end = time.monotonic() + _LONGEST
    topic = ground.prefix + CART_EVENTS.name
    reader = Consumer(
        {
            "bootstrap.servers": ground.bootstrap,
            "group.id": ground.prefix + ("sink" if group == "ours" else group),
            "log_level": 2,
        }
    )
    places = [TopicPartition(topic, n) for n in truth.last]
    while any(x.offset <= truth.last[x.partition] for x in reader.committed(places, timeout=30)):
        if time.monotonic() > end:
            raise TimeoutError(f"{group} has not committed the end of the topic")
        time.sleep(0.02)
    reader.close()


def newest(client: ClickHouse, table: str) -> dict[int, int]:
    """The last offset of each partition that can be read."""
    rows = client.query(sql.read("bench/newest.sql"), {"table": table})
    return {x["kafka_partition"]: x["newest"] for x in rows}


def process_run(name: str, prepare: Callable[[ClickHouse], None]) -> Callable[..., tuple[float, float, float]]:
    """A run of a writer that is a process of its own."""

    def run(ground: Ground, client: ClickHouse, truth: Truth) -> tuple[float, float, float]:
        prepare(client)
        with writer(ground, name, client.database) as process:
            began, used, server = time.monotonic(), cpu_seconds(process.pid), cpu_seconds(ground.server)
            until_committed(ground, name, truth)
            took = time.monotonic() - began
            return truth.records / took, cpu_seconds(process.pid) - used, cpu_seconds(ground.server) - server

    return run


class LeftOut(Exception):
    """A system that can't be run here, and why."""


def engine_run(ground: Ground, client: ClickHouse, truth: Truth) -> tuple[float, float, float]:
    """A run of ClickHouse's Kafka engine."""
    client.execute(sql.read("bench/peer_table.sql"))
    said = {
        "bootstrap": ground.bootstrap,
        "topic": ground.prefix + CART_EVENTS.name,
        "group": client.database,
        "consumers": "1",
    }
    try:
        client.execute(fill(sql.read("bench/kafka_queue.sql"), said))
    except Rejected as exc:
        raise LeftOut(f"its Kafka engine can't be run here: {exc}") from exc
    server = cpu_seconds(ground.server)
    client.execute(sql.read("bench/kafka_view.sql"))
    end = time.monotonic() + _LONGEST
    while not client.command(f"SELECT count() FROM {client.database}.peer"):
        if time.monotonic() > end:
            raise TimeoutError("the Kafka engine has written nothing")
        time.sleep(0.005)
    began = time.monotonic()
    # the rows of the first block are not counted, nor is the time it took
    had = int(str(client.command(f"SELECT count() FROM {client.database}.peer")))
    until(client, "peer", truth)
    took = time.monotonic() - began
    used = cpu_seconds(ground.server) - server
    for table in ("mover", "queue"):
        client.execute(f"DROP TABLE {table}")
    return (truth.records - had) / took, 0.0, used


def _ours(client: ClickHouse) -> None:
    migrate(client, retention_days=9000)


def _peer(client: ClickHouse) -> None:
    client.execute(sql.read("bench/peer_table.sql"))


RUNS: Final[dict[str, Callable[..., tuple[float, float, float]]]] = {
    "ours": process_run("ours", _ours),
    "connect": process_run("connect", _peer),
    "json": process_run("json", _peer),
    "engine": engine_run,
}


def rounds(ground: Ground, truth: Truth, systems: Sequence[str], times: int) -> dict[str, Figures]:
    """Every system in turn, again and again; what ours has written is compared with what was sent."""
    found = {name: Figures() for name in systems}
    for turn, name in ((turn, name) for turn in range(times) for name in systems):
        if name not in found:
            continue
        database = f"{name}_{turn}"
        with ClickHouse.open(ground.dsn, database) as client:
            client.command(f"CREATE DATABASE {database}")
            try:
                rate, writing, serving = RUNS[name](ground, client, truth)
            except LeftOut as exc:
                print(f"{name} is left out: {exc}")
                del found[name]
                continue
            found[name].add(rate, writing / truth.records * 1e6, serving / truth.records * 1e6)
            print(f"{name:10}{rate:>12,.0f} rows/s", flush=True)
            if name == "ours":
                check(client, truth)
            if (name, turn) != ("ours", times - 1):  # the last one is weighed
                client.command(f"DROP DATABASE {database} SYNC")
        _forget_groups(ground)
    return found


def _forget_groups(ground: Ground) -> None:
    admin = AdminClient({"bootstrap.servers": ground.bootstrap, "log_level": 2})
    for group in ("sink", "connect", "json"):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            future = admin.delete_consumer_groups([ground.prefix + group])[ground.prefix + group]
            if (exc := future.exception(30)) is None or "GROUP_ID_NOT_FOUND" in str(exc):
                break
            time.sleep(0.2)


def check(client: ClickHouse, truth: Truth) -> None:
    """Every id once, with the bytes that were sent."""
    [found] = client.query(
        "SELECT count() AS n, uniqExact(event_id) AS ids, groupBitXor(CRC32(raw)) AS sum FROM cart_events"
    )
    wanted = {"n": truth.ids, "ids": truth.ids, "sum": truth.bytes_of_ids}
    if found != wanted:
        raise SystemExit(f"the rows are not what was sent: {found}, but sent were {wanted}")


def on_disk(client: ClickHouse) -> dict[str, Any]:
    """Bytes a row, before and after the parts are merged into one, and by column."""
    before = client.query(sql.read("bench/on_disk.sql"))[0]
    client.execute("OPTIMIZE TABLE cart_events_log FINAL")
    after = client.query(sql.read("bench/on_disk.sql"))[0]
    columns = {x["name"]: x["bytes"] for x in client.query(sql.read("bench/columns_on_disk.sql"))}
    return {"as_inserted": before["bytes"], "parts": before["parts"], "merged": after["bytes"], "columns": columns}


def fresh(ground: Ground, rate: int, seconds: int) -> dict[str, float]:
    """How long a record takes from the producer to a row that a query sees, in ms; the query comes every 10 ms."""
    database = "fresh"
    ground = replace(ground, prefix="fresh.")  # nothing is behind
    make_topics(ground)
    arrived: dict[tuple[int, int], float] = {}
    sent: dict[tuple[int, int], float] = {}
    topic = ground.prefix + CART_EVENTS.name
    producer = Producer({"bootstrap.servers": ground.bootstrap, "linger.ms": 2, "log_level": 2})
    made = feed.day(max(rate * (seconds + 5), 100), seed=2)
    with ClickHouse.open(ground.dsn, database) as client:
        migrate(client, retention_days=9000)
        producer.produce(topic, made.pop().value, "first")  # a writer is ready when it has a record
        producer.flush(30)
        with writer(ground, "ours", database):
            number, began = 0, time.monotonic()

            def taken(at: float) -> Callable[[Any, Any], None]:
                return lambda _error, message: sent.__setitem__((message.partition(), message.offset()), at)

            while len(arrived) < rate * seconds and time.monotonic() - began < seconds + 60:
                now = time.monotonic()
                while number < min(rate * seconds, (now - began) * rate):
                    producer.produce(topic, made[number].value, made[number].key, on_delivery=taken(now))
                    number += 1
                producer.poll(0)
                behind = newest(client, "cart_events_log")
                seen = time.monotonic()
                for place in [x for x in sent if x not in arrived and x[1] <= behind.get(x[0], -1)]:
                    arrived[place] = seen
                time.sleep(0.01)
    return quantiles([round((arrived[x] - sent[x]) * 1000) for x in arrived if x in sent])


def main(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    with grounds(arguments.events) as (ground, truth):
        print(
            f"{truth.records:,} cart events of {truth.size:.0f} bytes, {truth.ids:,} ids, {feed.PARTITIONS} partitions"
        )
        found = rounds(ground, truth, arguments.systems, arguments.rounds)
        disk = {}
        if "ours" in found:
            with ClickHouse.open(ground.dsn, f"ours_{arguments.rounds - 1}") as client:
                disk = on_disk(client)
        late = fresh(ground, arguments.rate, arguments.seconds) if arguments.seconds else {}
    tell(found, disk, late, arguments)
    return 0


def tell(
    found: dict[str, Figures], disk: dict[str, Any], late: dict[str, float], arguments: argparse.Namespace
) -> None:
    """The tables."""
    print(f"\n{'':10}{'min':>12}{'median':>12}{'max':>12}  µs CPU writer  ClickHouse   ours is")
    summaries = {name: x.summary() for name, x in found.items()}
    ours = summaries["ours"]["rows_per_second"][1] if "ours" in summaries else 0
    for name, said in summaries.items():
        least, middle, most = said["rows_per_second"]
        ratio = f"{ours / middle:.2f}× (asked for: {_TARGETS[name]}×)" if ours and name in _TARGETS else ""
        cpu = f"{said['cpu_us_writer']:>15}{said['cpu_us_clickhouse']:>12}"
        print(f"{name:10}{least:>12,}{middle:>12,}{most:>12,}{cpu}   {ratio}")
    if disk:
        inserted = f"{disk['as_inserted']:.1f} in {disk['parts']} parts as inserted"
        print(f"\nbytes on disk a row: {inserted}, {disk['merged']:.1f} merged into one; of these")
        print(", ".join(f"{name} {size:.2f}" for name, size in disk["columns"].items() if size >= 0.05))
    if late:
        print(f"\nfrom the producer to a row a query sees, {arguments.rate:,} events/s, ms: {late}")
    if arguments.sink_json:
        print(json.dumps({"systems": summaries, "disk": disk, "fresh_ms": late}))
