"""Workers as processes, and an eye on what their group commits."""

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from cartwake.settings import Settings
from tests.faults.checker import Commits
from tests.faults.worker import Orders
from tests.patience import Late

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 180.0
LOOK_S: Final = 0.1


class Worker:
    """One process with what it has said."""

    def __init__(self, settings: Settings, number: int, **orders: Any) -> None:
        self.number = number
        mine = msgspec.structs.replace(settings, data_dir=settings.data_dir / f"worker-{number}").environment()
        self.said: list[str] = []
        self.log = settings.data_dir / f"worker-{number}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.worker", msgspec.json.encode(Orders(mine, **orders)).decode()],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    @property
    def partitions(self) -> set[int]:
        """What it said it has."""
        lines = [line for line in list(self.said) if line.startswith("assigned")]
        _, _, numbers = lines[-1].partition(" ") if lines else ("", "", "")
        return {int(number) for number in numbers.split(",") if number}

    def has_said(self, word: str) -> bool:
        """Whether a line began with this."""
        return any(line.startswith(word) for line in list(self.said))

    def signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """kill -9, whatever state it is in."""
        if self.alive:
            self.process.kill()
        self.process.wait()
        self._reader.join(60)

    def end(self, patience_s: float = 30.0) -> float:
        """Ask it to stop (SIGTERM); how long that took. Raises Late, and kills it, when it does not."""
        began = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise Late(f"worker {self.number} did not stop within {patience_s:.0f} s") from None
        finally:
            self.kill()
        return time.monotonic() - began

    def last_words(self) -> str:
        """What it said on its way out."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "nothing"

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                self.said.append(line.strip())


class Fleet:
    """Workers of one group; those who end by themselves are noted."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._number = 0
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._tender: threading.Thread | None = None
        self.workers: list[Worker] = []
        self.ended: list[str] = []  # last words of those who ended by themselves and were replaced

    def start(self, **orders: Any) -> Worker:
        """One more worker."""
        self._number += 1
        worker = Worker(self._settings, self._number, **orders)
        self.workers.append(worker)
        return worker

    def owners(self) -> list[Worker]:
        """Who is alive and has partitions."""
        return [worker for worker in self.workers if worker.alive and worker.partitions]

    def kill(self, worker: Worker) -> None:
        """kill -9 one of them."""
        with self._lock:
            worker.kill()
            if worker in self.workers:
                self.workers.remove(worker)

    def tend(self, **orders: Any) -> None:
        """From now on start a new worker for each that ends by itself, as a supervisor does."""

        def look() -> None:
            while not self._closed.wait(0.5):
                with self._lock:
                    for worker in [worker for worker in self.workers if not worker.alive]:
                        self.ended.append(worker.last_words())
                        self.workers.remove(worker)
                        self.start(**orders)

        self._tender = threading.Thread(target=look, daemon=True)
        self._tender.start()

    def failed(self) -> list[str]:
        """Those who ended though nobody asked them to."""
        return [f"worker {w.number} ended by itself: {w.last_words()}" for w in self.workers if not w.alive]

    def rest(self) -> None:
        """Start nobody again from now on."""
        self._closed.set()
        if self._tender is not None:
            self._tender.join(60)

    def close(self) -> None:
        """Leave no process behind."""
        self.rest()
        for worker in self.workers:
            worker.kill()
        self.workers.clear()


class Eye:
    """Follows the committed offsets in a thread, with the time of each step."""

    def __init__(self, commits: Commits) -> None:
        self.steps: dict[int, list[tuple[float, int]]] = {}
        self._commits = commits
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eye", daemon=True)
        self._thread.start()

    def at(self, number: int) -> int:
        """The newest committed offset of a partition that was seen."""
        steps = self.steps.get(number)
        return steps[-1][1] if steps else -1

    def total(self) -> int:
        """All partitions together."""
        return sum(steps[-1][1] for steps in list(self.steps.values()))

    def moved_since(self, moment: float, numbers: set[int]) -> bool:
        """Whether each of these partitions was committed later than that."""
        return all(any(at > moment for at, _ in reversed(self.steps.get(number, []))) for number in numbers)

    def longest_pause(self, number: int, begin: float, end: float) -> float:
        """The longest time between two commits of a partition within these times."""
        times = [begin, *(at for at, _ in list(self.steps.get(number, [])) if begin < at < end), end]
        return max(b - a for a, b in itertools.pairwise(times))

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(70)
        self._commits.close()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                found = self._commits.now()
            except Exception:  # the broker may be away: that is what is looked at
                continue
            now = time.monotonic()
            for number, offset in found.items():
                steps = self.steps.setdefault(number, [])
                if not steps or steps[-1][1] != offset:
                    steps.append((now, offset))
