"""Effects: begun only when the state that wants them is on the broker; what they give comes back in."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.streams.world import NUMBERS, SUMS, Tally, Tallying, World, run, tallying, task_of, until

pytestmark = pytest.mark.stack


class Acting(Tallying):
    """Wants an effect for each record; its result is a record on `sums`."""

    world: World
    at_start: list[tuple[int, int]]  # what was on the broker when an effect began: committed, counted
    takes: float = 0.0

    def take(self, record: Any) -> None:
        super().take(record)
        self.context.effect(record.value.decode())

    async def perform(self, effect: Any) -> Any:
        counted = await asyncio.to_thread(lambda: self.world.changelog().get("k0", Tally()).count)
        self.at_start.append((await asyncio.to_thread(self.world.committed), counted))
        await asyncio.sleep(self.takes)
        return await super().perform(effect)

    def on_result(self, effect: Any, result: Any) -> None:
        super().on_result(effect, result)
        self.context.emit(SUMS, "results", str(result).encode())


def acting(of: World, time_it_takes: float = 0.0) -> type[Acting]:
    class Here(Acting):
        world = of
        at_start = []  # noqa: RUF012 - of this test
        takes = time_it_takes

    return Here


def results(world: World) -> list[str]:
    return [m.value().decode() for m in world.read(SUMS) if m.key() == b"results"]


def test_effect_begins_after_the_commit_of_what_wants_it_and_its_result_comes_back(world: World) -> None:
    async def scenario() -> None:
        kind = acting(world)
        app = world.app(tallying(kind))
        await app.start()
        await until(lambda: task_of(app) is not None)
        for n in range(5):
            world.send(NUMBERS, ("k0", str(n)))
            await until(lambda n=n: len(task_of(app).results) == n + 1)
        await app.stop()
        assert results(world) == ["0", "1", "2", "3", "4"]
        for number, (committed, counted) in enumerate(kind.at_start):
            assert committed > number
            assert counted > number

    run(scenario())


class Token:
    """An effect that needs nothing but the commit."""

    at_once = True


class Waiting(Acting):
    """Wants to know when the state of each record is on the broker, and nothing else."""

    def take(self, record: Any) -> None:
        Tallying.take(self, record)
        self.context.effect(Token())

    def on_result(self, effect: Any, result: Any) -> None:
        assert (type(effect), result) == (Token, None)
        self.at_start.append((self.world.committed(), self.world.changelog().get("k0", Tally()).count))
        self.results.append(effect)


def test_effect_that_needs_nothing_comes_back_unperformed_once_its_state_is_on_the_broker(world: World) -> None:
    async def scenario() -> None:
        class Here(Waiting):
            at_start: list[tuple[int, int]] = []  # noqa: RUF012 - of this test

        Here.world = world
        app = world.app(tallying(Here))
        await app.start()
        await until(lambda: task_of(app) is not None)
        for n in range(3):
            world.send(NUMBERS, ("k0", str(n)))
            await until(lambda n=n: len(task_of(app).results) == n + 1)
        await app.stop()
        assert all(min(at) > number for number, at in enumerate(Here.at_start))

    run(scenario())


def test_a_commit_follows_an_effect_sooner_than_its_interval_where_that_is_wanted(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(acting(world)), commit_interval=3600, effect_interval=0.01)
        await app.start()
        await until(lambda: task_of(app) is not None)
        world.send(NUMBERS, ("k0", "1"))
        await until(lambda: len(task_of(app).results) == 1)
        await app.stop()
        assert results(world) == ["1"]

    run(scenario())


def test_stop_waits_for_effects_and_keeps_their_results(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(acting(world, 1.0)), commit_interval=3600)
        await app.start()
        world.send(NUMBERS, ("k0", "1"), ("k0", "2"))
        await until(lambda: world.counted([app]) == 2)
        await app.stop()
        assert sorted(results(world)) == ["1", "2"]

    run(scenario())


class Chain(Tallying):
    """An effect whose result wants another one, three times."""

    def take(self, record: Any) -> None:
        super().take(record)
        self.context.effect(1)

    async def perform(self, effect: Any) -> Any:
        await asyncio.sleep(0.2)
        return await super().perform(effect)

    def on_result(self, effect: Any, result: Any) -> None:
        super().on_result(effect, result)
        self.context.emit(SUMS, "results", str(result).encode())
        if result < 3:
            self.context.effect(result + 1)


def test_effects_that_follow_from_effects_are_finished_before_partitions_are_given_back(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(Chain), commit_interval=3600)
        await app.start()
        world.send(NUMBERS, ("k0", "1"))
        await until(lambda: world.counted([app]) == 1)
        task = task_of(app)
        await app.stop()
        await asyncio.sleep(1)
        assert task.performed == task.results == [1, 2, 3]
        assert results(world) == ["1", "2", "3"]

    run(scenario())


def test_failing_effect_ends_the_app(world: World) -> None:
    async def scenario() -> None:
        class Failing(Acting):
            async def perform(self, effect: Any) -> Any:
                raise OSError("the far end is broken")

        app = world.app(tallying(Failing))
        await app.start()
        world.send(NUMBERS, ("k0", "1"))
        await until(lambda: app.failure is not None)
        assert isinstance(app.failure, OSError)
        await app.stop()

    run(scenario())


def test_result_of_an_effect_reaches_a_partition_that_stayed_and_not_one_that_moved(
    make_world: Callable[..., World],
) -> None:
    async def scenario() -> None:
        world = make_world(2)
        app = world.app(tallying(acting(world, 8.0)))  # longer than a rebalance waits
        await app.start()
        world.send(NUMBERS, *[(f"k{n}", "1") for n in range(8)])
        await until(lambda: world.counted([app]) == 8)
        tasks = {number: partition.task for (_, number), partition in app.partitions.items()}
        await until(lambda: all(task.at_start for task in tasks.values()))
        other = world.app(tallying())
        await other.start()
        await until(lambda: len(app.partitions) == len(other.partitions) == 1, patience=60)
        ((_, stayed),) = app.partitions
        assert app.partitions["tally", stayed].task is tasks[stayed], "its state was kept"
        await until(lambda: tasks[stayed].results)
        await until(lambda: tasks[1 - stayed].performed)
        await asyncio.sleep(0.5)
        assert tasks[1 - stayed].results == []
        await app.stop()
        await other.stop()
        assert (app.failure, other.failure) == (None, None)

    run(scenario())
