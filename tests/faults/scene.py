"""One run of one fault: topics of its own, input flowing, workers, an eye on the commits, and the verdict."""

import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.settings import Settings
from tests.faults.checker import Checker, Commits
from tests.faults.fleet import Eye, Fleet, Worker
from tests.faults.load import PLOTS, Feeder, Load
from tests.faults.result import Ground, Result
from tests.patience import Late, until

SHORTEST_SESSION_S: Final = 6.0  # a broker takes no shorter one
SETTLE_S: Final = 300.0
_lock = threading.Lock()
_undisturbed: dict[tuple[int, int, int], dict[int, tuple[Any, ...]]] = {}


@dataclass
class Score:
    """The figures of all runs of a fault."""

    fault: str
    seed: int
    runs: int = 0
    events: int = 0
    kills: int = 0
    lost: int = 0
    double: int = 0
    repeats: int = 0
    recovered: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Score") -> None:
        """Take the figures of another one in, which was run beside."""
        self.runs += other.runs
        self.events += other.events
        self.kills += other.kills
        self.lost += other.lost
        self.double += other.double
        self.repeats += other.repeats
        self.recovered += other.recovered
        self.notes += [f"{other.fault}: {note}" for note in other.notes]
        self.wrong += [f"{other.fault}: {wrong}" for wrong in other.wrong]

    def result(self) -> Result:
        """The line of the table."""
        notes = [*self.notes, f"{self.repeats} repeats of an id"] if self.repeats else self.notes
        return Result(
            self.fault, self.runs, self.events, self.kills, self.lost, self.double,
            tuple(round(s, 2) for s in self.recovered), self.seed, "; ".join(notes), tuple(dict.fromkeys(self.wrong)),
        )  # fmt: skip


