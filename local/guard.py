"""Ends what a killed supervisor left behind: `python -m local.guard`, told process groups on its standard input.

`+123` adds group 123, `-123` takes it away. When the input ends, because the supervisor closed it or was killed,
every group still known gets SIGTERM, and SIGKILL after ten seconds. Works for any child, the JVM too, on Linux
and macOS alike; PR_SET_PDEATHSIG would be Linux's alone, and fires when the starting thread ends.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

BOUND_S = 10.0


def follow(lines: Iterable[str]) -> set[int]:
    """The groups still known when `lines` end."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        (groups.add if line.startswith("+") else groups.discard)(group)
    return groups


def end(groups: set[int]) -> None:
    """End `groups`, politely first."""
    tell(groups, signal.SIGTERM)
    until = time.monotonic() + BOUND_S
    while groups and time.monotonic() < until:
        time.sleep(0.05)
        groups = tell(groups, 0)
    tell(groups, signal.SIGKILL)


def tell(groups: set[int], number: int) -> set[int]:
    """Send signal `number` to every group; returns those that are still there."""
    there = set()
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            there.add(group)
    return there


def main() -> int:
    """Guard until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the supervisor's end is the only reason to go
    end(follow(sys.stdin))
    return 0


if __name__ == "__main__":
    sys.exit(main())
