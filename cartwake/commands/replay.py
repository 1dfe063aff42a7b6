"""`cartwake replay FILE…`: what would have been abandoned, through the real Kafka and the real stages."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cartwake import settings as settings_file

_SHOWN = 20


@click.command("replay")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", "file_format", default="cartwake", show_default=True, help="cartwake or rees46")
@click.option("--shop", default="main", show_default=True, help="the shop of events that name none")
@click.option("--json", "as_json", is_flag=True, help="end with one line of JSON")
def command(files: tuple[Path, ...], file_format: str, shop: str, as_json: bool) -> None:
    """Send FILES through the pipeline on event time; several are taken in calendar order. Sends no mail."""
    from cartwake.rehearsal import rehearse
    from ingest.replay import calendar_order
    from local.stack import embedded

    console = Console(stderr=True)
    settings = settings_file.load()
    ordered = calendar_order(files, file_format)
    refused = 0

    def on_rejected(path: Path, number: int, reason: str) -> None:
        nonlocal refused
        refused += 1
        if refused <= _SHOWN:
            console.print(f"[yellow]{path.name}:{number}[/] rejected: {reason}", highlight=False, markup=True)
        elif refused == _SHOWN + 1:
            console.print("[yellow]more lines are rejected; the count follows[/]")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} lines"),
        TimeElapsedColumn(),
    )
    with embedded(settings, kafka=True, say=console.print) as running, Progress(*columns, console=console) as progress:
        task = progress.add_task("replay", total=None)
        figures = rehearse(
            running,
            ordered,
            format=file_format,
            shop_id=shop,
            on_progress=lambda lines: progress.update(task, completed=lines),
            on_rejected=on_rejected,
        )
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    for name, figure in figures.items():
        sys.stdout.write(f"{name.replace('_', ' '):<20}{figure:>16}\n")
