"""Faults of brokers: the only one killed and started again, away for a minute, and one of three killed."""

import time
from typing import Any, Final

from local.kafka import LocalKafka
from tests.conftest import free_port
from tests.faults.cluster import Cluster
from tests.faults.load import Load
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import Scene, Score, folder_of
from tests.faults.workers import SHORT

WORKERS: Final = 2


def broker(ground: Ground) -> Result:
    """The only broker is killed while input flows, and started again after some seconds."""
    return _away("broker kill -9", ground, [2.0] if ground.quick else [5.0] * 5)


def outage(ground: Ground) -> Result:
    """The only broker is away for a minute."""
    return _away("broker away 60 s", ground, [60.0])


def _away(fault: str, ground: Ground, spells: list[float]) -> Result:
    score = Score(fault, ground.seed)
    with LocalKafka(folder_of(ground, "broker"), free_port()) as kafka:
        load = Load(ground.seed, 20_000 * len(spells))
        with Scene(ground, load, partitions=2, bootstrap=kafka.bootstrap) as scene:
            scene.begin(WORKERS, rate=1_000, config=SHORT)
            scene.fleet.tend(config=SHORT)
            for spell in spells:
                scene.pause(0.5, 2.0)
                kill(kafka)
                score.kills += 1
                time.sleep(spell)
                kafka.start()
                scene.catch_up(score, time.monotonic())
            scene.settle(score)
        _note_ended(score, scene)
    return score.result()


def kill(kafka: LocalKafka) -> None:
    """kill -9 of a broker."""
    process, kafka.process = kafka.process, None
    assert process is not None
    process.kill()
    process.wait()


def three(ground: Ground) -> Result:
    """One of three brokers is killed, others have its partitions; it comes back, and then another one is killed."""
    score = Score("one of three brokers kill -9", ground.seed)
    times = 1 if ground.quick else 5
    options: dict[str, Any] = {"config": SHORT}
    with Cluster(folder_of(ground, "cluster"), 3) as cluster:
        load = Load(ground.seed, 15_000 * times)
        with Scene(ground, load, partitions=3, bootstrap=cluster.bootstrap, replication=3) as scene:
            scene.begin(WORKERS, rate=1_000, **options)
            scene.fleet.tend(**options)
            for _ in range(times):
                scene.pause(0.5, 2.0)
                node = scene.chance.randrange(3)
                moment = time.monotonic()
                cluster.kill(node)
                score.kills += 1
                scene.catch_up(score, moment)
                cluster.start(node)
                cluster.heal()
            scene.settle(score)
        _note_ended(score, scene)
    return score.result()


def _note_ended(score: Score, scene: Scene) -> None:
    if scene.fleet.ended:
        score.notes.append(f"{len(scene.fleet.ended)} workers ended and were started again: {scene.fleet.ended[0]}")


ROWS: Final[dict[str, Fault]] = {"broker": broker}
FULL: Final[dict[str, Fault]] = {"outage": outage, "three": three}  # too long for the quick form
