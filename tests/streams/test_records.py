"""Records as they come from a real Kafka: strange, misplaced, unusable, compressed; none stops a partition."""

import asyncio
from collections.abc import Callable
from typing import Any

import confluent_kafka
import pytest

from cartwake.topics import FORWARDED, WATERMARK, partition_of
from streams.runtime import Poisoned
from tests.streams.world import DEAD, NUMBERS, SUMS, Tallying, World, run, tallying, task_of, until

pytestmark = pytest.mark.stack
MB = 1024 * 1024


class Picky(Tallying):
    """Puts aside what is not a number."""

    def take(self, record: Any) -> None:
        if not (record.value or b"").isdigit():
            self.context.dead_letter(record, "no number: …")
        else:
            super().take(record)


class Placed(Tallying):
    """Takes a key only where it lies."""

    def take(self, record: Any) -> None:
        if not self.context.misplaced(record, record.key.decode()):
            super().take(record)


def other_partition(key: str, partitions: int) -> int:
    return (partition_of(key.encode(), partitions) + 1) % partitions


def test_unusable_record_is_put_aside_as_it_came_and_the_next_are_taken(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(Picky))
        await app.start()
        bad = [("k0", b"\xff\x00 bad"), (None, b"bad"), ("k0", None), ("k0", b"")]
        world.send(NUMBERS, ("k0", "1"), *bad, ("k0", "2"))
        await until(lambda: world.committed() == 6)
        await app.stop()
        assert app.failure is None
        letters = world.read(DEAD)
        assert [(m.key() and m.key().decode(), m.value()) for m in letters] == bad
        headers = [dict(m.headers()) for m in letters]
        assert [h["offset"] for h in headers] == [b"1", b"2", b"3", b"4"]
        assert headers[0] == {
            "reason": "no number: …".encode(),
            "topic": (world.prefix + NUMBERS).encode(),
            "partition": b"0",
            "offset": b"1",
            "stage": b"tally",
        }
        assert world.changelog()["k0"].count == 2
        assert app.counters["tally", "dead_letters"] == 4

    run(scenario())


def test_record_too_large_to_be_put_aside_is_cut_and_stops_nothing(world: World) -> None:
    """Brokers bound the compressed size: ten megabytes of one letter pass."""

    async def scenario() -> None:
        producer: Any = confluent_kafka.Producer(
            {"bootstrap.servers": world.bootstrap, "compression.type": "lz4", "message.max.bytes": 32 * MB}
        )
        name = world.prefix + NUMBERS
        producer.produce(name, b"x" * 10 * MB, "k0")
        producer.produce(name, b"x", b"k" * 3 * MB)
        producer.produce(name, b"x" * (2 * MB - 400), "k0", headers=[("h", b"h" * MB)])
        producer.produce(name, b"7", "k0")
        assert producer.flush(20) == 0
        app = world.app(tallying(Picky))
        await app.start()
        await until(lambda: app.failure is not None or world.committed() == 4)
        assert app.failure is None
        await app.stop()
        letters = world.read(DEAD)
        assert [dict(m.headers()).get("cut") for m in letters] == [
            str(10 * MB + 2).encode(),
            str(3 * MB + 1).encode(),
            str(2 * MB - 400 + 2).encode(),
        ]
        assert all(set(m.value()) == {ord("x")} for m in letters)
        assert world.changelog()["k0"].count == 1

    run(scenario())


def test_thousand_unusable_records_in_a_row_stop_the_app_and_the_rest_stays_unread(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(Picky))
        await app.start()
        world.send(NUMBERS, ("k0", "1"), *[("k0", "bad")] * 3_000)
        await until(lambda: app.failure is not None)
        await app.stop()
        assert isinstance(app.failure, Poisoned)
        assert "1000 unusable records in a row" in str(app.failure)
        assert world.committed() <= 1_001
        assert len(world.read(DEAD)) <= 1_000

    run(scenario())


def test_999_unusable_records_in_a_row_stop_nothing(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(Picky))
        await app.start()
        world.send(NUMBERS, *[("k0", "bad")] * 999, ("k0", "1"))
        await until(lambda: world.committed() == 1_000)
        await app.stop()
        assert app.failure is None
        assert len(world.read(DEAD)) == 999

    run(scenario())


