"""Whether a shop's orders still flow. Pure.

A purchase that was not heard of is a reminder too many, so sends wait while orders are missing. Orders come by chance,
at a rate that depends on the hour of the day: where `MISSED` of them should have come since the last one and none has,
chance is no explanation (e^-12 is one in 160,000). An hour's rate is the mean of that hour on the days before, three at
least and seven at most. Time is when orders were placed, so a stream that lags is a stream that has stopped.
"""

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from reminders.person import Rhythm

HOUR_MS: Final = timedelta(hours=1) // timedelta(milliseconds=1)
DAYS: Final = 7
LEAST_DAYS: Final = 3
MISSED: Final = 12


def heard(rhythm: Rhythm, at: int) -> Rhythm:
    """The rhythm with an order placed `at` (epoch ms)."""
    hour = at // HOUR_MS
    newest = max(rhythm.last_at, at)
    oldest = newest // HOUR_MS - (DAYS + 1) * 24
    hours = {known: n for known, n in rhythm.hours.items() if known >= oldest}
    if hour >= oldest:
        hours[hour] = hours.get(hour, 0) + 1
    return replace(rhythm, hours=hours, last_at=newest)


def flows(rhythm: Rhythm, now: int) -> bool:
    """Whether silence since the last order is no more than chance. Without days of history nobody can tell: yes."""
    return missed(rhythm, now) < MISSED


def missed(rhythm: Rhythm, now: int) -> float:
    """How many orders should have come between the last one and `now`."""
    if rhythm.last_at < 0 or now <= rhythm.last_at:
        return 0.0
    first = min(rhythm.hours, default=0)
    expected, at = 0.0, rhythm.last_at
    until = min(now, rhythm.last_at + DAYS * 24 * HOUR_MS)
    while at < until:
        end = min((at // HOUR_MS + 1) * HOUR_MS, until)
        expected += _rate(rhythm, at // HOUR_MS, first) * (end - at) / HOUR_MS
        at = end
    return expected


def _rate(rhythm: Rhythm, hour: int, first: int) -> float:
    """Orders to expect in an hour: the mean of the same hour on the days before for which anything is known."""
    last = rhythm.last_at // HOUR_MS
    before = [h for day in range(1, 2 * DAYS + 1) if first < (h := hour - 24 * day) < last][:DAYS]
    return sum(rhythm.hours.get(h, 0) for h in before) / len(before) if len(before) >= LEAST_DAYS else 0.0
