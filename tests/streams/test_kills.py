"""Processes that are killed or stopped at any moment, on a real Kafka."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from tests.streams.world import NUMBERS, SUMS, World, run, until

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]


class Process:
    """A worker with what it has said."""

    def __init__(self, world: World) -> None:
        command = [sys.executable, "-m", "tests.streams.worker", world.bootstrap, world.prefix]
        self.process = subprocess.Popen(
            [*command, str(world.partitions), str(world.folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self.said.append(line.strip())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


@contextmanager
def worker(world: World) -> Iterator[Process]:
    """A worker that is killed at the end."""
    process = Process(world)
    try:
        yield process
    finally:
        process.kill()


def test_state_is_restored_after_kill_9_and_each_record_counts_once(make_world: Callable[..., World]) -> None:
    async def scenario() -> None:
        world = make_world(2)
        chance = random.Random(7)
        feeding = True

        def feed() -> None:
            while feeding:
                world.send(NUMBERS, *world.numbers(50, keys=10))
                time.sleep(0.02)

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            for kills in range(2):
                with worker(world) as process:
                    await until(lambda process=process: len(process.said) >= 2)  # a line for each partition
                    floor = world.committed(NUMBERS, 0) + world.committed(NUMBERS, 1)
                    await until(
                        lambda floor=floor: world.committed(NUMBERS, 0) + world.committed(NUMBERS, 1) > floor + 100
                    )
                    await asyncio.sleep(chance.random())
                for number in (0, 1):
                    offsets = [o for t in world.changelog().values() for o in t.offsets.values()]
                    assert world.committed(NUMBERS, number) <= max(offsets) + 1
                if kills:
                    assert sum(int(said.split()[1]) for said in process.said[:2]) == 10
        finally:
            feeding = False
            feeder.join()
        with worker(world):
            await until(lambda: sum(world.committed(NUMBERS, n) for n in (0, 1)) == world.sent)
        assert sum(tally.count for tally in world.changelog().values()) == world.sent
        for key in (f"k{n}" for n in range(10)):
            said = [int(m.value()) for m in world.read(SUMS) if m.key() == key.encode()]
            assert set(said) == set(range(1, world.sent // 10 + 1)), "an output is missing"

    run(scenario())


def test_worker_that_was_stopped_for_a_while_does_not_run_ahead_of_what_came_meanwhile(world: World) -> None:
    """An answer of the broker that waited in the socket says how things were before."""

    async def scenario() -> None:
        with worker(world) as process:
            await until(lambda: process.said)
            world.send(NUMBERS, ("k0", "0"))
            await until(lambda: world.committed() == 1)
            for n in range(4):
                process.process.send_signal(SIGSTOP)
                await asyncio.sleep(0.3)
                world.send(NUMBERS, ("k0", str(n)))
                await asyncio.sleep(1.5)
                process.process.send_signal(SIGCONT)
                await until(lambda n=n: world.committed() == n + 2)
            assert process.said == ["restored 0"]

    run(scenario())
