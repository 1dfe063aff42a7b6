"""Faults of ClickHouse: away, standing still, and connections cut between an insert and its answer.

The sink is the process `cartwake run sink`, ClickHouse the embedded engine in a process of its own. The judge reads the
topic with kafka-python and the table over plain HTTP, with merges stopped: a record inserted twice would show.
"""

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaConsumer
from kafka import TopicPartition as Place

from cartwake.settings import Settings
from cartwake.topics import ALL, CART_EVENTS
from local.clickhouse import answers, dsn
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate
from tests.conftest import free_port
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import Score, folder_of
from tests.patience import until

PARTITIONS: Final = 4
PATIENCE: Final = 600.0
MOST_MIB: Final = 700  # of the sink's memory, whatever waits


class Engine:
    """The embedded ClickHouse, to be killed and stopped."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        command = [sys.executable, "-m", "local.clickhouse", "--data-dir", str(self._folder), "--port", str(self.port)]
        self.process = subprocess.Popen(command)
        until(lambda: answers(self.port), "ClickHouse to answer")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL is waited for."""
        assert self.process is not None
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait()

    def dsn(self, port: int = 0) -> str:
        """Its address, or that of a proxy before it."""
        return dsn(self._folder, port or self.port, "faults")

    def ask(self, statement: str) -> list[list[str]]:
        """Rows of a query, over plain HTTP."""
        credentials = self.dsn().split("//")[1].split("@")[0]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/?database=faults&default_format=JSONCompactStringsEachRow",
            statement.encode(),
            {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]


class Cutter:
    """A proxy that cuts connections when the answer to an insert of events comes back."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.cut = 0
        self._upstream, self._chance = port, chance
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._upstream))
                said = {"insert": False}
                for pump in (self._ask, self._answer):
                    threading.Thread(target=pump, args=(client, server, said), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, said: dict[str, bool]) -> None:
        with suppress(OSError):
            while data := client.recv(65_536):
                if data.startswith(b"POST"):
                    said["insert"] = b"cart_events_log" in data
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket, said: dict[str, bool]) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if said["insert"] and self._chance.random() < 0.7:  # several times in a row, too
                    self.cut += 1
                    break
                client.sendall(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the thread that reads it
            end.close()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


class Feed:
    """Events that go on coming, whatever ClickHouse does."""

    def __init__(self, bootstrap: str, topic: str, rate: int) -> None:
        self.sent = 0
        self._topic, self._rate = topic, rate
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 5, "log_level": 2})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            for _ in range(max(1, self._rate // 20)):
                event = {"event_id": f"e{self.sent}", "type": "cart.viewed", "cart_id": f"c{self.sent % 999}",
                         "occurred_at": "2026-11-23T12:00:00.000Z", "page": "/cart"}  # fmt: skip
                self._producer.produce(self._topic, json.dumps(event), event["cart_id"])
                self.sent += 1
            self._producer.poll(0)

    def finish(self) -> None:
        """Send no more; all that was sent is acknowledged."""
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(60) == 0


@contextmanager
def sinking(ground: Ground, address: str, prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """The sink's process."""
    found = Settings(
        kafka_bootstrap=ground.bootstrap, topic_prefix=prefix, clickhouse_dsn=address, clickhouse_database="faults",
        data_dir=folder_of(ground, "sink"), metrics_port=0,
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "cartwake", "run", "sink"], env=os.environ | found.environment())
    try:
        yield process
        assert process.poll() is None, f"the sink ended with {process.returncode}"
    finally:
        process.terminate()
        process.wait(60)


