"""`cartwake lab`: what changed rules would have done with the retained events, beside what the rules do as they are."""

import json
import sys
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cartwake import settings as settings_file

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_PATIENCE_S = 600.0  # the engine sorts everything before it says the first row


@click.command("lab")
@click.option("--from", "from_", type=_DAY, help="first day, UTC; 30 days before the last when not given")
@click.option("--to", type=_DAY, help="last day, UTC, included; today when not given")
@click.option("--shop", default="", help="one shop; all of them when not given")
@click.option(
    "--set", "changes", multiple=True, metavar="RULE=VALUE", help="idle=45m, reminders.cap=2, steps.1.after=2h"
)
@click.option("--list", "side", type=click.Choice(["only-old", "only-new"]), help="name the carts instead")
@click.option("--show-addresses", is_flag=True, help="do not mask addresses in the list")
@click.option("--json", "as_json", is_flag=True, help="write JSON; with --list one object a line")
def command(
    from_: datetime | None,
    to: datetime | None,
    shop: str,
    changes: tuple[str, ...],
    side: str | None,
    show_addresses: bool,
    as_json: bool,
) -> None:
    """Try rules on the past: who would have been written to, what changes, who bought anyway.

    Sends nothing, writes nothing, and needs ClickHouse alone.
    """
    import asyncio

    from cartwake.lab import words
    from cartwake.lab.account import Account
    from cartwake.lab.changes import read
    from cartwake.lab.trial import run
    from local.stack import embedded
    from sinks.clickhouse import ClickHouse

    asked = [read(change) for change in changes]  # what is wrong is said before anything is started
    last = (to or datetime.now(UTC)).date()
    first = from_.date() if from_ else last - timedelta(days=30)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with (
        embedded(settings_file.load(), clickhouse=True, say=console.print) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database, timeout_s=_PATIENCE_S) as store,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        task = progress.add_task("events", total=None)
        trial = asyncio.run(
            run(
                store, settings, asked, begin=first, end=last, shop=shop,
                on_progress=lambda done, all_: progress.update(task, completed=done, total=all_),
            )
        )  # fmt: skip
    account = Account(trial)
    if side is not None:
        rows = account.listed("only-old" if side == "only-old" else "only-new", show_addresses=show_addresses)
        lines = map(json.dumps, rows) if as_json else words.listed(rows)
    else:
        figures = account.figures()
        lines = iter([json.dumps(figures)]) if as_json else words.told(figures)
    sys.stdout.flush()
    out = click.get_binary_stream("stdout")
    for line in lines:
        out.write(line.encode() + b"\n")  # UTF-8 whatever the locale says
    out.flush()
