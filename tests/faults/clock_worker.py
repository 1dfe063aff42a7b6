"""A role, `streams` if none is named, with a clock of its own: `python -m tests.faults.clock_worker [FILE [ROLE]]`.

FILE holds by how many milliseconds the clock is wrong and may change at any time; settings come from the environment.
A change of local time (TZ) is said on standard output. Everything after the clock is what `cartwake run ROLE` does.
"""

import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

LOOK_S = 0.01


def shift(file: Path) -> None:
    """Have the clock follow `file`, before anybody can keep a right one."""
    offset_ms = int(file.read_text())
    right_ns, right_s = time.time_ns, time.time

    def follow() -> None:
        nonlocal offset_ms
        while True:
            time.sleep(LOOK_S)
            text = file.read_text()
            if text:  # else it is just being written
                offset_ms = int(text)

    threading.Thread(target=follow, name="clock", daemon=True).start()
    clock: Any = time
    clock.time_ns = lambda: right_ns() + offset_ms * 1_000_000
    clock.time = lambda: right_s() + offset_ms / 1_000


def tell_local_time() -> None:
    """Say how far local time is from UTC, now and whenever that changes."""

    def follow() -> None:
        said = ""
        while True:
            now = time.strftime("%Z %z", time.localtime())
            if now != said:
                said = now
                sys.stdout.write(f"local time {now}\n")
                sys.stdout.flush()
            time.sleep(0.1)

    threading.Thread(target=follow, name="local time", daemon=True).start()


def main(arguments: list[str]) -> None:
    """Run the role until a signal or a failure."""
    if arguments:
        shift(Path(arguments[0]))
    tell_local_time()
    logging.basicConfig(level=logging.WARNING)
    from cartwake import roles, settings  # noqa: PLC0415 - not before the clock is wrong

    roles.run((*arguments[1:], "streams")[0], settings.load(file=Path("no file")))


if __name__ == "__main__":
    main(sys.argv[1:])
