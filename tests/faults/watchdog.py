"""A worker that no longer moves: its event loop, its commits, its fetches. It must end, and be started again."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import msgspec

from local.supervisor import Part, Supervisor
from streams.runtime import Config
from tests.faults.load import Load
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import SHORTEST_SESSION_S, Scene, Score, folder_of
from tests.faults.worker import STALLS, Orders
from tests.patience import Late, until

BOUND_S: Final = 90.0  # in the full form, whose watchdog has the 60 s of production
QUICK_WATCH_S: Final = 10.0  # more than a disk that others use holds up a commit


def stalls(ground: Ground) -> Result:
    """Each kind of standstill once, under the supervisor."""
    score = Score("standstill: loop, commits, fetches", ground.seed)
    if "watch_s" not in {field.name for field in fields(Config)}:
        score.wrong.append("the runtime has no watchdog: Config.watch_s is missing")
        return score.result()
    with ThreadPoolExecutor(len(STALLS)) as pool:
        for one in pool.map(lambda kind: _stall(ground, kind), STALLS):
            score.add(one)
    return score.result()


def _stall(ground: Ground, kind: str) -> Score:
    score = Score(kind, ground.seed)
    here = replace(ground, folder=folder_of(ground, kind))
    with Scene(here, Load(ground.seed, 15_000), partitions=1) as scene:
        config = {"session_timeout": SHORTEST_SESSION_S} | ({"watch_s": QUICK_WATCH_S} if ground.quick else {})
        orders = Orders(scene.settings.environment(), config, stall=kind, once=str(here.folder / "once"))
        command = [sys.executable, "-m", "tests.faults.worker", msgspec.json.encode(orders).decode()]
        supervisor = Supervisor([Part("worker", command)], here.folder, lambda _: None)
        scene.feeder.rate = 800
        scene.feeder.start()
        with supervisor:
            keep = threading.Thread(target=supervisor.wait, daemon=True)
            keep.start()
            try:
                _end(scene, score, supervisor)
            except Late as exc:
                score.wrong.append(f"{exc}: {_said(supervisor)[-1:]}")
            scene.settle(score)
            supervisor.ask_to_stop()
            keep.join(60)
    return score


def _end(scene: Scene, score: Score, supervisor: Supervisor) -> None:
    """Wait for the standstill, the end of the process, and its successor at work."""
    until(lambda: "stalled" in _said(supervisor), "the standstill")
    moment, stalled = time.monotonic(), supervisor.pids().get("worker")
    until(lambda: supervisor.pids().get("worker") != stalled, "the watchdog")
    took = time.monotonic() - moment
    score.notes.append(f"ended after {took:.1f} s")
    if took > BOUND_S and not scene.ground.quick:
        score.wrong.append(f"the watchdog took {took:.1f} s")
    scene.recover(score, moment, {0})


def _said(supervisor: Supervisor) -> list[str]:
    path: Path = supervisor.log("worker")
    return path.read_text(errors="replace").splitlines() if path.exists() else []


ROWS: Final[dict[str, Fault]] = {"watchdog": stalls}
