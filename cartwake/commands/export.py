"""`cartwake export LIST`: a list of `sql/export` as a file for a spreadsheet or another program."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click

from cartwake import settings as settings_file

_DAY = click.DateTime(["%Y-%m-%d"])


class Lists(click.Group):
    """Has a command for each list, made from what the head of its file says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all lists."""
        from sinks import lists

        return lists.names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The command of this list; raises ConfigurationError naming those that are near when there is none."""
        from sinks import lists

        listed = lists.load(cmd_name)
        options = [
            click.Option(["--format", "format_"], type=click.Choice(["csv", "xml"]), default="csv", show_default=True),
            click.Option(["--columns"], default="", help="names with commas between, in their order; --list names all"),
            click.Option(["--list", "show_list"], is_flag=True, help="name the columns, the usual ones first"),
            click.Option(["--from", "from_"], type=_DAY, help="first day, UTC"),
            click.Option(["--to"], type=_DAY, help="last day, UTC, included"),
            click.Option(["--shop"], default="", help="one shop"),
            *(
                click.Option([f"--{x.name}"], type=click.Choice(x.choices) if x.choices else str, help=x.words)
                for x in listed.filters
            ),
            click.Option(
                ["--output"], type=click.Path(path_type=Path, dir_okay=False), help="a file; else standard output"
            ),
        ]
        words = f"Write {listed.title}, to a file: CSV that no spreadsheet takes for formulas, or XML."
        return click.Command(
            cmd_name, callback=partial(_write, cmd_name), params=[*options], help=words, short_help=listed.title
        )


@click.group("export", cls=Lists)
def command() -> None:
    """Write a list to a file, as CSV or XML. Memory does not grow with it."""


def _write(
    name: str,
    *,
    format_: str,
    columns: str,
    show_list: bool,
    from_: datetime | None,
    to: datetime | None,
    shop: str,
    output: Path | None,
    **filters: Any,
) -> None:
    from local.stack import embedded
    from sinks import export, lists
    from sinks.clickhouse import ClickHouse

    if show_list:
        listed = lists.load(name)
        click.echo("\n".join([*listed.usual, "", *(x for x in listed.columns if x not in listed.usual)]))
        return
    wanted = export.Wanted(
        first=from_.date() if from_ else None,
        last=to.date() if to else None,
        shop=shop,
        filters={key: value or "" for key, value in filters.items()},
    )
    names = [x.strip() for x in columns.split(",") if x.strip()]
    configured = settings_file.load()
    with (
        embedded(configured, clickhouse=True, say=lambda words: click.echo(words, err=True)) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        pieces = export.pieces(store, name, wanted, format_=format_, columns=names)
        with _opened(output) as file:
            file.writelines(pieces)
            file.flush()


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """Where the file goes. One that exists is replaced when all of the new one is there."""
    if output is None:
        yield sys.stdout.buffer
    elif output.exists() and not output.is_file():  # a pipe, a device
        with output.open("wb") as file:
            yield file
    else:
        part = output.with_name(f"{output.name}.part")
        try:
            with part.open("wb") as file:
                yield file
            part.replace(output)
        except OSError as exc:
            raise click.FileError(str(output), exc.strerror) from exc
        finally:
            part.unlink(missing_ok=True)
