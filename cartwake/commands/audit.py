"""`cartwake audit`: proves that plans add up to abandonments, and names each that does not."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

import click

from cartwake import settings as settings_file

if TYPE_CHECKING:
    from sinks.audit import Audit

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("audit")
@click.option("--from", "from_", type=_DAY, help="first day, UTC; 30 days before the last when not given")
@click.option("--to", type=_DAY, help="last day, UTC, included; today when not given")
@click.option("--shop", default="", help="one shop; all of them when not given")
@click.option("--json", "as_json", is_flag=True, help="one JSON object")
def command(from_: datetime | None, to: datetime | None, shop: str, as_json: bool) -> None:
    """Show how the plans about carts left on these days ended, and what does not add up: the exit code is then 1."""
    import msgspec

    from cartwake.clock import SystemClock
    from local.stack import embedded
    from sinks.audit import audit
    from sinks.clickhouse import ClickHouse
    from sinks.migrate import migrate_settings

    last = (to or datetime.now(UTC)).date()
    first = from_.date() if from_ else last - timedelta(days=30)
    configured = settings_file.load()
    with (
        embedded(configured, clickhouse=True, say=lambda words: click.echo(words, err=True)) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        if not configured.clickhouse_dsn:
            migrate_settings(store, settings)  # this machine's own may be new
        found = audit(store, from_=first, to=last, now=SystemClock().now_ms(), shop=shop)
    if as_json:
        said = {"from": first, "to": last, "shop": shop, "plans": found.plans} | asdict(found)
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(found))
    sys.stdout.flush()
    if found.wrong:
        sys.exit(1)


def _lines(found: "Audit") -> list[str]:
    lines = [
        _line("abandonments", found.abandonments),
        _line("  with a person", found.with_a_person),
        _line("  with a plan", found.with_a_plan),
        _line("plans", found.plans),
    ]
    for standing, sums in groupby(found.sums, lambda x: x.standing):
        parts = list(sums)
        lines.append(_line(f"  {standing}", sum(x.plans for x in parts)))
        lines += [_line(f"    {_plain(x.reason)}", x.plans) for x in parts if x.reason]
    lines.append(_line("does not add up", len(found.wrong)))
    lines += [f"  {x.check}  {_plain(x.shop_id)}  {_plain(x.id)}  {_plain(x.words)}" for x in found.wrong]
    return lines


def _line(name: str, n: int) -> str:
    return f"{name:<40}{n:>10}"


def _plain(text: str) -> str:
    """Strangers wrote it: nothing in it may steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
