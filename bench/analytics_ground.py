"""Where the sink's benchmark runs: a broker with a day of cart events, and an empty ClickHouse."""

import contextlib
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench import feed
from bench.broker import broker
from cartwake.settings import Settings
from cartwake.topics import ALL, CART_EVENTS
from local import stack
from local.kafka import free_port


@dataclass
class Ground:
    """Where everything runs."""

    bootstrap: str
    dsn: str  # without a database
    server: int  # the process of ClickHouse
    folder: Path
    prefix: str = "sink."

    def settings(self, database: str) -> Settings:
        """The settings of a writer; a group and a database of its own for each run."""
        return Settings(
            kafka_bootstrap=self.bootstrap, topic_prefix=self.prefix, clickhouse_dsn=f"{self.dsn}/{database}",
            clickhouse_database=database, data_dir=self.folder, metrics_port=0,
        )  # fmt: skip


@dataclass
class Truth:
    """What must be there: records, ids, and a sum over the bytes of one record of each id."""

    records: int = 0
    ids: int = 0
    size: float = 0
    bytes_of_ids: int = 0
    last: dict[int, int] = field(default_factory=dict)  # the last offset of each partition


def send(ground: Ground, events: int) -> Truth:
    """The day of bench/feed.py on the topic, shifted to end now; each record has the time at which it would come."""
    made = feed.day(events)
    shift = time.time_ns() // 1_000_000 - made[-1].at
    producer = Producer(
        {"bootstrap.servers": ground.bootstrap, "partitioner": "murmur2_random", "linger.ms": 20, "acks": "all",
         "compression.type": "lz4", "log_level": 2, "queue.buffering.max.messages": 200_000}
    )  # fmt: skip
    topic = ground.prefix + CART_EVENTS.name
    truth, seen = Truth(), dict[str, int]()
    for number, record in enumerate(made):
        truth.records += 1
        truth.size += len(record.value)
        seen.setdefault(record.value[13:45].decode(errors="replace"), zlib.crc32(record.value))
        while True:
            try:
                # some time on the way, different for each
                at = record.at + shift + 20 + (number * 2_654_435_761 >> 7) % 400
                producer.produce(topic, record.value, record.key, timestamp=at)
                break
            except BufferError:
                producer.poll(0.05)
    if left := producer.flush(120):
        raise TimeoutError(f"{left} records could not be written")
    reader = Consumer({"bootstrap.servers": ground.bootstrap, "group.id": "ends", "log_level": 2})
    for number in range(feed.PARTITIONS):
        truth.last[number] = reader.get_watermark_offsets(TopicPartition(topic, number))[1] - 1
    reader.close()
    truth.ids, truth.size = len(seen), truth.size / truth.records
    for crc in seen.values():
        truth.bytes_of_ids ^= crc
    return truth


@contextmanager
def grounds(events: int) -> Iterator[tuple[Ground, Truth]]:
    """A broker with the events and an empty ClickHouse."""
    with tempfile.TemporaryDirectory(prefix="bench-sink-") as name, broker() as bootstrap:
        folder = Path(name)
        found = Settings(data_dir=folder, clickhouse_port=free_port())
        with stack.embedded(found, clickhouse=True) as running:
            ground = Ground(
                bootstrap, running.clickhouse_dsn.rpartition("/")[0], listener(found.clickhouse_port), folder
            )
            make_topics(ground)
            yield ground, send(ground, events)


def make_topics(ground: Ground) -> None:
    admin = AdminClient({"bootstrap.servers": ground.bootstrap, "log_level": 2})
    config = {"message.timestamp.type": "CreateTime"}  # so that a day takes a day, however fast it is written
    made = [NewTopic(ground.prefix + x.name, feed.PARTITIONS, 1, config=config) for x in ALL]
    for future in admin.create_topics(made).values():
        future.result(60)


def listener(port: int) -> int:
    """The process that was started with `--port <port>`."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if b"local.clickhouse" in words and str(port).encode() in words:
                return int(folder.name)
    raise RuntimeError(f"no ClickHouse on port {port}")
