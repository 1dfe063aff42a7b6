"""`cartwake erase EMAIL|SUBSCRIBER_ID`: forget a person at one shop, in the stages and in ClickHouse."""

import sys
import uuid

import click

from cartwake import settings as settings_file


@click.command("erase")
@click.argument("person")
@click.option("--shop", default="main", show_default=True, help="the shop that the person asked")
@click.option("--dry-run", is_flag=True, help="erase nothing; say how much there is")
@click.option("--yes", is_flag=True, help="do not ask on a terminal")
def command(person: str, shop: str, dry_run: bool, yes: bool) -> None:
    """Erase PERSON, an e-mail address or a subscriber_id: what the stages remember, and every row in ClickHouse.

    Nobody is written to at that address again. Repeating it is safe.
    """
    from cartwake.broker import ensure_topics
    from cartwake.clock import SystemClock, to_datetime
    from cartwake.model import SubscriberEvent, encode
    from cartwake.publish import Publisher
    from cartwake.topics import SUBSCRIBER_EVENTS
    from local.stack import embedded
    from sinks import erase as rows
    from sinks.clickhouse import ClickHouse

    def say(words: str) -> None:
        click.echo(words, err=True)

    with (
        embedded(settings_file.load(), kafka=not dry_run, clickhouse=True, say=say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        found = rows.who(store, shop, person)
        if dry_run:
            _write(rows.count(store, found))
            say("nothing was erased")
            return
        if not yes and sys.stdin.isatty():
            total = sum(rows.count(store, found).values())
            click.confirm(f"Erase {person} at shop {shop}: {total} rows, for good?", abort=True, err=True)
        ensure_topics(settings, say=say, patience=5)
        event = SubscriberEvent(
            event_id=str(uuid.uuid4()),
            type="subscriber.erased",
            shop_id=shop,
            subscriber_id=found.subscriber_id,
            occurred_at=to_datetime(SystemClock().now_ms()),
        )
        with Publisher(settings) as publisher:
            publisher.send_and_wait(SUBSCRIBER_EVENTS, found.subscriber_id, encode(event))
        _write(rows.erase(store, found))
        say(
            f"subscriber.erased was written for {found.subscriber_id}; stage 3 forgets the person when it reads it.\n"
            "Left: records in Kafka until their retention ends, what a device remembers (180 days), your backups, "
            "and what was on its way just now: run this again in a few minutes. See docs/operations.md, Erasure"
        )


def _write(found: dict[str, int]) -> None:
    for table, n in found.items():
        sys.stdout.write(f"{table:<20}{n:>10}\n")
    sys.stdout.flush()
