"""Ends a process that no longer moves, so that whoever started it starts it again.

A client that silently stops (aiokafka #175, #640), a loop that is blocked, a commit that never returns: from outside
all of them look like a worker that is alive. A thread of its own looks at when each of them last moved.
"""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

log = logging.getLogger(__name__)

EXIT_CODE: Final = 70  # EX_SOFTWARE of sysexits.h


def end(reason: str) -> None:
    """Say why and where everything stood, and leave without asking anybody."""
    log.critical("%s", reason)
    faulthandler.dump_traceback(file=sys.stderr)
    sys.stderr.flush()
    os._exit(EXIT_CODE)


class Watchdog:
    """Looks at `moved`, which gives what must move and when it last did (monotonic seconds)."""

    def __init__(
        self, moved: Callable[[], Mapping[str, float]], limit_s: float, act: Callable[[str], None] = end
    ) -> None:
        self._moved, self._limit, self._act = moved, limit_s, act
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _watch(self) -> None:
        pause = self._limit / 6
        looked = time.monotonic()
        while not self._stopped.wait(pause):
            now = time.monotonic()
            overslept, looked = now - looked > 2 * pause, now
            if overslept:
                continue  # the whole process was stopped: what stands still had no chance to move
            still = {what: now - at for what, at in self._moved().items() if now - at > self._limit}
            if still:
                said = ", ".join(f"{what} for {seconds:.0f} s" for what, seconds in still.items())
                self._act(f"nothing moves: {said}. This process ends; what was not committed will be read again")
                return
