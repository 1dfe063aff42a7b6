"""What the runtime's tests run on a real Kafka: topics of their own, and small stages that know no shop."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka
import msgspec
from aiokafka import TopicPartition as AioTopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from msgspec import Struct

from cartwake.topics import FORWARDED, WATERMARK, partition_of
from streams.runtime import App, Config, Stage
from streams.runtime.changelog import OWNER

PATIENCE = 180.0
_made: list[App] = []
NUMBERS, WORDS, SUMS, DEAD = "numbers", "words", "sums", "dead"


class Tally(Struct, array_like=True):
    """How often a key came, and the offset of its last record by topic."""

    count: int = 0
    offsets: dict[str, int] = {}


class Tallying:
    """Counts the records of each key; says each new count on `sums`."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.times: list[int] = []  # what on_progress was told
        self.batches: list[tuple[int, Any]] = []  # progress and record, as taken
        self.topics: set[str] = set()
        self.results: list[Any] = []
        self.performed: list[Any] = []
        self.restored = -1

    def on_restored(self) -> None:
        self.restored = len(self.context.table)

    def on_batch(self, records: Sequence[Any], progress: int) -> None:
        self.topics.add(self.context.topic)
        for record in records:
            self.batches.append((self.times[-1] if self.times else 0, record))
            self.take(record)

    def take(self, record: Any) -> None:
        key = (record.key or b"none").decode()
        tally = self.context.table.get(key) or Tally()
        if record.offset <= tally.offsets.get(self.context.topic, -1):
            return
        fresh = Tally(tally.count + 1, tally.offsets | {self.context.topic: record.offset})
        self.context.table.put(key, fresh)
        self.context.emit(SUMS, key, str(fresh.count).encode())

    def on_progress(self, progress: int) -> None:
        self.times.append(progress)

    async def perform(self, effect: Any) -> Any:
        self.performed.append(effect)
        return effect

    def on_result(self, effect: Any, result: Any) -> None:
        self.results.append(result)


