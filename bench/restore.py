"""Restore and memory: how fast workers have so many open carts back, deadlines indexed, and what a cart weighs."""

import argparse
import itertools
import json
import tempfile
import time
import uuid
from pathlib import Path

from bench.broker import broker
from bench.made import fill, overhead, settled, workers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--carts", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory-mb", type=int, default=0, help="limit of memory for states; 0: all in memory")
    parser.add_argument("--forgotten", type=float, default=0.0, help="share of carts that wait for nothing any more")
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--json", action="store_true")


def main(arguments: argparse.Namespace) -> int:
    """Write the carts once, restore them again and again."""
    inside, rest = overhead()
    figures: dict[str, object] = {"carts": arguments.carts, "contents": inside, "packed": inside + rest}
    with broker(arguments.bootstrap) as bootstrap, tempfile.TemporaryDirectory() as folder:
        prefix = f"restore{uuid.uuid4().hex[:6]}."
        now = time.time_ns() // 1_000_000
        due = (now - 600_000 + number % 600_000 for number in itertools.count())  # within the next two hours
        took = fill(bootstrap, prefix, arguments.carts, due, 1 - arguments.forgotten)
        print(f"{arguments.carts:,} carts written in {took:.0f} s; {inside} bytes of contents, {rest} beside them")
        for number in arguments.workers:
            rates, weights, peaks = [], [], []
            for _ in range(arguments.runs):
                with workers(number, bootstrap, prefix, Path(folder), arguments.memory_mb) as found:
                    said = settled(found)
                    slowest = max(one["assigned_s"] for one in said)
                    carts = sum(one["carts"] for one in said)
                    if carts != arguments.carts:
                        raise SystemExit(f"{carts} carts came back of {arguments.carts}")
                    rates.append(carts / slowest)
                    weights.append(sum(one["rss"] - one["rss_before"] for one in said) / carts)
                    for one in found:
                        one.process.terminate()
                    peaks.append(sum(one.hear(60)["peak"] for one in found))
            rates.sort()
            weight = sorted(weights)[len(weights) // 2]
            where = f"{weight:.0f} bytes a cart in memory"
            if not arguments.memory_mb:
                where += f": its contents and {weight - inside:.0f}"
            print(
                f"{number} workers: {rates[0]:,.0f} / {rates[len(rates) // 2]:,.0f} / {rates[-1]:,.0f} carts/s "
                f"(min/median/max), {where}; peak {max(peaks) / 2**20:,.0f} MiB"
            )
            figures[f"workers_{number}"] = {
                "carts_per_second": rates, "bytes_per_cart": weight, "beside_contents": weight - inside,
                "peak_bytes": max(peaks),
            }  # fmt: skip
    if arguments.json:
        print(json.dumps(figures))
    return 0
