"""A topic that something has filled with nothing but bad records."""

import itertools
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cartwake import topics
from tests.faults import fuzz, trials
from tests.faults.pipe import Pipe, Worker
from tests.faults.result import Ground, Result
from tests.faults.rubbish import is_bad
from tests.faults.shoppers import Shoppers
from tests.patience import Late, until

IN_A_ROW: Final = 1_000  # what a stage may put aside before it stops


def poison(ground: Ground) -> Result:
    """Nothing but bad records for a minute: it stops loudly, stops again, and goes on once they are skipped."""
    seconds, carts, restarts = (6, 200, 1) if ground.quick else (60, 2_000, 3)
    before, after = Shoppers("before", carts), Shoppers("after", carts)
    wrong: list[str] = []
    with Pipe(ground) as pipe:
        worker = pipe.start()
        _send(pipe, before.fill())
        until(lambda: pipe.is_read() or not worker.alive, "the good events are committed")
        starts = pipe.committed()
        feeder = threading.Thread(target=_feed, args=(pipe, ground.seed, seconds), name="poison")
        feeder.start()
        lives = [_live(pipe, worker, starts, wrong)]
        feeder.join()
        bad = sum(pipe.reader(topics.CART_EVENTS).ends().values()) - sum(starts.values())
        lives += [_live(pipe, pipe.start(), starts, wrong) for _ in range(restarts)]
        letters = [b.letters - a.letters for a, b in itertools.pairwise([_Life(0, 0, 0), *lives])]
        most = IN_A_ROW * pipe.settings.partitions
        wrong += [f"{n:,} dead letters in one life of the process" for n in letters if n > most]

        pipe.move(pipe.reader(topics.CART_EVENTS).ends())
        _send(pipe, [*before.buy(), *after.fill(), *after.buy()])
        repaired = time.monotonic()
        worker = pipe.start()
        try:
            until(lambda: pipe.is_read() or not worker.alive, "the good events after it are committed")
        except Late as exc:
            wrong.append(str(exc))
        took = time.monotonic() - repaired
        if not worker.alive:
            wrong.append(f"the process ended though the topic is good: {worker.last_words()}")
        worker.stop()
        outcomes = pipe.reader(topics.CART_OUTCOMES).all()
        found = [shoppers.compare(outcomes) for shoppers in (before, after)]
        events = sum(pipe.reader(topics.CART_EVENTS).ends().values())
    return Result(
        fault="poison",
        runs=len(lives),
        events=events,
        kills=0,
        lost=sum(lost for lost, _, _ in found),
        double=sum(double for _, double, _ in found),
        recovered_s=(round(took, 2),),
        seed=ground.seed,
        note=f"{bad:,} bad records in {seconds} s: stopped after {lives[0].seconds:.1f} s; after each life so many bad "
        f"ones are committed on a partition: {[life.committed for life in lives]}, and it wrote so many dead letters: "
        f"{letters}; skipped by hand, then all good ones were folded",
        wrong=tuple(wrong),
    )


@dataclass(frozen=True)
class _Life:
    """How long a process took to stop, and what stood on the broker then."""

    seconds: float
    committed: int  # bad records, on the partition with most
    letters: int


def _live(pipe: Pipe, worker: Worker, starts: dict[int, int], wrong: list[str]) -> _Life:
    """Wait for the process to stop by itself, loudly."""
    began = time.monotonic()
    try:
        until(lambda: not worker.alive, "the process stops")
        if worker.process.returncode == 0 or "unusable records" not in worker.complaints:
            wrong.append(f"it ended with {worker.process.returncode} and said {worker.last_words()}")
    except Late as exc:
        wrong.append(str(exc))
        worker.stop()
    took = time.monotonic() - began
    committed = max(at - starts[number] for number, at in pipe.committed().items())
    if committed > IN_A_ROW:
        wrong.append(f"{committed:,} bad records of a partition are committed")
    return _Life(took, committed, len(pipe.reader(topics.DEAD_LETTERS).all()))


def _send(pipe: Pipe, events: Iterable[tuple[str, bytes]]) -> None:
    for key, value in events:
        pipe.send(topics.CART_EVENTS, key, value)
    pipe.flush()


def _feed(pipe: Pipe, seed: int, seconds: float) -> None:
    """Bad records on every partition, a few thousand a second."""
    draw = random.Random(f"{seed}/poison")
    bases = trials.CartTrial().bases()[topics.CART_EVENTS.name]
    bad = [value for _ in range(2_000) if is_bad(topics.CART_EVENTS, value := fuzz.mutant(draw, bases))]
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        for _ in range(100):
            pipe.send(topics.CART_EVENTS, None, bad[number % len(bad)], number % pipe.settings.partitions)
            number += 1
        time.sleep(0.02)
    pipe.flush()
