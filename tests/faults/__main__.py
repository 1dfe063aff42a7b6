"""`python -m tests.faults [--quick] [--seed N] [--only NAME …] [--json]`: every fault, and a table of what it did.

A line is printed as each fault ends, with its seed; the same seed makes the same choices again. Ends with 1 when a
fault did not hold.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path

from local.kafka import LocalKafka
from tests.conftest import free_port
from tests.faults.result import Ground, Result
from tests.faults.rows import QUICK, ROWS
from tests.faults.scene import middle

HEAD = "| fault | runs | events | kills | lost | double | recovery, median/max s | seed | held | note |"


def main() -> int:
    """Run what was asked for; 0 when all of it held."""
    options = _options()
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as root, LocalKafka(Path(root) / "kafka", free_port()) as kafka:
        for name in options.only or (QUICK if options.quick else ROWS):
            began = time.monotonic()
            folder = Path(root) / name.replace(" ", "-")
            folder.mkdir()
            result = run(name, Ground(kafka.bootstrap, folder, options.seed, options.quick))
            results.append(result)
            if not options.json:
                tell(f"{name} ({time.monotonic() - began:.0f} s): {line(result)}")
    if options.json:
        tell(json.dumps([asdict(r) | {"held": r.held} for r in results]))
    else:
        tell("\n".join(["", HEAD, "|---" * HEAD.count(" | ") + "|---|", *map(line, results)]))
    return 0 if all(result.held for result in results) else 1


def run(name: str, ground: Ground) -> Result:
    """One fault; one that could not be run to its end has not held."""
    try:
        return ROWS[name](ground)
    except Exception as exc:
        traceback.print_exc()
        return Result(name, 0, 0, 0, 0, 0, (), ground.seed, wrong=(f"not run: {type(exc).__name__}: {exc}",))


def line(result: Result) -> str:
    """The row of the table."""
    note = "; ".join([*result.wrong, *([result.note] if result.note else [])])
    cells = [
        result.fault, result.runs, f"{result.events:,}", result.kills, result.lost, result.double,
        middle(result.recovered_s), result.seed, "yes" if result.held else "**no**", note.replace("|", "/"),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def tell(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the form that make test runs")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
