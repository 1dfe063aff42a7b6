"""A rebalance storm: workers join and leave all the time, some by kill -9, while input flows."""

import time
from typing import Final

from tests.faults.fleet import Worker
from tests.faults.load import Load
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import Scene, Score
from tests.faults.workers import SHORT
from tests.patience import Late

JOIN_BOUND_S: Final = 3.0
MOST: Final = 4


def storm(ground: Ground) -> Result:
    """Somebody joins or leaves every few seconds; whoever joins must not stop the others."""
    score = Score("rebalance storm", ground.seed)
    every, lasts, events, partitions = (4.0, 16.0, 20_000, 4) if ground.quick else (15.0, 600.0, 500_000, 8)
    pauses: list[float] = []
    joins = leaves = 0
    with Scene(ground, Load(ground.seed, events), partitions=partitions) as scene:
        scene.begin(2, rate=events / (lasts + 5), config=SHORT)
        end = time.monotonic() + lasts
        while time.monotonic() < end:
            tick, workers = time.monotonic(), scene.fleet.workers
            stable = scene.eye.moved_since(tick - 2.0, set(range(partitions)))
            held = {worker: worker.partitions for worker in workers}
            joining = len(workers) < 2 or (len(workers) < MOST and scene.chance.random() < 0.5)
            if joining:
                scene.fleet.start(config=SHORT)
                joins += 1
            else:
                leaves += 1
                _leave(scene, score)
            time.sleep(max(0.0, tick + every - time.monotonic()))
            if joining and stable:
                pauses += [_pause(scene, worker, numbers, tick) for worker, numbers in held.items()]
        scene.settle(score)
    worst = max(pauses, default=0.0)
    if worst > JOIN_BOUND_S and not ground.quick:  # in the quick form other tests run beside it
        score.wrong.append(f"a worker that joined stopped others for {worst:.1f} s")
    score.notes.append(f"{joins} joined, {leaves} left; who stayed paused {worst:.1f} s at most for who joined")
    return score.result()


def _leave(scene: Scene, score: Score) -> None:
    worker = scene.chance.choice(scene.fleet.workers)
    if scene.chance.random() < 0.5:
        scene.fleet.kill(worker)
        score.kills += 1
        return
    try:
        worker.end()
    except Late as exc:
        score.wrong.append(str(exc))
    scene.fleet.kill(worker)


def _pause(scene: Scene, worker: Worker, before: set[int], joined_at: float) -> float:
    """The longest pause on the partitions that the worker had before and has now."""
    stayed = before & worker.partitions if worker.alive else set()
    now = time.monotonic()
    return max((scene.eye.longest_pause(number, joined_at, now) for number in stayed), default=0.0)


ROWS: Final[dict[str, Fault]] = {"storm": storm}
