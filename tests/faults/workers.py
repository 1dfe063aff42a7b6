"""Faults of workers: killed at any moment or at a named point, killed again, stopped and woken, coming and going."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from tests.faults.load import Load
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import SHORTEST_SESSION_S, Scene, Score, folder_of
from tests.faults.worker import POINTS
from tests.patience import Late, until

LANES: Final = 4
TAKEOVER_S: Final = 15.0
GRACE_S: Final = 10.0
SHORT: Final[dict[str, Any]] = {"session_timeout": SHORTEST_SESSION_S}


def kill_9(ground: Ground) -> Result:
    """Workers are killed at random moments while input flows; each is started again after a moment."""
    score = Score("kill -9 at random times", ground.seed)
    kills, events, partitions, workers = (3, 60_000, 2, 2) if ground.quick else (20, 1_000_000, 8, 3)
    config = SHORT if ground.quick else {}
    with Scene(ground, Load(ground.seed, events), partitions=partitions) as scene:
        scene.begin(workers, rate=events / (kills * 14), config=config)
        for _ in range(kills):
            scene.pause(0.2, 2.0)
            until(scene.fleet.owners, "somebody has partitions")  # in a rebalance nobody may
            victim = scene.chance.choice(scene.fleet.owners())
            numbers, moment = victim.partitions, time.monotonic()
            scene.fleet.kill(victim)
            score.kills += 1
            scene.look(score)
            scene.pause(0.2, 1.0)
            scene.fleet.start(config=config)
            scene.recover(score, moment, numbers)
        scene.settle(score)
    return score.result()


def points(ground: Ground) -> Result:
    """A worker dies by kill -9 at each named point of its work, as often as is asked for."""
    score = Score("kill -9 at each named point", ground.seed)

    def at(place: int, point: str) -> Score:
        mine = Score(point, ground.seed)
        each = 1 if ground.quick else 50
        here = replace(ground, folder=folder_of(ground, point), seed=ground.seed + place)
        with Scene(here, Load(ground.seed, each * 6_000), partitions=1) as scene:
            scene.feeder.rate = 300
            scene.feeder.start()
            for _ in range(each):
                worker = scene.fleet.start(config=SHORT, die=point, nth=scene.chance.randint(1, 6))
                try:
                    until(lambda worker=worker: not worker.alive, f"the death {point}")
                except Late as exc:
                    mine.wrong.append(str(exc))
                    break
                if worker.process.returncode != -signal.SIGKILL:
                    mine.wrong.append(f"{point} was not reached: {worker.last_words()}")
                    break
                mine.kills += 1
                scene.fleet.kill(worker)
                scene.look(mine)
            moment = time.monotonic()
            scene.fleet.start(config=SHORT)
            scene.recover(mine, moment, {0})
            scene.settle(mine)
        return mine

    with ThreadPoolExecutor(LANES) as pool:
        for one in pool.map(at, range(len(POINTS)), POINTS):
            score.add(one)
    return score.result()


def restore(ground: Ground) -> Result:
    """A worker is killed, and its replacement as well while it restores, again and again."""
    score = Score("kill -9 of who restores", ground.seed)
    kills, carts = (2, 5_000) if ground.quick else (20, 100_000)
    with Scene(ground, Load(ground.seed, carts * 3 // 2, longest=2), partitions=1) as scene:
        scene.feeder.burst = carts * 9 // 8
        first = scene.begin(1, rate=carts * 3 // 8 / (kills * 8 + 10), config=SHORT)[0]
        until(lambda: scene.eye.total() >= carts, "the state")
        scene.fleet.kill(first)
        score.kills += 1
        for _ in range(kills):
            worker = scene.fleet.start(config=SHORT)
            until(lambda worker=worker: worker.has_said("restoring"), "a restore")
            time.sleep(scene.chance.uniform(0, 0.05 + carts / 200_000))
            score.notes += ["one had restored before it was killed"] if worker.partitions else []
            scene.fleet.kill(worker)
            score.kills += 1
            scene.look(score)
        moment = time.monotonic()
        scene.fleet.start(config=SHORT)
        scene.recover(score, moment, {0})
        scene.settle(score)
    return score.result()


def zombie(ground: Ground) -> Result:
    """A worker sleeps for two session time-outs, another takes over; it wakes, and then the other one is killed."""
    score = Score("SIGSTOP for two session time-outs", ground.seed)
    times, ended = (1 if ground.quick else 10), 0
    with Scene(ground, Load(ground.seed, times * 20_000), partitions=2) as scene:
        scene.begin(2, rate=700, config=SHORT)
        for _ in range(times):
            scene.pause(0.2, 1.5)
            sleeper = scene.chance.choice(scene.fleet.owners())
            numbers, moment = sleeper.partitions, time.monotonic()
            sleeper.signal(signal.SIGSTOP)
            scene.recover(score, moment, numbers)
            time.sleep(max(0.0, moment + 2 * SHORTEST_SESSION_S - time.monotonic()))
            owner = next(worker for worker in scene.fleet.owners() if worker is not sleeper)
            sleeper.signal(signal.SIGCONT)
            time.sleep(scene.chance.uniform(0.5, 3.0))
            scene.look(score)
            scene.fleet.kill(owner)
            score.kills += 1
            if not sleeper.alive:  # that is its right: a supervisor starts it again
                ended += 1
                scene.fleet.kill(sleeper)
            while len(scene.fleet.workers) < 2:
                scene.fleet.start(config=SHORT)
            moment = time.monotonic()
            try:
                scene.recovery(moment, set(range(2)))
            except Late as exc:
                score.wrong.append(str(exc))
        scene.settle(score)
    score.notes.append(f"{ended} of {times} zombies ended by themselves")
    return score.result()


def takeover(ground: Ground) -> Result:
    """With the time-outs of production: how soon another worker has the partitions, and how soon one stops."""
    score = Score("takeover and graceful stop", ground.seed)
    stops: list[float] = []
    for _ in range(1 if ground.quick else 10):
        with Scene(ground, Load(ground.seed, 30_000), partitions=2) as scene:
            scene.begin(2, rate=1_000)
            scene.pause(0.2, 1.0)
            victim = scene.chance.choice(scene.fleet.owners())
            numbers, moment = victim.partitions, time.monotonic()
            scene.fleet.kill(victim)
            score.kills += 1
            scene.recover(score, moment, numbers)
            if score.recovered and score.recovered[-1] > TAKEOVER_S and not ground.quick:  # others run beside that
                score.wrong.append(f"takeover after {score.recovered[-1]:.1f} s")
            (left,) = scene.fleet.workers
            try:
                stops.append(left.end())
            except Late as exc:
                score.wrong.append(str(exc))
            scene.fleet.kill(left)
            scene.fleet.start()
            scene.settle(score)
    if stops and max(stops) > GRACE_S and not ground.quick:
        score.wrong.append(f"a graceful stop under load took {max(stops):.1f} s")
    score.notes.append(f"graceful stop under load {max(stops, default=0):.1f} s at most")
    return score.result()


ROWS: Final[dict[str, Fault]] = {
    "kill": kill_9, "points": points, "restore": restore, "zombie": zombie, "takeover": takeover,
}  # fmt: skip
