"""Topics of one fault with the process that works on them, and an independent reader (kafka-python) of what it did."""

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import confluent_kafka
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError
from kafka.structs import OffsetAndMetadata

from cartwake import topics
from cartwake.broker import delete_topics, ensure_topics
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from tests.faults.result import Ground
from tests.faults.shares import ROOT
from tests.patience import Late, until

MB = 1024 * 1024


class Reader:
    """A topic from its beginning; each `all()` has what has come since as well."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer: Any = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        self._places = [TopicPartition(topic, n) for n in sorted(self._consumer.partitions_for_topic(topic) or ())]
        self._consumer.assign(self._places)
        self._consumer.seek_to_beginning(*self._places)
        self._records: list[Any] = []

    def all(self) -> list[Any]:
        """Every record up to the present end, without watermarks."""
        ends = self._consumer.end_offsets(self._places)
        while any(self._consumer.position(place) < ends[place] for place in self._places):
            for records in self._consumer.poll(timeout_ms=500).values():
                self._records += records
        return self._records

    def ends(self) -> dict[int, int]:
        """The next offset of each partition."""
        return {place.partition: end for place, end in self._consumer.end_offsets(self._places).items()}

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


class Worker:
    """A process; what it said is in files beside its state."""

    def __init__(self, settings: Settings, clock: Path | None, environ: Mapping[str, str]) -> None:
        folder = Path(settings.data_dir)
        folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex[:6]
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CARTWAKE_")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.clock_worker", *([str(clock)] if clock else [])],
                env=kept | settings.environment() | dict(environ),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    @property
    def said(self) -> list[str]:
        """Its lines on standard output."""
        return self._out.read_text(errors="replace").splitlines()

    @property
    def complaints(self) -> str:
        """Its standard error."""
        return self._err.read_text(errors="replace")

    def last_words(self) -> str:
        """The end of its standard error, for a report."""
        return self.complaints.strip()[-400:] or f"nothing; exit code {self.process.returncode}"

    def stop(self, patience: float = 30) -> None:
        """End it by SIGTERM, and by SIGKILL when that takes too long."""
        if self.alive:
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


class Pipe:
    """The topics; whatever it started is ended, and whatever it made is deleted, at the end."""

    def __init__(self, ground: Ground, partitions: int = 4) -> None:
        name = f"i{uuid.uuid4().hex[:8]}"
        self.settings = Settings(
            kafka_bootstrap=ground.bootstrap,
            topic_prefix=f"{name}.",
            partitions=partitions,
            data_dir=ground.folder / name,
            secret="a secret for tests only, of no use elsewhere",
        )
        self.group = f"{self.settings.topic_prefix}streams"
        self._workers: list[Worker] = []
        self._readers: dict[str, Reader] = {}
        self._producer: Any = confluent_kafka.Producer(
            {
                "bootstrap.servers": ground.bootstrap,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.max.bytes": 32 * MB,
                "log_level": 2,
            }
        )
        self.refused = 0

    def __enter__(self) -> Self:
        ensure_topics(self.settings, say=lambda _: None)
        return self

    def __exit__(self, *_error: object) -> None:
        for worker in self._workers:
            worker.stop(10)
        for reader in self._readers.values():
            reader.close()
        prefix = self.settings.topic_prefix
        changelogs = [f"{self.group}-{stage}-changelog" for stage in ("carts", "identity", "orders")]
        delete_topics(self.settings, [*(prefix + topic.name for topic in topics.ALL), *changelogs])

    def start(self, *, clock: Path | None = None, **environ: str) -> Worker:
        """Start the process of stages 1 and 2."""
        worker = Worker(self.settings, clock, environ)
        self._workers.append(worker)
        return worker

    def idle(self, shop: str, idle: str) -> None:
        """Set a shop's idle time, however short."""
        with Publisher(self.settings) as publisher:
            set_for(publisher, shop, "carts", {"idle": idle, "trial": True})

    def send(
        self, topic: topics.Topic, key: str | bytes | None, value: bytes | None, partition: int = -1, **more: Any
    ) -> None:
        """Queue a record; see `flush`."""
        while True:
            try:
                name = self.settings.topic_prefix + topic.name
                self._producer.produce(name, value, key, partition, self._delivered, **more)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def flush(self) -> None:
        """Return when all that was sent is on the broker, or was refused for its size."""
        if left := self._producer.flush(180):
            raise Late(f"{left} records were not taken within 180 s")

    def reader(self, topic: topics.Topic) -> Reader:
        """The reader of a topic."""
        name = self.settings.topic_prefix + topic.name
        if name not in self._readers:
            self._readers[name] = Reader(self.settings.bootstrap, name)
        return self._readers[name]

    def committed(self, topic: topics.Topic = topics.CART_EVENTS) -> dict[int, int]:
        """What the group has committed, by partition; 0 where nothing is."""
        admin: Any = KafkaAdminClient(bootstrap_servers=self.settings.bootstrap)
        try:
            name = self.settings.topic_prefix + topic.name
            found = until(lambda: _offsets(admin, self.group), "the group's coordinator answers")[self.group]
            offsets = {place.partition: at.offset for place, at in found.items() if place.topic == name}
            return {n: max(0, offsets.get(n, 0)) for n in range(self.settings.partitions)}
        finally:
            admin.close()

    def is_read(self, topic: topics.Topic = topics.CART_EVENTS) -> bool:
        """Whether the group has committed all there is."""
        return self.committed(topic) == self.reader(topic).ends()

    def move(self, offsets: Mapping[int, int], topic: topics.Topic = topics.CART_EVENTS) -> None:
        """Commit these offsets by hand, as one does who skips what can't be used; the group must be at rest."""
        name = self.settings.topic_prefix + topic.name
        consumer: Any = KafkaConsumer(bootstrap_servers=self.settings.bootstrap, group_id=self.group)
        try:
            places = {TopicPartition(name, n): OffsetAndMetadata(at, "", -1) for n, at in offsets.items()}
            consumer.assign(list(places))
            consumer.commit(places)
        finally:
            consumer.close()

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self.refused += 1


def _offsets(admin: Any, group: str) -> Any:
    try:
        return admin.list_group_offsets(group)
    except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError):  # a broker's first group waits for its topic
        return None
