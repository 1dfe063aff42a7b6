"""Faults of workers: killed at any moment or at a named point, killed again, stopped and woken, coming and going."""

import time
from typing import Final

from tests.faults.fleet import Late
from tests.faults.load import Load
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import SHORTEST_SESSION_S, Scene, Score


def kill_9(ground: Ground) -> Result:
    """Workers are killed at random moments while input flows; each is started again after a moment."""
    score = Score("kill -9 at random times", ground.seed)
    kills, events, partitions, workers = (3, 60_000, 2, 2) if ground.quick else (20, 1_000_000, 8, 3)
    config = {"session_timeout": SHORTEST_SESSION_S} if ground.quick else {}
    with Scene(ground, Load(ground.seed, events), partitions=partitions) as scene:
        scene.begin(workers, rate=3_000, config=config)
        for _ in range(kills):
            scene.pause(0.2, 2.0)
            victim = scene.chance.choice(scene.fleet.owners())
            numbers, moment = victim.partitions, time.monotonic()
            scene.fleet.kill(victim)
            score.kills += 1
            scene.look(score)
            scene.pause(0.2, 1.0)
            scene.fleet.start(config=config)
            try:
                score.recovered.append(scene.recovery(moment, numbers))
            except Late as exc:
                score.wrong.append(str(exc))
        scene.settle(score)
    return score.result()


ROWS: Final[dict[str, Fault]] = {"kill": kill_9}
