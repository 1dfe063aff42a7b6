"""Work in numbered chunks, shared out to processes: each prints what it found as one line of JSON."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]


def spread(
    module: str, arguments: Sequence[str], numbers: Iterable[int], *, processes: int = 2
) -> tuple[list[dict[str, Any]], list[str]]:
    """Run `python -m module ARGUMENTS NUMBER…` in so many processes; what they printed, and which ones failed."""
    all_numbers = list(numbers)
    shares = [share for first in range(processes) if (share := all_numbers[first::processes])]
    workers = [
        subprocess.Popen([sys.executable, "-m", module, *arguments, *map(str, share)], stdout=subprocess.PIPE, cwd=ROOT)
        for share in shares
    ]
    found: list[dict[str, Any]] = []
    failed: list[str] = []
    try:
        for worker, share in zip(workers, shares, strict=True):
            said, _ = worker.communicate()
            if worker.returncode:
                failed.append(f"{module} {' '.join(arguments)} ended with {worker.returncode}, chunks {share}")
            else:
                found.append(json.loads(said))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return found, failed