class Run:
    """A sink at work before an engine, with events that go on coming, and what is found in the end."""

    def __init__(self, ground: Ground, fault: str, rate: int) -> None:
        self.score = Score(fault, ground.seed)
        self.chance = random.Random(ground.seed)
        self.prefix = f"ch{fault.split()[1]}{ground.seed}."
        self.topic = self.prefix + CART_EVENTS.name
        self.engine = Engine(folder_of(ground, "engine"))
        self._ground, self._rate = ground, rate
        self.most_mib = 0.0

    def __enter__(self) -> "Run":
        admin = AdminClient({"bootstrap.servers": self._ground.bootstrap, "log_level": 2})
        for made in admin.create_topics([NewTopic(self.prefix + x.name, PARTITIONS, 1) for x in ALL]).values():
            made.result(30)
        self.engine.start()
        with ClickHouse.open(self.engine.dsn(), "faults") as client:
            migrate(client, retention_days=90)
        self.engine.ask("SYSTEM STOP MERGES faults.cart_events_log")
        self.feed = Feed(self._ground.bootstrap, self.topic, self._rate)
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.finish()
        process = self.engine.process
        if process is not None:
            process.kill()
            process.wait()

    def rows(self) -> int:
        """Rows in the table."""
        return int(self.engine.ask("SELECT count() FROM cart_events_log")[0][0])

    def weigh(self, sink: subprocess.Popen[bytes]) -> None:
        """Remember the sink's peak of memory."""
        for line in Path(f"/proc/{sink.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                self.most_mib = int(line.split()[1]) / 1024

    def caught_up(self, sink: subprocess.Popen[bytes], since: float) -> None:
        """No more events; wait until all are rows."""
        behind = self.feed.sent - self.rows()
        self.feed.finish()
        until(lambda: self.rows() >= self.feed.sent, "all events to be rows", PATIENCE)
        took = time.monotonic() - since
        self.score.recovered.append(took)
        self.score.notes.append(f"{behind:,} events behind")
        self.weigh(sink)

    def judge(self) -> Result:
        """Compare the table with the topic."""
        score = self.score
        reader = KafkaConsumer(bootstrap_servers=self._ground.bootstrap, consumer_timeout_ms=5_000)
        places = [Place(self.topic, n) for n in range(PARTITIONS)]
        reader.assign(places)
        reader.seek_to_beginning()
        sent = {f"{x.partition}/{x.offset}": x.value.decode() for x in reader}
        reader.close()
        rows = self.engine.ask("SELECT kafka_partition, kafka_offset, record FROM cart_events_log")
        written = {f"{partition}/{offset}": record for partition, offset, record in rows}
        score.runs += 1
        score.events += len(sent)
        score.lost += len(sent.keys() - written.keys())
        score.double += len(rows) - len(written)
        if changed := sum(sent[x] != written[x] for x in sent.keys() & written.keys()):
            score.wrong.append(f"{changed} records are not those that were sent")
        if len(sent) != self.feed.sent:
            score.wrong.append(f"{self.feed.sent} events were sent, {len(sent)} are on the topic")
        if self.most_mib > MOST_MIB:
            score.wrong.append(f"the sink took {self.most_mib:.0f} MiB")
        score.notes.append(f"the sink took {self.most_mib:.0f} MiB at most")
        return score.result()


def away(ground: Ground) -> Result:
    """ClickHouse is killed, and started again after ten minutes."""
    with Run(ground, "ClickHouse away", 2_000 if ground.quick else 5_000) as run:
        with sinking(ground, run.engine.dsn(), run.prefix) as sink:
            until(lambda: run.rows() > 0, "rows")
            run.engine.signal(signal.SIGKILL)
            run.score.kills += 1
            time.sleep(6 if ground.quick else 600)
            run.engine.start()
            run.engine.ask("SYSTEM STOP MERGES faults.cart_events_log")
            run.caught_up(sink, time.monotonic())
        return run.judge()


def slow(ground: Ground) -> Result:
    """ClickHouse stands still, in the middle of inserts, and goes on."""
    with Run(ground, "ClickHouse slow", 2_000 if ground.quick else 5_000) as run:
        with sinking(ground, run.engine.dsn(), run.prefix) as sink:
            until(lambda: run.rows() > 0, "rows")
            run.engine.signal(signal.SIGSTOP)
            time.sleep(4 if ground.quick else 30)
            run.engine.signal(signal.SIGCONT)
            run.caught_up(sink, time.monotonic())
        return run.judge()


def cut(ground: Ground) -> Result:
    """Connections are cut after the insert, before the answer."""
    times = 8 if ground.quick else 100
    with Run(ground, "ClickHouse cut after the insert", 1_000) as run:
        cutter = Cutter(run.engine.port, run.chance)
        with sinking(ground, run.engine.dsn(cutter.port), run.prefix) as sink:
            until(lambda: cutter.cut >= times, f"{times} cuts", PATIENCE)
            run.score.kills = cutter.cut
            run.caught_up(sink, time.monotonic())
            cutter.close()
        return run.judge()


ROWS: Final[dict[str, Fault]] = {"clickhouse away": away, "clickhouse slow": slow, "clickhouse cut": cut}
