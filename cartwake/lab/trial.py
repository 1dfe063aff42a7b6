"""One pass over the retained events, heard by two worlds: one with the rules as they are, one as they would be.

All that is retained is read, because carts, consent and orders from before the window decide within it, and what came
after it says who bought. Counted is what was left within the window. Time goes on to the last arrival that is known:
so it does not depend on when the trial is run, and what was not due by then stays open.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

import sql
from cartwake import topics
from cartwake.clock import to_ms
from cartwake.errors import ConfigurationError
from cartwake.lab.changes import Change, Changed, apply
from cartwake.lab.recording import recording
from cartwake.lab.tally import Tally
from cartwake.lab.world import World
from cartwake.model import Setting
from cartwake.settings import Settings
from cartwake.shops import Shops
from sinks.clickhouse import ClickHouse

log = logging.getLogger(__name__)

_SOURCES: Final = tuple(
    topic.name for topic in (topics.SUBSCRIBER_EVENTS, topics.DEVICE_EVENTS, topics.ORDER_EVENTS, topics.CART_EVENTS)
)
_SAY_EVERY: Final = 5_000
_LAST: Final = date(2299, 12, 30)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it. `first` and `last` bound what is retained."""

    begin: date
    end: date
    shop: str
    records: int
    seconds: float
    first: datetime
    last: datetime
    changed: tuple[Changed, ...]
    before: Tally
    after: Tally
    shops: Shops  # with the rules as they are


async def run(
    store: ClickHouse,
    settings: Settings,
    changes: Sequence[Change],
    *,
    begin: date,
    end: date,
    shop: str = "",
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Trial:
    """Try `changes` on what was left on the days `begin` … `end`, both included, UTC; of one shop, or all.

    `on_progress` is told how many records of how many are done. Raises ConfigurationError when there is nothing to try
    them on, or when they can't be.
    """
    _check(begin, end)
    [extent] = store.query(sql.read("lab/extent.sql"), {"shop": shop})
    first, last = extent["first"], extent["last"]
    if not extent["records"] or not first.date() <= end or not begin <= last.date():
        there = f"there are events from {first.date()} to {last.date()}" if extent["records"] else "there are none"
        whose = f" of shop {shop!r}" if shop else ""
        raise ConfigurationError(f"no events{whose} are retained from --from {begin} to --to {end}; {there}")
    was, would = _shops(store, extent["shops"]), _shops(store, extent["shops"])
    changed = apply(changes, would, extent["shops"])
    bounds = [to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC)) for day in (begin, end + timedelta(days=1))]
    sides: list[tuple[World, Tally]] = []
    for shops in (was, would):
        tally = Tally(bounds[0], bounds[1])
        world = World(shops, recording(settings, shops), partitions=extent["partitions"], listen=tally.listen)
        sides.append((world, tally))
    began, done = time.monotonic(), 0
    for row in store.stream(sql.read("lab/events.sql"), {"shop": shop}):
        topic, partition, value = _SOURCES[row["source"]], row["kafka_partition"], row["raw"].encode()
        for world, tally in sides:
            if topic == topics.SUBSCRIBER_EVENTS.name:
                tally.person(value)
            await world.hear(topic, partition, value, at=row["clock"], received=row["received"])
        done += 1
        if done % _SAY_EVERY == 0:
            on_progress(done, extent["records"])
    for world, _ in sides:
        await world.reach(to_ms(extent["known"]))
    return Trial(
        begin=begin, end=end, shop=shop, records=done, seconds=time.monotonic() - began, first=first, last=last,
        changed=tuple(changed), before=sides[0][1], after=sides[1][1], shops=was,
    )  # fmt: skip


def _check(begin: date, end: date) -> None:
    if end < begin:
        raise ConfigurationError(f"--to {end} is before --from {begin}; for one day give it twice")
    if end > _LAST:
        raise ConfigurationError(f"--to must be a day before {_LAST}. Example: --to 2026-11-30")


def _shops(store: ClickHouse, names: Sequence[str]) -> Shops:
    """What shops have set, as it is now and as if it had been so all the time."""
    shops = Shops()
    for row in store.query(sql.read("lab/settings.sql")):
        try:
            value = msgspec.json.decode(row["value"].encode())
            shops.apply(Setting(shop_id=row["shop_id"], name=row["name"], value=value))
        except (msgspec.DecodeError, ConfigurationError) as exc:  # as every role does that follows the topic
            log.warning("setting %s/%s is wrong and has been ignored: %s", row["shop_id"], row["name"], exc)
    for name in names:
        rules = shops.of(name).reminders
        if rules.enabled_at is not None:
            value = msgspec.to_builtins(rules) | {"enabled_at": None}
            shops.apply(Setting(shop_id=name, name="reminders", value=value))
    return shops