def tallying(
    task: Callable[[Any], Any] = Tallying, *, name: str = "tally", inputs: tuple[str, ...] = (NUMBERS,), **more: Any
) -> Stage[str, Tally]:
    """A stage that counts."""
    return Stage[str, Tally](name, inputs=inputs, outputs=(SUMS,), key=str, state=Tally, task=task, **more)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario to its end, and stop what it left running."""

    async def bounded() -> None:
        try:
            await scenario
        finally:
            while _made:
                app = _made.pop()
                if app.started:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(app.stop(), 15)

    asyncio.run(bounded())


async def until(condition: Callable[[], Any], what: str = "", patience: float = PATIENCE, pause: float = 0.05) -> None:
    """Return when `condition` holds; it may block for a moment."""
    end = time.monotonic() + patience
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end, f"waited {patience:.0f} s in vain {what}"
        await asyncio.sleep(pause)


@dataclass
class World:
    """Topics of one test, with what a shop outside would do to them and what an observer would see."""

    bootstrap: str
    folder: Path
    partitions: int = 1
    prefix: str = field(default_factory=lambda: f"r{uuid.uuid4().hex[:8]}.")
    sent: int = 0

    def __post_init__(self) -> None:
        self.group = f"{self.prefix}group"
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        self._producer: Any = confluent_kafka.Producer(
            {"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random", "linger.ms": 1, "log_level": 2}
        )
        for topic in (NUMBERS, WORDS):
            self.make(self.prefix + topic, self.partitions)
        self.make(self.prefix + SUMS, self.partitions, {"max.message.bytes": "100000"})
        self.make(self.prefix + DEAD, 1, {"max.message.bytes": str(2 * 1024 * 1024)})

    def make(self, name: str, partitions: int, config: dict[str, str] | None = None) -> None:
        """Create a topic unless it is there."""
        new = NewTopic(name, partitions, 1, config=config or {})
        try:
            self._admin.create_topics([new])[name].result(30)
        except confluent_kafka.KafkaException as exc:
            if exc.args[0].code() != confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def app(self, *stages: Stage[Any, Any], **config: Any) -> App:
        """An app of this world's group, its changelogs made when they are missing."""
        for stage in stages:
            self.make(f"{self.group}-{stage.name}-changelog", self.partitions, {"cleanup.policy": "compact"})
        options: dict[str, Any] = {
            "group": self.group,
            "bootstrap": self.bootstrap,
            "prefix": self.prefix,
            "data_dir": self.folder / uuid.uuid4().hex[:6],
            "partitions_of": dict.fromkeys((NUMBERS, WORDS, SUMS), self.partitions) | {DEAD: 1},
            "dead_letters": DEAD,
            "max_bytes": 2 * 1024 * 1024,
            "partitioner": partition_of,
            "forwarded_header": FORWARDED,
            "watermark_header": WATERMARK,
            "commit_interval": 0.2,
            "session_timeout": 6.0,
        }
        app = App(Config(**(options | config)), list(stages))
        _made.append(app)
        return app

    def send(self, topic: str, *records: tuple[str | None, bytes | str | None], **more: Any) -> None:
        """Send (key, value) records and wait until the broker has them."""
        for key, value in records:
            self._producer.produce(self.prefix + topic, value, key, **more)
            self._producer.poll(0)
        self.sent += len(records)
        assert self._producer.flush(20) == 0

    def numbers(self, n: int, keys: int = 1, start: int = 0) -> list[tuple[str, str]]:
        """`n` records over `keys` keys."""
        return [(f"k{i % keys}", str(i)) for i in range(start, start + n)]

    def read(self, topic: str, *, prefix: str | None = None) -> list[Any]:
        """Every record that is on a topic now, by partition."""
        name = (self.prefix if prefix is None else prefix) + topic
        consumer: Any = confluent_kafka.Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "log_level": 2,
            }
        )
        try:
            found: list[Any] = []
            for number in consumer.list_topics(name, timeout=60).topics[name].partitions:
                consumer.assign([confluent_kafka.TopicPartition(name, number, confluent_kafka.OFFSET_BEGINNING)])
                ended = False
                while not ended:
                    for message in consumer.consume(5_000, timeout=0.05):
                        if message.error() is None:
                            found.append(message)
                        else:
                            assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
                            ended = True
            return found
        finally:
            consumer.close()

    def committed(self, topic: str = NUMBERS, number: int = 0) -> int:
        """The offset that the group has committed, -1001 when none."""
        consumer: Any = confluent_kafka.Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": self.group, "log_level": 2}
        )
        try:
            place = confluent_kafka.TopicPartition(self.prefix + topic, number)
            return int(consumer.committed([place], timeout=60)[0].offset)
        finally:
            consumer.close()

    def changelog(self, stage: str = "tally") -> dict[str, Tally]:
        """The newest state of each key on the broker."""
        states: dict[str, Tally] = {}
        for message in self.read(f"{self.group}-{stage}-changelog", prefix=""):
            if message.key() == OWNER:
                continue
            key = msgspec.msgpack.decode(message.key(), type=str)
            if message.value() is None:
                states.pop(key, None)
            else:
                states[key] = msgspec.msgpack.decode(message.value(), type=Tally)
        return states

    def counted(self, apps: Iterable[App], stage: str = "tally") -> int:
        """Records that the states of these apps have counted."""
        return sum(
            tally.count
            for app in apps
            for (name, _), partition in list(app.partitions.items())
            if name == stage
            for _, tally in list(partition.table.items())
        )


def task_of(app: App, number: int = 0, stage: str = "tally") -> Any:
    """The task at work on a partition; None before it is assigned."""
    partition = app.partitions.get((stage, number))
    return partition.task if partition else None


def place(world: World, topic: str, number: int = 0) -> Any:
    """The partition of a topic, for a client that is assigned by hand."""
    return AioTopicPartition(world.prefix + topic, number)
