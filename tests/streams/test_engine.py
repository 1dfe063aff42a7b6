"""What the engine promises beside speed: one owner of a changelog, loud ends, figures, bounded memory."""

import asyncio
from typing import Any

import confluent_kafka
import pytest
from prometheus_client import generate_latest

from streams.runtime import Table
from streams.runtime.batches import Truncated
from streams.runtime.changelog import Changelog, Fenced
from streams.runtime.progress import BrokerClock
from tests.streams.world import NUMBERS, WORDS, Tally, World, run, tallying, task_of, until

pytestmark = pytest.mark.stack


def log_of(world: World) -> Changelog:
    name = f"{world.group}-tally-changelog"
    world.make(name, 1, {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"})
    return Changelog(world.bootstrap, name, 0, max_bytes=2 * 1024 * 1024, clock=BrokerClock())


def restored(log: Changelog) -> dict[bytes, Tally]:
    table = Table[bytes, Tally](bytes, Tally)
    log.restore(table, wanted=lambda: True)
    return dict(table.items())


def test_who_opens_a_changelog_shuts_out_who_had_it(world: World) -> None:
    table = Table[bytes, Tally](bytes, Tally)
    first, second = log_of(world), log_of(world)
    first.open()
    table.put(b"k", Tally(1))
    first.write(table.take_dirty())
    first._producer.begin_transaction()  # a worker that is stopped in the middle of a commit
    first._producer.produce(first._topic, b"an old state", b"k", 0)
    first._producer.flush(10)
    second.open()
    assert restored(second) == {b"k": Tally(1)}, "what was not committed does not count"
    table.put(b"k", Tally(2))
    second.write(table.take_dirty())
    with pytest.raises(Fenced):
        first._try(lambda: first._producer.commit_transaction(10))
    assert restored(second) == {b"k": Tally(2)}


def test_write_of_one_that_was_shut_out_is_refused_and_not_seen(world: World) -> None:
    first, second = log_of(world), log_of(world)
    first.open()
    second.open()
    with pytest.raises(Fenced):
        first.write([(b"k", b"an old state")])
    assert restored(second) == {}


def test_broker_tells_its_clock_with_each_write(world: World) -> None:
    log = log_of(world)
    assert log._clock.now() == 0
    log.open()
    told = log._clock.now()
    log.write([])
    assert told <= log._clock.now() <= told + 60_000


def test_clock_follows_the_broker_whatever_this_machine_believes() -> None:
    monotonic = 5_000
    clock = BrokerClock(lambda: monotonic)
    clock.heard(1_000_000)
    monotonic += 250
    assert clock.now() == 1_000_250
    assert clock.at(4_000) == 999_000


def test_topic_that_ends_before_what_was_committed_stops_the_worker(world: World) -> None:
    async def scenario() -> None:
        consumer: Any = confluent_kafka.Consumer(
            {"bootstrap.servers": world.bootstrap, "group.id": world.group, "log_level": 2}
        )
        place = confluent_kafka.TopicPartition(world.prefix + NUMBERS, 0, 1_000)
        consumer.commit(offsets=[place], asynchronous=False)
        consumer.close()
        app = world.app(tallying())
        await app.start()
        await until(lambda: app.failure)
        assert isinstance(app.failure, Truncated)
        assert "1000 was committed" in str(app.failure)

    run(scenario())


def test_what_a_transaction_took_back_has_not_happened(world: World) -> None:
    async def scenario() -> None:
        producer: Any = confluent_kafka.Producer(
            {"bootstrap.servers": world.bootstrap, "transactional.id": world.prefix, "log_level": 2}
        )
        await asyncio.to_thread(producer.init_transactions, 30)
        for value, finish in (("1", producer.commit_transaction), ("2", producer.abort_transaction)):
            producer.begin_transaction()
            producer.produce(world.prefix + NUMBERS, value, "k")
            await asyncio.to_thread(finish, 30)
        world.send(NUMBERS, ("k", "3"))
        app = world.app(tallying())
        await app.start()
        await until(lambda: world.counted([app]) == 2)
        assert [record.value for _, record in task_of(app).batches] == [b"1", b"3"]

    run(scenario())


def test_figures_tell_how_the_worker_stands(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying())
        await app.start()
        world.send(NUMBERS, *world.numbers(10, keys=2))
        await until(lambda: world.committed() == 10)
        text = generate_latest(app.metrics.registry).decode()
        assert 'cartwake_states{partition="0",stage="tally"} 2.0' in text
        assert 'cartwake_lag_records{partition="0",stage="tally",topic="numbers"} 0.0' in text
        assert 'cartwake_batch_seconds_count{stage="tally"}' in text
        assert "cartwake_commit_seconds_count" in text
        assert 'cartwake_restore_seconds_count{stage="tally"} 1.0' in text
        await app.stop()

    run(scenario())


def test_input_that_is_held_is_fetched_no_further_than_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr("streams.runtime.partition.MOST_WAITING", 500)
        stage = tallying(inputs=(NUMBERS, WORDS), fed=(NUMBERS, WORDS))
        mark = [("cartwake-watermark", b"input|5000")]
        world.send(NUMBERS, (None, None), headers=mark)  # so this input is ahead of the other
        world.send(NUMBERS, *[(f"k{n % 3}", "x" * 1_000) for n in range(5_000)])  # many fetches
        app = world.app(stage, event_time=True)
        await app.start()
        await until(app.full)
        await asyncio.sleep(1)
        ((_, partition),) = app.partitions.items()
        assert partition._read[NUMBERS] < 4_000, "not everything was fetched"
        world.send(WORDS, (None, None), headers=mark)
        await until(lambda: world.counted([app]) == 5_000)
        await app.stop()

    run(scenario())
