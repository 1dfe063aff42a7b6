"""Faults of the input: events doubled, late, out of order, with wrong times; values that are no events; all bad."""

import time
from dataclasses import replace
from typing import Final

from tests.faults import shuffle, trials
from tests.faults.poison import poison
from tests.faults.result import Fault, Ground, Result
from tests.faults.rubbish import malformed_on_kafka
from tests.faults.shares import spread

MOST_WRONG: Final = 20  # lines of a report
WRONG_OF_A_STAGE: Final = 8


# -- order, doubles, times: stage 1 beside the oracle ----------------------------------------------------------
def _disorder(name: str, *, full: int, quick: int) -> Fault:
    """The fault of that name in shuffle.DISORDERS."""

    def fault(ground: Ground) -> Result:
        tally, seconds = shuffle.run(name, ground.seed, quick if ground.quick else full)
        rate = tally.events / seconds
        return Result(
            fault=name,
            runs=1,
            events=tally.events,
            kills=0,
            lost=tally.lost,
            double=tally.double,
            recovered_s=(),
            seed=ground.seed,
            note=f"{tally.carts:,} carts, {tally.outcomes:,} outcomes ({tally.abandoned:,} abandoned), "
            f"{tally.duplicates:,} repeats ignored; {seconds:.0f} s, {rate:,.0f} events/s with the oracle",
            wrong=tuple(tally.wrong[:MOST_WRONG]),
        )

    return fault


# -- malformed: every stage, without a broker ------------------------------------------------------------------
def malformed(ground: Ground) -> Result:
    """Every shape of rubbish, and mutants of good events, between good ones, for each stage."""
    shares = {"carts": 20, "identity": 4, "orders": 4, "reminders": 4} if ground.quick else {
        "carts": 200, "identity": 50, "orders": 50, "reminders": 50,
    }  # fmt: skip
    began = time.monotonic()
    whole = trials.Tally()
    notes = []
    for stage, chunks in shares.items():
        found, failed = spread("tests.faults.trials", [stage, str(ground.seed)], range(chunks))
        tally = trials.Tally(wrong=failed)
        for part in found:
            tally.add(trials.Tally(**part))
        notes.append(f"{stage} {tally.events:,} values, {tally.dead:,} dead letters")
        tally.wrong = [f"{stage}: {line}" for line in tally.wrong[:WRONG_OF_A_STAGE]]
        whole.add(tally)
    return Result(
        fault="malformed",
        runs=len(shares),
        events=whole.events,
        kills=0,
        lost=whole.lost,
        double=whole.double,
        recovered_s=(),
        seed=ground.seed,
        note=f"{'; '.join(notes)}; {time.monotonic() - began:.0f} s",
        wrong=tuple(whole.wrong),
    )


def _named(name: str, fault: Fault) -> Fault:
    """The fault, with its result under the name of its row."""
    return lambda ground: replace(fault(ground), fault=name)


ROWS: Final[dict[str, Fault]] = {
    name: _named(name, fault)
    for name, fault in {
        "duplicates x 10": _disorder("duplicates", full=100_000, quick=10_000),
        "late by 1 min to 7 days": _disorder("late", full=100_000, quick=10_000),
        "shuffled by 10 min": _disorder("shuffled", full=100_000, quick=10_000),
        "purchase before cart": _disorder("early-orders", full=100_000, quick=10_000),
        "times of 1970 and in 10 years": _disorder("wrong-clocks", full=100_000, quick=10_000),
        "all disorder at once": _disorder("all", full=1_000_000, quick=20_000),
        "malformed": malformed,
        "malformed on Kafka": malformed_on_kafka,
        "poison": poison,
    }.items()
}
