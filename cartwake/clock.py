"""Time at the edge: rules take it as an argument, tests advance a fake."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol

DAY_MS: Final = 86_400_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = [f":{n:02d}" for n in range(60)]
_MILLI: Final = [f".{n:03d}Z" for n in range(1000)]
_ROUNDING: Final = EPOCH - timedelta(microseconds=500)


class Clock(Protocol):
    """Says what time it is."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        return self._now_ms

    def advance(self, ms: int) -> None:
        """Move `ms` milliseconds ahead."""
        self._now_ms += ms


def to_datetime(ms: int) -> datetime:
    """Aware UTC datetime of epoch milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware datetime."""
    since = moment - _ROUNDING
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def rfc3339(ms: int) -> str:
    """`2026-11-23T10:15:00.120Z` of epoch milliseconds (RFC 3339, UTC, milliseconds)."""
    minute, rest = divmod(ms, 60_000)
    second, milli = divmod(rest, 1000)
    return _minute(minute) + _SECOND[second] + _MILLI[milli]


@lru_cache(maxsize=4096)
def _minute(number: int) -> str:
    """`2026-11-23T10:15` of a count of minutes since the epoch."""
    return (EPOCH + timedelta(minutes=number)).isoformat()[:16]
