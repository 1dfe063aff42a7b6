"""Time on a real Kafka: a backlog delays it, silence moves it, the slower input counts, watermarks order inputs."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from cartwake.topics import WATERMARK
from tests.streams.world import NUMBERS, WORDS, Tallying, World, run, tallying, task_of, until

pytestmark = pytest.mark.stack


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Slow(Tallying):
    """Takes its time with each record."""

    def take(self, record: Any) -> None:
        super().take(record)
        time.sleep(0.002)


def test_backlog_never_moves_time_past_a_record_that_still_waits(world: World) -> None:
    async def scenario() -> None:
        for start in range(5):
            world.send(NUMBERS, *world.numbers(300, start=start * 300))
            await asyncio.sleep(0.4)
        app = world.app(tallying(Slow))
        await app.start()
        await until(lambda: world.counted([app]) == 1_500)
        assert all(told <= record.timestamp for told, record in task_of(app).batches)
        await app.stop()

    run(scenario())


def test_silence_moves_time_but_never_past_the_wall_clock(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying())
        await app.start()
        await until(lambda: task_of(app) and len(task_of(app).times) > 5)
        began = task_of(app).times[-1]
        await asyncio.sleep(1)
        times = task_of(app).times
        assert began + 500 < times[-1] <= now_ms()
        assert times == sorted(times)
        await app.stop()

    run(scenario())


def test_of_two_inputs_the_slower_counts(world: World) -> None:
    """Nothing of the slower input may be overtaken by time, however far the other one is."""

    async def scenario() -> None:
        for start in range(3):
            world.send(WORDS, *world.numbers(300, start=start * 300))
            await asyncio.sleep(0.4)
        world.send(NUMBERS, ("k0", "last"))
        app = world.app(tallying(Slow, name="join", inputs=(NUMBERS, WORDS)))
        await app.start()
        await until(lambda: world.counted([app], "join") == 901)
        task = task_of(app, stage="join")
        assert all(told <= record.timestamp for told, record in task.batches)
        assert task.topics == {NUMBERS, WORDS}
        await until(lambda: task.times[-1] > task.batches[-1][1].timestamp + 500)
        await app.stop()

    run(scenario())


def mark(world: World, topic: str, at: int, *, source: str = "input", partition: int = 0) -> None:
    world.send(topic, (None, None), headers=[(WATERMARK, f"{source}|{at}".encode())], partition=partition)


def test_event_time_needs_the_watermarks_of_every_source(world: World) -> None:
    async def scenario() -> None:
        stage = tallying(inputs=(NUMBERS, WORDS), fed=(NUMBERS, WORDS), upstream={WORDS: {"above": NUMBERS}})
        app = world.app(stage, event_time=True)
        await app.start()
        mark(world, NUMBERS, 500)
        mark(world, WORDS, 300)
        mark(world, WORDS, 999, source="nobody")
        await until(lambda: world.committed(WORDS) == 2)
        await asyncio.sleep(0.5)
        assert task_of(app).times == []
        mark(world, WORDS, 200, source="above/0")
        await until(lambda: task_of(app).times == [200])
        mark(world, WORDS, 100, source="above/0")  # time does not go back
        mark(world, WORDS, 400, source="above/0")
        await until(lambda: task_of(app).times == [200, 300])
        await app.stop()

    run(scenario())


def test_input_that_is_ahead_is_held_until_the_others_have_come_there(world: World) -> None:
    async def scenario() -> None:
        stage = tallying(inputs=(NUMBERS, WORDS), fed=(NUMBERS, WORDS))
        app = world.app(stage, event_time=True)
        await app.start()
        world.send(NUMBERS, ("n", "till 100"))
        mark(world, NUMBERS, 100)
        world.send(NUMBERS, ("n", "till 200"))
        mark(world, NUMBERS, 200)
        await until(lambda: task_of(app) and len(task_of(app).batches) == 1)
        await asyncio.sleep(0.5)
        assert [r.value for _, r in task_of(app).batches] == [b"till 100"]
        assert world.committed() <= 2, "what is held has not been taken"
        world.send(WORDS, ("w", "till 150"))
        mark(world, WORDS, 150)
        await until(lambda: len(task_of(app).batches) == 3)
        assert [r.value for _, r in task_of(app).batches] == [b"till 100", b"till 150", b"till 200"]
        assert task_of(app).times == [100, 150]
        await app.stop()

    run(scenario())


def test_partition_that_is_ahead_waits_for_the_stages_other_partitions(make_world: Callable[..., World]) -> None:
    async def scenario() -> None:
        world = make_world(2)
        app = world.app(tallying(fed=(NUMBERS,)), event_time=True)
        await app.start()
        mark(world, NUMBERS, 100, partition=0)
        world.send(NUMBERS, ("later", "x"), partition=0)
        await until(lambda: task_of(app, 0) is not None)
        await asyncio.sleep(0.5)
        assert task_of(app, 0).batches == []
        mark(world, NUMBERS, 100, partition=1)
        await until(lambda: len(task_of(app, 0).batches) == 1)
        await app.stop()

    run(scenario())
