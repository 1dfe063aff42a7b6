"""Three Kafka nodes on loopback, each broker and controller, from the same jars as the embedded one."""

import contextlib
import secrets
import subprocess
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, Final, Self

from confluent_kafka.admin import AdminClient

from local import jars, kafka
from tests.conftest import free_port

START_BOUND_S: Final = 180.0

_SERVER = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
log.message.timestamp.type=LogAppendTime
log.cleaner.dedupe.buffer.size=16777216
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=2
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class Cluster:
    """Nodes that live as long as the `with` block."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self._folder = folder
        self._ports = [(free_port(), free_port()) for _ in range(nodes)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * nodes
        self._java: list[list[str]] = []
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port, _ in self._ports)

    def __enter__(self) -> Self:
        try:
            for node in range(len(self._ports)):
                self._format(node)
            for node in range(len(self._ports)):
                self._launch(node)
            self._wait_for(*range(len(self._ports)))
            self.heal()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in range(len(self._ports)):
            self.kill(node)

    def start(self, node: int) -> None:
        """Start a node and return when it answers."""
        self._launch(node)
        self._wait_for(node)

    def kill(self, node: int) -> None:
        """kill -9 of a node."""
        process, self._processes[node] = self._processes[node], None
        if process is not None:
            process.kill()
            process.wait()

    def heal(self) -> None:
        """Return when every replica of every partition is in sync again."""
        end = time.monotonic() + START_BOUND_S
        admin: Any = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2}, error_cb=lambda _: None)
        while time.monotonic() < end:
            with contextlib.suppress(Exception):
                seen = admin.list_topics(timeout=5)
                parts = [part for topic in seen.topics.values() for part in topic.partitions.values()]
                if len(seen.brokers) == len(self._ports) and all(len(p.isrs) == len(p.replicas) for p in parts):
                    return
            time.sleep(0.3)
        raise TimeoutError("the replicas did not come in sync")

    def _format(self, node: int) -> None:
        home = self._folder / f"node-{node}"
        (home / "logs").mkdir(parents=True)
        log4j = kafka._LOG4J.format(logs=home / "logs")
        (home / "log4j2.properties").write_text(log4j, encoding="utf-8")
        port, controller = self._ports[node]
        voters = ",".join(f"{n}@127.0.0.1:{quorum}" for n, (_, quorum) in enumerate(self._ports))
        text = _SERVER.format(node=node, voters=voters, port=port, controller=controller, data=home / "data")
        (home / "server.properties").write_text(text, encoding="utf-8")
        java = [option if option != "-Xmx768m" else "-Xmx384m" for option in kafka._java(jars.bring(), home)]
        self._java.append(java)
        if not node:
            self._cluster = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "A")
        tool = ["kafka.tools.StorageTool", "format", "-t", self._cluster, "-c", str(home / "server.properties")]
        subprocess.run([*java, *tool], check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def _launch(self, node: int) -> None:
        home = self._folder / f"node-{node}"
        with (home / "console.log").open("ab") as log:
            self._processes[node] = subprocess.Popen(
                [*self._java[node], "kafka.Kafka", str(home / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for(self, *nodes: int) -> None:
        end = time.monotonic() + START_BOUND_S
        while not all(kafka.answers(f"127.0.0.1:{self._ports[node][0]}") for node in nodes):
            if time.monotonic() > end:
                raise TimeoutError(f"nodes {nodes} do not answer")
            time.sleep(0.1)
