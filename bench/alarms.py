"""How soon a broken payment step is found, and how many false alarms ordinary weeks have; no Kafka, no ClickHouse."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from bench.checkouts import DAY, HOUR, MINUTE, MONDAY, WEEK, Memory, World
from cartwake.alarms import AlarmRules, Alarms, decide
from cartwake.flow import Watcher

IDLE = 2 * HOUR
BREAK = MONDAY + 6 * WEEK + 2 * DAY + 18 * HOUR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--weeks", type=int, default=100, help="ordinary weeks of each shop")
    parser.add_argument("--every", type=int, default=5, help="minutes between two looks at them")
    parser.add_argument("--spread", type=float, default=0.2, help="of how many come, from day to day")
    parser.add_argument("--sensitivity", choices=("low", "normal", "high"), default="normal")
    parser.add_argument("--rates", type=float, nargs="*", default=[3, 20, 100], help="checkouts in the busiest hour")
    parser.add_argument("--found", type=float, nargs="*", default=[60, 200, 400, 1000], help="the same, of a break")
    parser.add_argument("--seeds", type=int, default=3, help="breaks of each size")


def main(arguments: argparse.Namespace) -> int:
    """Print a line of JSON for each shop."""
    rules = AlarmRules(sensitivity=arguments.sensitivity)
    for rate in arguments.found:
        after = sorted(_found(rate, seed, rules) for seed in range(arguments.seeds))
        _print(checkouts_in_busiest_hour=rate, found_after_minutes=after)
    for rate in arguments.rates:
        began = time.monotonic()
        world = World(rate, arguments.weeks + 3, seed=11, week_to_week=arguments.spread)
        memory = world.memory()
        said = list(watch(memory, MONDAY + 3 * WEEK, MONDAY + (arguments.weeks + 3) * WEEK, arguments.every, rules))
        _print(
            checkouts_in_busiest_hour=rate, weeks=arguments.weeks, sensitivity=arguments.sensitivity,
            false_alarms=[words for kind, _, words in said if kind == "alert.opened"],
            seconds=round(time.monotonic() - began),
        )  # fmt: skip
    return 0


def watch(memory: Memory, begin: int, end: int, every: int, rules: AlarmRules) -> Iterator[tuple[str, int, str]]:
    """Every record (type, moment, words) that looks at these weeks would say."""
    watcher, alarms = Watcher(memory), Alarms()
    for now in range(begin, end, every * MINUTE):
        looks = watcher.looks("main", now=now, where=UTC, idle=IDLE)
        alert = decide(alarms.last("main"), looks, rules, shop_id="main", now=now, idle=IDLE)
        if alert is not None:
            alarms.apply(alert, now)
            yield alert.type, now, alert.words or ""


def _found(rate: float, seed: int, rules: AlarmRules) -> int:
    def go_on(at: int, step: str) -> float:
        return 0.0 if step == "payment" and BREAK <= at < BREAK + HOUR else 1.0

    memory = World(rate, 6.4, seed=seed, go_on=go_on, week_to_week=0.2).memory()
    for _, at, _ in watch(memory, BREAK, BREAK + 2 * HOUR, 1, rules):
        return (at - BREAK) // MINUTE
    return -1


def _print(**figures: Any) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
