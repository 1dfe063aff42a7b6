"""Spans of time as people write them in settings: `90s`, `45m`, `2h`, `30d`."""

import re
from datetime import timedelta
from functools import lru_cache
from typing import Final

from cartwake.errors import ConfigurationError

LONGEST: Final = timedelta(days=3650)
_DURATION = re.compile(r"([0-9]{1,12})\s*([smhd])")
_UNIT: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """`text` as a timedelta, ten years at most; raises ConfigurationError otherwise."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no duration. Examples: 45m, 2h, 30d")
    try:
        found = timedelta(**{_UNIT[match[2]]: int(match[1])})
    except OverflowError:
        found = timedelta.max
    if found > LONGEST:
        raise ConfigurationError(f"{text!r} is too long: at most {LONGEST.days}d. Examples: 45m, 2h, 30d")
    return found


@lru_cache(maxsize=4096)  # asked for with each plan
def duration_ms(text: str) -> int:
    """`text` in milliseconds; raises ConfigurationError."""
    return duration(text) // timedelta(milliseconds=1)