def test_misplaced_record_is_forwarded_once_to_its_keys_partition(make_world: Callable[..., World]) -> None:
    async def scenario() -> None:
        world = make_world(3)
        app = world.app(tallying(Placed))
        await app.start()
        for key in ("a", "b", "c"):
            wrong = other_partition(key, 3)
            world.send(NUMBERS, (key, "1"), partition=wrong, headers=[("trace", b"t-1"), ("empty", None)])
            world.send(NUMBERS, (key, "2"))
        await until(lambda: world.counted([app]) == 6)
        for key in ("a", "b", "c"):
            assert app.partitions["tally", partition_of(key.encode(), 3)].table.get(key).count == 2
        # whoever forwards into the wrong place is believed: a record never goes in circles
        world.send(NUMBERS, ("d", "1"), partition=other_partition("d", 3), headers=[(FORWARDED, b"1")])
        await until(lambda: world.counted([app]) == 7)
        await app.stop()
        assert app.counters["tally", "forwarded"] == 3
        forwarded = [m for m in world.read(NUMBERS) if (FORWARDED, b"1") in (m.headers() or [])]
        assert len(forwarded) == 4
        assert [m.headers() for m in forwarded if m.key() == b"a"] == [
            [("trace", b"t-1"), ("empty", None), (FORWARDED, b"1")]
        ]

    run(scenario())


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_batches_are_read(world: World, codec: str) -> None:
    async def scenario() -> None:
        app = world.app(tallying())
        await app.start()
        producer: Any = confluent_kafka.Producer(
            {"bootstrap.servers": world.bootstrap, "compression.type": codec, "linger.ms": 50}
        )
        for n in range(500):
            producer.produce(world.prefix + NUMBERS, b"the same again and again", f"k{n % 5}")
        assert producer.flush(20) == 0
        await until(lambda: world.counted([app]) == 500)
        await app.stop()
        assert app.failure is None

    run(scenario())


def test_null_key_and_null_value_are_records_like_others(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying())
        await app.start()
        world.send(NUMBERS, (None, "1"), ("k", None), (None, None), ("k", ""))
        await until(lambda: world.committed() == 4)
        assert [(r.key, r.value) for _, r in task_of(app).batches] == [
            (None, b"1"), (b"k", None), (None, None), (b"k", b""),
        ]  # fmt: skip
        await app.stop()

    run(scenario())


@pytest.mark.parametrize("mark", [b"", b"soon", b"input|", b"input|soon", b"|", b"\xff|1", b"input|1", None])
def test_watermark_header_of_a_stranger_stops_nothing(world: World, mark: bytes | None) -> None:
    async def scenario() -> None:
        app = world.app(tallying())
        await app.start()
        world.send(NUMBERS, ("k", "1"), headers=[(WATERMARK, mark)])
        world.send(NUMBERS, ("k", "2"))
        await until(lambda: app.failure is not None or world.committed() == 2)
        assert app.failure is None
        assert app.partitions["tally", 0].table.get("k").count >= 1
        await app.stop()

    run(scenario())


def test_markers_of_a_transaction_at_the_end_do_not_stop_progress(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying())
        await app.start()
        producer: Any = confluent_kafka.Producer(
            {"bootstrap.servers": world.bootstrap, "transactional.id": world.prefix, "log_level": 2}
        )
        await asyncio.to_thread(producer.init_transactions, 30)
        for finish in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction):
            producer.begin_transaction()
            producer.produce(world.prefix + NUMBERS, b"1", "k")
            await asyncio.to_thread(finish, 30)
        await until(lambda: world.counted([app]) >= 2)
        last = max(record.timestamp for _, record in task_of(app).batches)
        await until(
            lambda: max(task_of(app).times, default=0) > last + 1_000, "for time to go on in silence", patience=10
        )
        world.send(NUMBERS, ("k", "1"))
        counted = world.counted([app])
        await until(lambda: world.counted([app]) > counted)
        await app.stop()
        assert app.failure is None
        assert len(world.read(SUMS)) >= 3

    run(scenario())


def test_a_topic_that_the_broker_does_not_know_yet_is_read_soon_after_it_does(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(inputs=("late",)), partitions_of={"late": 1, SUMS: 1, DEAD: 1})
        await app.start()
        await until(lambda: app._generation >= 0 or app.failure is not None, patience=20)
        world.make(world.prefix + "late", 1)
        world.send("late", ("k", "1"))
        await until(lambda: world.counted([app]) == 1)
        assert app.failure is None
        await app.stop()

    run(scenario())
