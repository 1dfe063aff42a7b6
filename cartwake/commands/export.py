"""`cartwake export carts`: the list of carts that were left, as a file for a spreadsheet or another program."""

import sys
from datetime import datetime
from pathlib import Path

import click

from cartwake import settings as settings_file

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command("export")
@click.argument("what", type=click.Choice(["carts"]), expose_value=False)
@click.option("--format", "format_", type=click.Choice(["csv", "xml"]), default="csv", show_default=True)
@click.option("--columns", default="", help="names with commas between, in their order; --list names all")
@click.option(
    "--list", "show_list", is_flag=True, help="name the columns, those that are written unless told otherwise first"
)
@click.option("--from", "from_", type=_DAY, help="first day, UTC")
@click.option("--to", type=_DAY, help="last day, UTC, included")
@click.option("--shop", default="", help="one shop")
@click.option(
    "--state", type=click.Choice(["open", "reactivated", "withdrawn", "recovered"]), help="what became of them"
)
@click.option("--stage", default="", help="step of the checkout they came to")
@click.option("--search", default="", help="any part of an address, a product, or an id of cart, customer or order")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="a file; else standard output")
def command(
    format_: str,
    columns: str,
    show_list: bool,
    from_: datetime | None,
    to: datetime | None,
    shop: str,
    state: str | None,
    stage: str,
    search: str,
    output: Path | None,
) -> None:
    """Write a list to a file, as CSV that no spreadsheet takes for formulas, or XML. Memory does not grow with it."""
    from local.stack import embedded
    from sinks import export
    from sinks.clickhouse import ClickHouse

    if show_list:
        more = [name for name in export.COLUMNS if name not in export.USUAL]
        click.echo("\n".join([*export.USUAL, "", *more]))
        return
    wanted = export.Wanted(
        first=from_.date() if from_ else None,
        last=to.date() if to else None,
        shop=shop,
        state=state or "",
        stage=stage,
        search=search,
    )
    names = [name.strip() for name in columns.split(",") if name.strip()] or export.USUAL
    configured = settings_file.load()
    with (
        embedded(configured, clickhouse=True, say=lambda words: click.echo(words, err=True)) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        pieces = export.carts(store, wanted, format_=format_, columns=names)
        if output is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        with output.open("wb") as file:
            file.writelines(pieces)
