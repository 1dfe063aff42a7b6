"""`python -m bench carts`: the whole of stage 1, in events a second, for this project and its peers.

Rounds over all systems, one after the other on one broker, so that a machine that gets slower does so for all. The
first round tries every number of workers a system has, the others stay with the best of them.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import feed, python
from bench.broker import broker, clear, make_topic
from bench.expected import Outcome, expected
from bench.job import Job, System
from bench.run import Broken, Run, run
from bench.systems import SYSTEMS

_WARM_RUNS = 3  # a broker in service has long been compiled by its JVM


@dataclass(slots=True)
class Figures:
    """What a system showed, by its number of workers."""

    system: System
    runs: dict[int, list[Run]] = field(default_factory=dict)
    out: str | None = None  # why it was left out

    @property
    def best(self) -> int:
        """The number of workers that was fastest."""
        return max(self.runs, key=lambda workers: statistics.median(r.events_per_second for r in self.runs[workers]))

    def summary(self, workers: int) -> dict[str, Any]:
        """The figures of so many workers, as they are printed."""
        runs = self.runs[workers]
        rates = sorted(r.events_per_second for r in runs)
        cpus = [r.cpu_us_per_event for r in runs if r.cpu_us_per_event is not None]
        missing, extra = max(r.missing for r in runs), max(r.extra for r in runs)
        return {
            "events_per_second": {
                "min": round(rates[0]),
                "median": round(statistics.median(rates)),
                "max": round(rates[-1]),
            },
            "workers": workers,
            "cpu_us_per_event": round(statistics.median(cpus), 2) if cpus else None,
            "right": not missing and not extra,
            "missing": missing,
            "extra": extra,
            "says": self.system.says,
        }


class Input:
    """Records on the broker and the outcomes they must lead to; `few` of them for what is slow."""

    def __init__(self, bootstrap: str, records: list[feed.Sent]) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"bench-{uuid.uuid4().hex[:8]}."
        self.topic = f"{self.prefix}cart-events"
        self.records = len(records)
        self.runs = 0
        self.truth: Counter[Outcome] = expected(record.value for record in records)
        make_topic(bootstrap, self.topic, feed.PARTITIONS)
        feed.send(bootstrap, self.topic, records)

    def run(self, system: System, workers: int, *, mark: int = 0) -> Run:
        """One run of one system on this input; nothing of it is left on the broker afterwards."""
        self.runs += 1
        job = Job(
            bootstrap=self.bootstrap,
            prefix=self.prefix,
            input=self.topic,
            output=self.prefix + (system.output or f"{system.name}-outcomes"),
            # an own group each time: Kafka Streams' members stay in it for their session timeout
            group=self.prefix + (system.group or f"{system.name}-{self.runs}"),
            records=self.records,
            folder=Path(),
            mark=mark,
        )
        make_topic(self.bootstrap, job.output, feed.PARTITIONS)
        with tempfile.TemporaryDirectory(prefix=f"bench-{system.name}-", ignore_cleanup_errors=True) as folder:
            try:
                return run(system, workers, replace(job, folder=Path(folder)), self.truth)
            finally:
                clear(self.bootstrap, self.prefix, keep=self.topic, group=job.group if system.group else "")


def measure(
    bootstrap: str,
    systems: Iterable[System],
    *,
    events: int,
    runs: int,
    seed: int,
) -> list[Figures]:
    """The figures of each system, all from the same day of `events`."""
    say = partial(print, flush=True)
    all_figures = [Figures(system) for system in systems]
    for figures in all_figures:
        if (reason := figures.system.ready()) is not None:
            figures.out = reason
            say(f"{figures.system.name}: left out: {reason}")
    inputs: dict[int, Input] = {}

    def once(system: System, workers: int) -> Run:
        size = min(events, system.most or events)
        if size not in inputs:
            inputs[size] = Input(bootstrap, feed.day(size, seed))
        return inputs[size].run(system, workers)

    for system in [figures.system for figures in all_figures if figures.out is None][:1] * _WARM_RUNS:
        say(f"not counted, the broker gets warm: {system.name}: {_line(once(system, system.workers[-1]))}")
    for turn in range(runs):
        for figures in all_figures:
            if figures.out is not None:
                continue
            system = figures.system
            for workers in system.workers if turn == 0 else (figures.best,):
                try:
                    one = once(system, workers)
                except Broken as exc:
                    say(f"{system.name}, {workers}: {exc}")
                    continue
                figures.runs.setdefault(workers, []).append(one)
                say(f"round {turn + 1}: {system.name}, {workers}: {_line(one)}")
            if not figures.runs:
                figures.out = "it did not get through (see above)"
    return all_figures


def _line(one: Run) -> str:
    cpu = "" if one.cpu_us_per_event is None else f", {one.cpu_us_per_event:.1f} µs of CPU an event"
    right = "right" if not one.missing and not one.extra else f"{one.missing} missing, {one.extra} extra"
    return f"{one.events_per_second:,.0f} events/s{cpu}, {right}"


def table(all_figures: list[Figures], events: int) -> str:
    """The figures as people read them; `*` marks the number of workers that counts."""
    head = f"{'':28}{'workers':>8}{'min':>11}{'median':>11}{'max':>11}{'µs CPU':>9}{'ours is':>9}  outcomes"
    # how the interpreter was built counts: without profile-guided optimisation it is a sixth slower
    built = f"Python {platform.python_version()}, {Path(sys.executable).resolve()}"
    lines = [f"stage 1, {events:,} events, events/s ({built}):", head]
    ratios = ratios_of(all_figures)
    for figures in all_figures:
        for workers in sorted(figures.runs):
            s = figures.summary(workers)
            rate = s["events_per_second"]
            best = workers == figures.best
            ratio = f"{ratios[figures.system.name]:.2f}×" if best and figures.system.name in ratios else ""
            right = "right" if s["right"] else f"{s['missing']} missing, {s['extra']} extra"
            cpu = "" if s["cpu_us_per_event"] is None else f"{s['cpu_us_per_event']:.1f}"
            mark = f"{workers}*" if best else f"{workers} "
            lines.append(
                f"{figures.system.name:28}{mark:>8}{rate['min']:>11,}{rate['median']:>11,}"
                f"{rate['max']:>11,}{cpu:>9}{ratio:>9}  {right}"
            )
    lines += [f"{f.system.name}: {f.system.says}" for f in all_figures if f.out is None]
    lines += [f"{f.system.name}: left out: {f.out}" for f in all_figures if f.out is not None]
    return "\n".join(lines)


def ratios_of(all_figures: list[Figures]) -> dict[str, float]:
    """Median of ours by median of each peer, both with their best number of workers."""
    medians = {f.system.name: f.summary(f.best)["events_per_second"]["median"] for f in all_figures if f.out is None}
    ours = medians.pop("ours", None)
    return {} if ours is None else {name: round(ours / median, 2) for name, median in medians.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--events", type=int, default=1_000_000, help="size of the made day (default 1,000,000)")
    parser.add_argument("--runs", type=int, default=3, help="rounds over all systems (default 3)")
    parser.add_argument("--systems", default="all", help=f"names with commas, of: {', '.join(SYSTEMS)}")
    parser.add_argument("--workers", type=int, default=0, help="so many workers or threads each (default: try several)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bootstrap", default="", help="a Kafka that is there, host:port (default: an embedded one)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--plot", type=Path, help="write bench-carts.svg into this folder")


def main(arguments: argparse.Namespace) -> int:
    """Measure, print, and say the figures as JSON when asked."""
    names = list(SYSTEMS) if arguments.systems == "all" else arguments.systems.split(",")
    if unknown := [name for name in names if name not in SYSTEMS]:
        sys.stderr.write(f"no such system: {', '.join(unknown)}. There are: {', '.join(SYSTEMS)}\n")
        return 2
    systems = [SYSTEMS[name] for name in names]
    if arguments.workers:
        systems = [replace(system, workers=(arguments.workers,)) for system in systems]
    with broker(arguments.bootstrap) as bootstrap:
        found = measure(bootstrap, systems, events=arguments.events, runs=arguments.runs, seed=arguments.seed)
    print(table(found, arguments.events))
    shown = {f.system.name: f.summary(f.best) for f in found if f.out is None}
    if arguments.plot:
        print(f"plot: {python.plot('bars', shown, arguments.plot)}")
    if arguments.json:
        left_out = {f.system.name: f.out for f in found if f.out is not None}
        print(
            json.dumps(
                {
                    "events": arguments.events,
                    "runs": arguments.runs,
                    "systems": shown,
                    "ratios": ratios_of(found),
                    "left_out": left_out,
                }
            )
        )
    return 0
