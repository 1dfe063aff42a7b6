"""`cartwake export-person EMAIL|SUBSCRIBER_ID`: all that is known of a person at one shop, as one JSON document."""

import json
import sys
from typing import Any

import click

from cartwake import settings as settings_file


@click.command("export-person")
@click.argument("person")
@click.option("--shop", default="main", show_default=True, help="the shop that the person asked")
def command(person: str, shop: str) -> None:
    """Write every record about PERSON, an e-mail address or a subscriber_id, by every id of the person, as JSON.

    The rows are those that `cartwake erase` would remove. What is on its way into ClickHouse is not among them yet.
    """
    from cartwake.clock import SystemClock, rfc3339
    from local.stack import embedded
    from sinks import erase
    from sinks.clickhouse import ClickHouse

    with (
        embedded(settings_file.load(), clickhouse=True, say=_say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        who = erase.who(store, shop, person)
        found = erase.read(store, who)
    document = {
        "shop": shop,
        "exported_at": rfc3339(SystemClock().now_ms()),
        "person": {
            "emails": who.emails,
            "subscriber_ids": who.persons,
            "own_ids": who.aliases,
            "phones": who.phones,
            "browsers": who.browsers,
        },
        "records": {table: [_shown(row) for row in rows] for table, rows in found.items()},
    }
    # ASCII alone: strangers wrote it, and nothing in it may steer a terminal
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    sys.stdout.flush()
    _say(f"{sum(map(len, found.values()))} records of {len(found)} tables")


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    from cartwake.clock import rfc3339, to_ms

    shown = row | {"received_at": rfc3339(to_ms(row["received_at"]))}
    if "raw" in shown:
        shown["record"] = _object(shown.pop("raw"))
    return shown


def _object(raw: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def _say(words: str) -> None:
    click.echo(words, err=True)
