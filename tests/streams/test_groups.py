"""Members that come, go and are killed: partitions move, and every record keeps its one effect."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from streams.runtime import App
from tests.streams.world import NUMBERS, WORDS, Tallying, World, run, tallying, until

pytestmark = pytest.mark.stack


def numbers_of(app: Any, stage: str = "tally") -> set[int]:
    return {number for name, number in app.partitions if name == stage}


def test_two_members_share_the_partitions_and_a_third_takes_over_what_is_left(make_world: Callable[..., World]) -> None:
    async def scenario() -> None:
        world = make_world(4)
        first, second, third = (world.app(tallying()) for _ in range(3))
        await first.start()
        await until(lambda: numbers_of(first) == {0, 1, 2, 3})
        await second.start()
        await until(lambda: (len(numbers_of(first)), len(numbers_of(second))) == (2, 2))
        assert numbers_of(first) | numbers_of(second) == {0, 1, 2, 3}
        world.send(NUMBERS, *world.numbers(200, keys=20))
        await until(lambda: world.counted([first, second]) == 200)
        await third.start()
        await until(lambda: len(numbers_of(third)) > 0)
        await first.stop()
        await second.stop()
        await until(lambda: numbers_of(third) == {0, 1, 2, 3})
        world.send(NUMBERS, *world.numbers(200, keys=20))
        await until(lambda: world.counted([third]) == 400)
        await third.stop()
        assert [app.failure for app in (first, second, third)] == [None] * 3
        assert {tally.count for tally in world.changelog().values()} == {20}

    run(scenario())


def test_joined_topics_stay_together(make_world: Callable[..., World]) -> None:
    async def scenario() -> None:
        world = make_world(4)
        stage = tallying(name="join", inputs=(NUMBERS, WORDS))
        apps = [world.app(stage) for _ in range(3)]
        for app in apps:
            await app.start()
        await until(lambda: sorted(n for app in apps for n in numbers_of(app, "join")) == [0, 1, 2, 3])
        await until(lambda: all(numbers_of(app, "join") for app in apps))

        def together(app: App) -> bool:
            held = {(tp.topic.removeprefix(world.prefix), tp.partition) for tp in app.consumer.assignment()}
            return held == {(topic, n) for topic in (NUMBERS, WORDS) for n in numbers_of(app, "join")}

        await until(lambda: all(together(app) for app in apps))  # a rebalance may still be under way
        for app in apps:
            await app.stop()

    run(scenario())


@pytest.mark.parametrize("slow", [0.0, 0.3])
def test_records_that_come_right_after_a_rebalance_are_not_lost(make_world: Callable[..., World], slow: float) -> None:
    """A fetch that began in silence waits over the whole rebalance and brings what came after the seek."""

    async def scenario() -> None:
        world = make_world(2)

        class Restored(Tallying):
            def on_restored(self) -> None:
                super().on_restored()
                if slow:
                    world.send(NUMBERS, *world.numbers(20, keys=10))
                    time.sleep(slow)

        async def right_after() -> None:
            if not slow:
                await asyncio.to_thread(world.send, NUMBERS, *world.numbers(20, keys=10))

        stays = world.app(tallying(Restored))
        await stays.start()
        await until(lambda: len(numbers_of(stays)) == 2)
        for pause in (0.2, 0.6):
            await asyncio.sleep(pause)  # in silence
            guest = world.app(tallying(Restored))
            joining = asyncio.create_task(guest.start())
            await until(lambda: len(numbers_of(stays)) == 1, pause=0.002)
            await right_after()
            await joining
            await until(lambda guest=guest: len(numbers_of(guest)) == 1)
            await guest.stop()
            await until(lambda: len(numbers_of(stays)) == 2)
            await right_after()
        await until(lambda: sum(world.committed(NUMBERS, n) for n in (0, 1)) == world.sent)
        assert world.counted([stays]) == world.sent
        await stays.stop()

    run(scenario())


def test_no_record_is_lost_or_counted_twice_while_members_come_and_go(make_world: Callable[..., World]) -> None:
    async def scenario() -> None:
        world = make_world(2)
        stays = world.app(tallying())
        await stays.start()
        await until(lambda: len(numbers_of(stays)) == 2)
        feeding = True

        def feed() -> None:  # slowly: a fetch is always waiting
            n = 0
            while feeding:
                world.send(NUMBERS, (f"k{n % 5}", str(n)))
                n += 1
                time.sleep(0.02)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            for _ in range(3):
                guest = world.app(tallying())
                await guest.start()
                await until(lambda guest=guest: len(numbers_of(guest)) == 1)
                await asyncio.sleep(0.3)
                await guest.stop()
                assert guest.failure is None
                await until(lambda: len(numbers_of(stays)) == 2)
                await asyncio.sleep(0.3)
        finally:
            feeding = False
            feeder.join()
        ends = world.sent
        await until(lambda: sum(world.committed(NUMBERS, n) for n in (0, 1)) == ends, "for the input's end")
        assert world.counted([stays]) == ends
        await stays.stop()
        assert stays.failure is None

    run(scenario())
