"""`python -m bench growth`: what an event costs while 10,000, 100,000 or a million other carts are open.

The traffic that is measured is the same for every size: 10,000 sessions of twelve events on carts that are open.
Before it on the same topic: other sessions, which warm the system up, then the open carts. The measure begins when as
many records were taken as come before the traffic; partitions may be a little ahead or behind of one another then. No
deadline comes. One worker or thread each: it is the cost that is asked for, not the throughput.
"""

import argparse
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import feed, python
from bench.broker import broker
from bench.carts import Input
from bench.expected import COMPLETED
from bench.run import Broken, Run
from bench.systems import SYSTEMS, kafka_streams
from cartwake.clock import rfc3339

_WARM_SESSIONS: Final = 25_000
_SESSIONS: Final = 10_000
_A_SESSION: Final = 12
_SPAN_MS: Final = 100 * 60 * 1000  # shorter than the idle time
_SYSTEMS: Final = (
    replace(SYSTEMS["ours"], workers=(1,), kinds=frozenset({COMPLETED})),
    replace(
        SYSTEMS["kafka-streams"],
        # its default of 30 s would charge the opening of the carts to the traffic
        commands=kafka_streams("memory", "at_least_once", "--commit-ms=1000"),
        workers=(1,),
        kinds=frozenset({COMPLETED}),
    ),
)


def standing(carts: int, seed: int = 1) -> tuple[list[feed.Sent], int]:
    """Records with `carts` open carts under the traffic, and how many of them come before it."""
    if carts < _SESSIONS:
        raise ValueError(f"{carts} open carts are too few: the traffic touches {_SESSIONS:,}")
    rng = random.Random(seed)
    products = feed.catalogue(rng)
    keys = [*_sessions([f"w-{n}" for n in range(_WARM_SESSIONS)], rng, last="order.placed")]
    keys += [(f"o-{n:07d}", "cart.item_added") for n in range(carts)]
    before = len(keys)
    keys += _sessions([f"o-{n:07d}" for n in rng.sample(range(carts), _SESSIONS)], rng, last="checkout.step")
    step = _SPAN_MS / len(keys)
    made = []
    for number, (cart, kind) in enumerate(keys):
        at = feed.BEGIN_MS + int(number * step)
        made.append(feed.Sent(at, cart, _event(rng, cart, kind, at, products)))
    return made, before


def _sessions(carts: list[str], rng: random.Random, *, last: str) -> Iterator[tuple[str, str]]:
    """A session for each of `carts`, a thousand of them at a time, mixed."""
    for begin in range(0, len(carts), 1000):
        some = carts[begin : begin + 1000]
        for turn in range(_A_SESSION):
            rng.shuffle(some)
            kind = last if turn == _A_SESSION - 1 else ("cart.item_added", "cart.viewed")[turn % 2]
            yield from ((cart, kind) for cart in some)


def _event(rng: random.Random, cart: str, kind: str, at: int, products: list[tuple[str, str, str]]) -> bytes:
    more = {
        "cart.item_added": f'"items":[{{{rng.choice(products)[2]},"quantity":1}}],',
        "checkout.step": '"step":"contact",',
        "order.placed": f'"order_id":"o-{cart}",',
    }.get(kind, "")
    return (
        f'{{"event_id":"{rng.getrandbits(128):032x}","type":"{kind}","shop_id":"main","cart_id":"{cart}",'
        f'"session_id":"s-{cart}","device_id":"d-{cart}","occurred_at":"{rfc3339(at)}",{more}'
        f'"currency":"EUR","cart_url":"https://shop.example.com/cart/{cart}"}}'
    ).encode()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--carts", default="10000,100000,1000000", help="numbers of open carts, with commas")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--bootstrap", default="", help="a Kafka that is there, host:port (default: an embedded one)")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--plot", type=Path, help="write bench-growth.svg into this folder")


def main(arguments: argparse.Namespace) -> int:
    """Measure, print, and say the figures as JSON when asked."""
    sizes = [int(size) for size in arguments.carts.split(",")]
    found: dict[str, dict[int, list[Run]]] = defaultdict(lambda: defaultdict(list))
    left_out = {system.name: reason for system in _SYSTEMS if (reason := system.ready()) is not None}
    with broker(arguments.bootstrap) as bootstrap:
        for size in sizes:
            records, before = standing(size)
            given = Input(bootstrap, records)
            for _ in range(arguments.runs):
                for system in _SYSTEMS:
                    if system.name in left_out:
                        continue
                    try:
                        found[system.name][size].append(given.run(system, 1, mark=before))
                    except Broken as exc:
                        print(f"{system.name}, {size:,} open carts: {exc}", flush=True)
                        continue
                    print(f"{system.name}, {size:,} open carts: {_words(found[system.name][size][-1])}", flush=True)
    for name, reason in left_out.items():
        print(f"{name}: left out: {reason}")
    costs = {name: {size: _costs(runs) for size, runs in by.items() if _costs(runs)} for name, by in found.items()}
    if arguments.plot:
        print(f"plot: {python.plot('lines', costs, arguments.plot)}")
    if arguments.json:
        medians = {name: {s: round(statistics.median(c), 2) for s, c in by.items()} for name, by in costs.items()}
        right = {
            name: all(not r.missing and not r.extra for rs in by.values() for r in rs) for name, by in found.items()
        }
        print(json.dumps({"cpu_us_per_event": medians, "right": right, "left_out": left_out}))
    return 0


def _costs(runs: list[Run]) -> list[float]:
    return [run.cpu_us_per_event for run in runs if run.cpu_us_per_event is not None]


def _words(run: Run) -> str:
    right = "right" if not run.missing and not run.extra else f"{run.missing} missing, {run.extra} extra"
    return f"{run.cpu_us_per_event or 0:.1f} µs of CPU an event, {run.events_per_second:,.0f} events/s, {right}"
