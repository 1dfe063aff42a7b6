"""`cartwake erase EMAIL|SUBSCRIBER_ID`: forget a person at one shop, in the stages and in ClickHouse."""

import json
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import click

from cartwake import settings as settings_file
from cartwake.clock import DAY_MS
from cartwake.settings import Settings

if TYPE_CHECKING:
    from sinks.erase import Who

_CARTS_DAYS: Final = 90  # stage 1 forgets a cart so long after its last activity
_DEVICES_DAYS: Final = 180  # stage 2 a device
_WEEK_DAYS: Final = 7  # ClickHouse lets go of a week as a whole
#: Topics that hold no person.
_NOBODY_S: Final = frozenset({"settings", "offer-codes"})


@dataclass(frozen=True, slots=True)
class Rest:
    """What an erasure does not reach: where it lies, and until when."""

    where: str
    until: str


@click.command("erase")
@click.argument("person")
@click.option("--shop", default="main", show_default=True, help="the shop that the person asked")
@click.option("--dry-run", is_flag=True, help="erase nothing; say how much there is")
@click.option("--yes", is_flag=True, help="do not ask on a terminal")
@click.option("--json", "as_json", is_flag=True, help="the report as one JSON object")
def command(person: str, shop: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Erase PERSON, an e-mail address or a subscriber_id: what the stages remember, and every row in ClickHouse.

    Reports what was removed, and what remains until when. Nobody is written to at that address again. Repeating it is
    safe. `cartwake export-person` writes down what is known before.
    """
    from cartwake.broker import ensure_topics
    from cartwake.clock import SystemClock, rfc3339, to_datetime
    from cartwake.model import SubscriberEvent, encode
    from cartwake.publish import Publisher
    from cartwake.topics import SUBSCRIBER_EVENTS
    from local.stack import embedded
    from sinks import erase as rows
    from sinks.clickhouse import ClickHouse
    from sinks.migrate import Schema
    from sinks.retention import Retention

    with (
        embedded(settings_file.load(), kafka=not dry_run, clickhouse=True, say=_say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        found = rows.who(store, shop, person)
        if dry_run:
            _write(rows.count(store, found), as_json)
            _say("nothing was erased")
            return
        if not yes and sys.stdin.isatty():
            total = sum(rows.count(store, found).values())
            click.confirm(f"Erase {person} at shop {shop}: {total} rows, for good?", abort=True, err=True)
        ensure_topics(settings, say=_say, patience=5)
        now = SystemClock().now_ms()
        event = SubscriberEvent(
            event_id=str(uuid.uuid4()),
            type="subscriber.erased",
            shop_id=shop,
            subscriber_id=found.subscriber_id,
            occurred_at=to_datetime(now),
        )
        with Publisher(settings) as publisher:
            publisher.send_and_wait(SUBSCRIBER_EVENTS, found.subscriber_id, encode(event))
        removed = rows.erase(store, found)
        late = max(
            (x.days for x, _ in Schema(store, Retention.of(settings)).retained()), default=settings.retention_days
        )
        kept = suppressed(settings, found)
        rest = remains(settings, now, late)
    about = {"shop": shop, "erased_at": rfc3339(now), "event_id": event.event_id, "suppressed_as": kept}
    _write(removed, as_json, about=about, rest=rest)
    _say(
        f"subscriber.erased was written for {found.subscriber_id}; stage 3 forgets the person when it reads it.\n"
        "What was on its way just now is not erased: run this again in a few minutes. See docs/operations.md, Erasure"
    )


def suppressed(settings: Settings, person: "Who") -> list[str]:
    """The keyed hashes by which stage 3 remembers not to write to this person; they say nothing by themselves."""
    from cartwake.secret import secret_of
    from reminders.links import Links

    links = Links(settings.collector_url, secret_of(settings))
    return [links.tombstone((person.shop_id, x))[1] for x in person.persons]


def remains(settings: Settings, now: int, kept_days: int) -> list[Rest]:
    """What an erasure `now` (epoch ms) leaves behind, and until when; raises KafkaUnavailable.

    `kept_days` is the longest that a table of ClickHouse keeps what comes after it.
    """
    from cartwake.clock import rfc3339
    from cartwake.commands.topics import look

    def day(ms: int) -> str:
        return rfc3339(now + ms)[:10]

    rest = []
    for topic in look(settings):
        if topic.name.removeprefix(settings.topic_prefix) in _NOBODY_S:
            continue
        ms = int(topic.retention or -1)
        until = day(ms) if ms >= 0 else "for ever: set retention.ms of the topic"
        rest.append(Rest(f"records in {topic.name}", until))
    return [
        *rest,
        Rest("rows on their way to ClickHouse, unless this is run again", day((kept_days + _WEEK_DAYS) * DAY_MS)),
        Rest("stage 1: carts, with an address typed in them", day(_CARTS_DAYS * DAY_MS)),
        Rest("stage 2: devices the person was seen on", day(_DEVICES_DAYS * DAY_MS)),
        Rest("stage 3: the keyed hash that keeps the person from being written to", "for ever"),
        Rest("backups, logs, mail server, providers of SMS and push", "yours to say"),
    ]


def _write(
    removed: dict[str, int], as_json: bool, *, about: Mapping[str, object] | None = None, rest: list[Rest] | None = None
) -> None:
    if as_json:
        said = {**(about or {}), "removed" if about else "found": removed}
        if rest is not None:
            said["remains"] = [asdict(x) for x in rest]
        sys.stdout.write(json.dumps(said) + "\n")
    else:
        for table, n in removed.items():
            sys.stdout.write(f"{table:<20}{n:>10}\n")
        if rest is not None:
            sys.stdout.write("\nWhat remains, at most until\n")
            sys.stdout.writelines(f"{x.where:<70}{x.until}\n" for x in rest)
    sys.stdout.flush()


def _say(words: str) -> None:
    click.echo(words, err=True)
