"""Waiting for what other processes do: until it is so, and never for ever."""

import time
from collections.abc import Callable
from typing import Any


class Late(AssertionError):
    """Something did not happen in time."""


def until(condition: Callable[[], Any], what: str = "", within: float = 180, pause: float = 0.05) -> Any:
    """What `condition` returns once that is true; raises Late, naming `what`, after `within` seconds."""
    end = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > end:
            raise Late(f"not within {within:g} s: {what or condition}")
        time.sleep(pause)
    return found
