"""State, outputs, changelog and offsets on a real Kafka: what a commit promises."""

import asyncio
import os
from typing import Any

import pytest

from streams.runtime import SendFailed
from tests.streams.world import NUMBERS, SUMS, Tally, Tallying, World, run, tallying, task_of, until

pytestmark = pytest.mark.stack


def test_state_is_there_again_after_a_stop(world: World) -> None:
    async def scenario() -> None:
        world.send(NUMBERS, *world.numbers(30, keys=3))
        for rounds in (1, 2):
            app = world.app(tallying())
            await app.start()
            await until(lambda app=app: task_of(app) is not None)
            assert task_of(app).restored == (0 if rounds == 1 else 3)
            if rounds == 2:
                world.send(NUMBERS, *world.numbers(30, keys=3))
            await until(lambda app=app, rounds=rounds: world.counted([app]) == 30 * rounds)
            await app.stop()
            assert app.failure is None
        assert {key: tally.count for key, tally in world.changelog().items()} == {"k0": 20, "k1": 20, "k2": 20}
        assert world.committed() == 60
        assert [int(m.value()) for m in world.read(SUMS) if m.key() == b"k1"] == list(range(1, 21))

    run(scenario())


class FailsAt(Tallying):
    """Fails on one value, half way into it: the table has changed, the output was not sent."""

    def take(self, record: Any) -> None:
        if record.value == b"bad":
            state = self.context.table.get("k0")
            state.offsets[NUMBERS] = record.offset  # a fold changes what it is given
            raise RuntimeError("a bug in the task")
        super().take(record)


def test_failing_task_ends_the_app_and_nothing_is_committed_after(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(FailsAt), commit_interval=0.5)
        await app.start()
        world.send(NUMBERS, *world.numbers(5))
        await until(lambda: world.counted([app]) == 5)
        world.send(NUMBERS, *world.numbers(5))
        await until(lambda: world.counted([app]) == 10)
        world.send(NUMBERS, ("k0", "bad"))
        for n in range(10):  # others follow in batches of their own
            world.send(NUMBERS, ("k0", str(n)))
        await until(lambda: app.failure is not None)
        await asyncio.sleep(1.5)
        assert isinstance(app.failure, RuntimeError)
        assert app.should_stop
        await app.stop()
        assert world.committed() <= 10
        state = world.changelog().get("k0", Tally())
        assert state.offsets.get(world.prefix + NUMBERS, -1) <= 9

    run(scenario())


def test_crash_of_a_part_of_faust_is_a_failure_of_the_app(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying())
        await app.start()
        await until(lambda: task_of(app) is not None)
        await app.consumer.crash(OSError("the consumer is gone"))
        assert app.should_stop
        assert isinstance(app.failure, OSError)
        await app.stop()

    run(scenario())


def test_changelog_is_ahead_of_the_commit_and_outputs_ahead_of_the_changelog_at_every_moment(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(), commit_interval=0.05)
        await app.start()
        seen: list[tuple[int, int]] = []

        def look() -> bool:
            committed = world.committed()
            states = world.changelog()
            said = {m.key().decode(): int(m.value()) for m in world.read(SUMS)}
            offsets = [offset for tally in states.values() for offset in tally.offsets.values()]
            seen.append((committed, max(offsets, default=-1) + 1))
            assert committed <= seen[-1][1]
            assert all(tally.count <= said.get(key, 0) for key, tally in states.items())
            return committed == 4_000

        async def feed() -> None:
            for start in range(0, 4_000, 40):
                await asyncio.to_thread(world.send, NUMBERS, *world.numbers(40, keys=7, start=start))
                await asyncio.sleep(0.03)

        feeding = asyncio.create_task(feed())
        await until(look)
        await feeding
        await app.stop()
        assert len({committed for committed, _ in seen}) > 2, "looked too rarely to mean something"

    run(scenario())


class SaysTooMuch(Tallying):
    """Sends what the broker refuses."""

    def take(self, record: Any) -> None:
        super().take(record)
        if record.value == b"bad":
            self.context.emit(SUMS, "k", os.urandom(200_000))


def test_failing_send_ends_the_app_and_nothing_is_committed_after(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(SaysTooMuch))
        await app.start()
        world.send(NUMBERS, *world.numbers(5))
        await until(lambda: world.committed() == 5)
        world.send(NUMBERS, ("k0", b"bad"))
        await until(lambda: app.failure is not None, patience=60)
        assert isinstance(app.failure, SendFailed)
        await app.stop()
        assert world.committed() == 5
        assert world.changelog()["k0"].count == 5

    run(scenario())


def test_stop_commits_what_was_taken_without_waiting_for_the_interval(world: World) -> None:
    async def scenario() -> None:
        app = world.app(tallying(), commit_interval=3600)
        await app.start()
        world.send(NUMBERS, *world.numbers(20))
        await until(lambda: world.counted([app]) == 20)
        await app.stop()
        assert app.failure is None
        assert world.committed() == 20
        assert world.changelog()["k0"].count == 20

    run(scenario())
