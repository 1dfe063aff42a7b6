"""Full disks: the broker's while input flows, and the worker's own folder. Needs to mount a small tmpfs."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from local.kafka import LocalKafka
from tests.conftest import free_port
from tests.faults.brokers import kill
from tests.faults.load import Load
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import Scene, Score, folder_of
from tests.faults.workers import SHORT
from tests.patience import Late, until

MIB: Final = 1024 * 1024
BLOCK: Final = 64 * 1024


class NoMount(Exception):
    """This machine does not let us mount."""


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A file system of that size; raises NoMount where it may not be mounted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoMount(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path, leave: int = 0) -> Path:
    """A file that takes all room but `leave` bytes; deleting it makes room again."""
    ballast = folder / "ballast"
    stat = os.statvfs(folder)
    blocks = max(0, stat.f_bavail * stat.f_frsize - leave) // BLOCK
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        for _ in range(blocks if leave else blocks + 1):
            file.write(bytes(BLOCK))
    return ballast


def full_broker(ground: Ground) -> Result:
    """The broker's disk runs full while input flows; room is made, and it is started again where it has ended."""
    score = Score("disk full: Kafka", ground.seed)
    try:
        with (
            small_disk(folder_of(ground, "disk"), 160) as disk,
            LocalKafka(disk, free_port()) as kafka,
            Scene(ground, Load(ground.seed, 15_000), partitions=2, bootstrap=kafka.bootstrap) as scene,
        ):
            scene.begin(2, rate=1_000, config=SHORT)
            scene.fleet.tend(config=SHORT)
            ballast = fill(disk, leave=2 * MIB)
            _until_refused(scene, score, kafka)
            ballast.unlink()
            if kafka.process is not None:
                kill(kafka)
            kafka.start()
            back = time.monotonic()
            scene.feeder.finish()
            scene.catch_up(score, back)
            scene.settle(score)
            score.notes.append(f"{len(scene.fleet.ended)} workers ended and were started again")
    except NoMount as exc:
        score.wrong.append(f"no small disk here: {exc}")
    return score.result()


def _until_refused(scene: Scene, score: Score, kafka: LocalKafka) -> None:
    """Wait until the broker has ended, or commits stand still."""

    def refused() -> bool:
        process = kafka.process
        return process is None or process.poll() is not None or not scene.eye.moved_since(time.monotonic() - 4, {0, 1})

    began = time.monotonic()
    try:
        until(refused, "the disk to be full")
    except Late as exc:
        score.wrong.append(str(exc))
    else:
        took = time.monotonic() - began
        ended = kafka.process is not None and kafka.process.poll() is not None
        score.notes.append(f"the broker {'ended' if ended else 'refused'} after {took:.0f} s")
        time.sleep(2)


def full_worker(ground: Ground) -> Result:
    """The folder of the workers is full from the start; they run without it or refuse, and resume with room."""
    score = Score("disk full: a worker's folder", ground.seed)
    try:
        with (
            small_disk(folder_of(ground, "disk"), 8) as disk,
            Scene(ground, Load(ground.seed, 20_000), partitions=2, data_dir=disk) as scene,
        ):
            ballast = fill(disk)
            scene.feeder.rate = 2_000
            scene.feeder.start()
            scene.fleet.tend(config=SHORT)
            scene.fleet.start(config=SHORT)
            until(lambda: scene.eye.total() > 0 or scene.fleet.ended, "the worker to run or to refuse")
            ran = scene.eye.total() > 0
            ballast.unlink()
            scene.recover(score, time.monotonic(), {0, 1})
            scene.settle(score)
            how = "ran without room" if ran else f"refused: {scene.fleet.ended[0]}"
            score.notes.append(f"the worker {how}")
    except NoMount as exc:
        score.wrong.append(f"no small disk here: {exc}")
    return score.result()


ROWS: Final[dict[str, Fault]] = {"full broker": full_broker, "full worker": full_worker}
