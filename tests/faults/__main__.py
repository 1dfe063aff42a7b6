"""`python -m tests.faults [--quick] [--seed N] [--only NAME …] [--json]`: every fault, and a table of what it did.

A line is printed as each fault ends, with its seed; the same seed makes the same choices again. Ends with 1 when a
fault did not hold.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from local.kafka import LocalKafka
from tests.conftest import free_port
from tests.faults.result import Ground, Result
from tests.faults.rows import QUICK, ROWS
from tests.faults.table import HEAD, held, line, run


def main() -> int:
    """Run what was asked for; 0 when all of it held."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all that was started is stopped
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
        tell(json.dumps([asdict(r) | {"held": held(r)} for r in results]))
    else:
        tell("\n".join(["", HEAD, "|---" * HEAD.count(" | ") + "|---|", *map(line, results)]))
    return 0 if all(map(held, results)) else 1


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