class Scene:
    """What a run needs; nothing of it is left at the end but topics."""

    def __init__(
        self,
        ground: Ground,
        load: Load,
        *,
        partitions: int,
        bootstrap: str = "",
        replication: int = 1,
        data_dir: Path | None = None,
    ) -> None:
        name = uuid.uuid4().hex[:8]
        self.settings = Settings(
            kafka_bootstrap=bootstrap or ground.bootstrap,
            topic_prefix=f"f{name}.",
            partitions=partitions,
            replication=replication,
            data_dir=data_dir or ground.folder / name,
            log_level="warning",
        )
        self.ground, self.load = ground, load
        self.group = f"{self.settings.topic_prefix}streams"
        self.topic = self.settings.topic_prefix + topics.CART_EVENTS.name
        self.chance = random.Random(f"{ground.seed}/{load.events}")

    def __enter__(self) -> Self:
        settings = self.settings
        ensure_topics(settings, {f"{self.group}-carts-changelog": topics.CART_EVENTS.name}, say=lambda _: None)
        self.fleet = Fleet(settings)
        self.eye = Eye(Commits(settings.bootstrap, self.group, self.topic))
        self.checker = Checker(settings.bootstrap, settings.topic_prefix, self.group, self.load)
        self.feeder = Feeder(settings.bootstrap, self.topic, self.load)
        return self

    def __exit__(self, *_: object) -> None:
        self.feeder.stop()
        self.fleet.close()
        self.eye.close()
        self.checker.close()

    def begin(self, workers: int, rate: float | None = None, **orders: Any) -> list[Worker]:
        """Feed, and return when each of so many workers has partitions and commits move on all of them."""
        self.feeder.rate = rate
        self.feeder.start()
        started = [self.fleet.start(**orders) for _ in range(workers)]
        numbers = set(range(self.settings.partitions))
        until(lambda: self.fleet.failed() or all(worker.partitions for worker in started), "the first assignment")
        if failed := self.fleet.failed():
            raise RuntimeError("; ".join(failed))
        now = time.monotonic()
        until(lambda: self.eye.moved_since(now, numbers), "the first commits")
        return started

    def recovery(self, killed_at: float, numbers: set[int]) -> float | None:
        """How long it took until commits moved again on these partitions; None if all had been done before."""

        def moved() -> bool:
            return self.eye.moved_since(killed_at, numbers) or (self.feeder.done and self.all_committed())

        until(moved, f"commits on {sorted(numbers)}")
        if not self.eye.moved_since(killed_at, numbers):
            return None
        return max(next(at for at, _ in self.eye.steps[n] if at > killed_at) for n in numbers) - killed_at

    def recover(self, score: Score, killed_at: float, numbers: set[int]) -> None:
        """Wait for that recovery, and note it; one that does not come is wrong."""
        try:
            took = self.recovery(killed_at, numbers)
            score.recovered += [took] if took is not None else []
        except Late as exc:
            score.wrong.append(str(exc))

    def catch_up(self, score: Score, since: float) -> None:
        """Wait until all that is in the input now has been done, and note how long that took."""
        try:
            ends = self.checker.input.ends()
            until(lambda: self._reached(ends), "what had waited", SETTLE_S)
            score.recovered.append(time.monotonic() - since)
        except Late as exc:
            score.wrong.append(str(exc))

    def all_committed(self) -> bool:
        """Whether all that is in the input has been done."""
        return self._reached(self.checker.input.ends())

    def _reached(self, ends: dict[int, int]) -> bool:
        return all(self.eye.at(n) >= end for n, end in ends.items() if end)

    def pause(self, least: float, most: float) -> None:
        """A moment that the seed decides."""
        time.sleep(self.chance.uniform(least, most))

    def settle(self, score: Score, *, stop: bool = True) -> None:
        """Let the workers come to the end of the input, look at all that is there, and add it to the score."""
        score.runs += 1
        try:
            score.events += self.feeder.finish()
            ends = self.checker.input.ends()
            until(lambda: self._reached(ends), "the end of the input", SETTLE_S)
            self._wait_for_outcomes()
        except Late as exc:
            score.wrong += [f"{exc}", *self.fleet.failed()]
        score.wrong += self.fleet.failed()
        if stop:
            self.stop(score)
        self._judge(score)

    def stop(self, score: Score) -> None:
        """End all workers as an operator does."""
        self.fleet.rest()
        for worker in list(self.fleet.workers):
            try:
                took = worker.end()
            except Late as exc:
                score.wrong.append(str(exc))
            else:
                if took > 10:
                    score.wrong.append(f"a graceful stop took {took:.1f} s")
            self.fleet.workers.remove(worker)

    def look(self, score: Score) -> None:
        """Whether what is committed is also in the state, now (I5)."""
        if behind := self.checker.behind():
            score.wrong.append(f"I5: {len(behind)} carts behind the commit: {behind[0]}")

    def _wait_for_outcomes(self) -> None:
        quiet_since, count = time.monotonic(), -1
        while time.monotonic() < quiet_since + 10:
            found = self.checker.find()
            if not found.lost:
                return
            if found.outcomes != count:
                quiet_since, count = time.monotonic(), found.outcomes
            time.sleep(0.3)

    def _judge(self, score: Score) -> None:
        self.look(score)
        found = self.checker.find()
        score.lost += found.lost
        score.double += found.double
        score.repeats += found.repeats
        score.wrong += found.wrong
        score.notes += found.examples
        calm = undisturbed(self.ground, self.load, self.settings.bootstrap)
        carts = self.checker.carts().values()
        other = [cart for cart in carts if cart.meaning != calm[self.load.plot_of(cart.cart)]]
        if other:
            one = other[0]
            expected = calm[self.load.plot_of(one.cart)]
            score.wrong.append(f"I6: {len(other)} carts differ: {one.cart} is {one.meaning}, undisturbed {expected}")


def undisturbed(ground: Ground, load: Load, bootstrap: str) -> dict[int, tuple[Any, ...]]:
    """The final cart of each plot in a run where nothing goes wrong, made once."""
    with _lock:
        key = (load.seed, load.longest, load.at)
        if key not in _undisturbed:
            calm = Ground(bootstrap, ground.folder / "calm", ground.seed, quick=True)
            with Scene(calm, load.small(), partitions=1) as scene:
                scene.fleet.start()
                scene.feeder.start().finish()
                ends = scene.checker.input.ends()
                until(lambda: scene.eye.at(0) >= ends[0], "the undisturbed run")
                scene._wait_for_outcomes()
                scene.stop(score := Score("undisturbed", ground.seed))
                found = scene.checker.find()
                carts = scene.checker.carts()
                if found.lost or found.double or score.wrong or len(carts) != PLOTS:
                    raise RuntimeError(f"an undisturbed run goes wrong: {found} {score.wrong}, {len(carts)} carts")
                _undisturbed[key] = {load.plot_of(name): cart.meaning for name, cart in carts.items()}
        return _undisturbed[key]


def middle(seconds: Sequence[float]) -> str:
    """Median and longest, for people."""
    return f"{median(seconds):.1f}/{max(seconds):.1f}" if seconds else "–"


def folder_of(ground: Ground, name: str) -> Path:
    """A folder for one part of a fault."""
    folder = ground.folder / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
