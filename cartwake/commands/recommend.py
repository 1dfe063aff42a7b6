"""`cartwake recommend`: find out what is bought together, and tell every role."""

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from cartwake import settings as settings_file
from cartwake.errors import SinkUnavailable, Unavailable

if TYPE_CHECKING:
    import threading

    from cartwake.publish import Publisher
    from cartwake.settings import Settings
    from sinks.clickhouse import ClickHouse

_AGAIN: timedelta = timedelta(minutes=10)


@click.command("recommend")
@click.option("--shop", default="", help="one shop; all that sold something when not given")
@click.option("--daily", type=click.DateTime(formats=["%H:%M"]), help="stay, and do it every day at this time, UTC")
def command(shop: str, daily: datetime | None) -> None:
    """Find for every product up to four that were bought with it in the last 90 days, and publish them.

    Reminders whose step says `products` show them. A line of JSON for each shop says what was found.
    """
    import threading

    from cartwake import jobs
    from cartwake.broker import ensure_topics
    from cartwake.publish import Publisher
    from cartwake.roles import stop_on_signals
    from local.stack import embedded
    from sinks.migrate import migrate_settings

    configured = settings_file.load()
    with embedded(configured, kafka=True, clickhouse=True, say=_say) as settings:
        # what stays waits for its parts as a role does
        ensure_topics(settings, say=_say, patience=5 if daily is None else None)
        stop = threading.Event() if daily is None else stop_on_signals()
        try:
            store = _store(settings, None if daily is None else stop)
        except SinkUnavailable:
            if stop.is_set():
                return
            raise
        with store, Publisher(settings) as publisher:
            if not configured.clickhouse_dsn:
                migrate_settings(store, settings)  # this machine's own may be new
            if daily is None:
                refresh(store, publisher, shop)
                return
            due = next_time(datetime.now(UTC), daily)
            while not jobs.rest(settings, jobs.RECOMMEND, due.timestamp(), stop):
                try:
                    refresh(store, publisher, shop)
                    due = next_time(datetime.now(UTC), daily)
                except Unavailable as exc:
                    due = datetime.now(UTC) + _AGAIN
                    _say(f"{exc}; next try at {due:%H:%M} UTC")


def _store(settings: "Settings", stop: "threading.Event | None") -> "ClickHouse":
    """ClickHouse; with `stop` it is waited for until that is set. Raises SinkUnavailable."""
    from sinks.clickhouse import ClickHouse

    if stop is None:
        return ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database)
    return ClickHouse.connect(settings.clickhouse_dsn, settings.clickhouse_database, stop=stop, say=_say)


def refresh(store: "ClickHouse", publisher: "Publisher", shop: str = "") -> None:
    """Find and publish for one shop or all of them, saying so; what has not changed is not published again."""
    from cartwake.clock import SystemClock
    from sinks import companions as bought

    now = SystemClock().now_ms()
    for shop_id in [shop] if shop else bought.shops_of(store, until=now):
        _say_json(publish(store, publisher, shop_id, now=now))


def publish(store: "ClickHouse", publisher: "Publisher", shop_id: str, *, now: int) -> dict[str, Any]:
    """Publish what one shop's customers buy together, unless that is known; returns the figures."""
    import msgspec

    from cartwake.companions import NAME, Companions, gather
    from cartwake.model import Setting, encode
    from cartwake.topics import SETTINGS
    from sinks import companions as bought

    key = f"{shop_id}/{NAME}"
    found = gather((pair.sku, pair.other) for pair in bought.pairs(store, shop_id, until=now))
    known = bought.published(store, key)
    changed = found != (Companions() if known is None else msgspec.json.decode(known, type=Companions))
    value = encode(Setting(shop_id=shop_id, name=NAME, value=msgspec.to_builtins(found)))
    if changed:
        publisher.send_and_wait(SETTINGS, key, value if found.of else None)
    return {"shop": shop_id, "products": len(found.of), "bytes": len(value), "published": changed}


def next_time(now: datetime, at: datetime) -> datetime:
    """The next moment after `now` (UTC) at which the clock shows the time of `at`."""
    due = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return due if due > now else due + timedelta(days=1)


def _say(words: str) -> None:
    click.echo(words, err=True)


def _say_json(figures: dict[str, Any]) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    sys.stdout.flush()
