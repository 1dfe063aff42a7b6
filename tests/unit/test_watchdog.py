"""What stands still ends the process; what was stopped with everything else does not."""

import threading
import time

import pytest

from streams.runtime.watchdog import Watchdog


def watched(moved: dict[str, float], limit: float = 0.3) -> tuple[Watchdog, threading.Event, list[str]]:
    ended, said = threading.Event(), list[str]()

    def act(reason: str) -> None:
        said.append(reason)
        ended.set()

    watchdog = Watchdog(lambda: moved, limit, act)
    watchdog.start()
    return watchdog, ended, said


@pytest.mark.parametrize("what", ["loop", "fetch", "fold", "commit"])
def test_whatever_stands_still_is_named(what: str) -> None:
    moved = dict.fromkeys(("loop", "fetch", "fold", "commit"), time.monotonic() + 100)
    moved[what] = time.monotonic()
    _, ended, said = watched(moved)
    assert ended.wait(60)
    assert f"nothing moves: {what} for" in said[0]


def test_what_moves_lives_on() -> None:
    moved = {"loop": time.monotonic() + 100}
    watchdog, ended, _ = watched(moved)
    assert not ended.wait(1)
    watchdog.stop()


def test_nothing_that_must_move_is_no_standstill() -> None:
    watchdog, ended, _ = watched({})
    assert not ended.wait(1)
    watchdog.stop()
