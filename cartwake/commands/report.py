"""`cartwake report NAME`: a report of sql/reports as a table, a chart, CSV, XML, JSON, Parquet, SVG or PNG."""

import io
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from cartwake import settings as settings_file
from cartwake.clock import to_ms

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("report")
@click.argument("name", required=False)
@click.option("--list", "show_list", is_flag=True, help="list the reports, what they say and what they ask for")
@click.option("--from", "from_", type=_DAY, help="first day, UTC; 30 days before the last when not given")
@click.option("--to", type=_DAY, help="last day, UTC, included; today when not given")
@click.option("--shop", default="", help="one shop; all of them when not given")
@click.option("--by", help="what makes a row, of reports that ask for it")
@click.option("--top", type=int, help="at most so many rows, of reports that ask for it")
@click.option("--window", type=int, help="days, of reports that ask for it")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "xml", "json", "parquet", "chart", "svg", "png"]),
    default="table",
    show_default=True,
    help="how to write it",
)
@click.option("--chart", is_flag=True, help="the same as --format chart")
@click.option("--dark", is_flag=True, help="a PNG for dark pages; an SVG does as its reader likes")
def command(
    name: str | None,
    show_list: bool,
    from_: datetime | None,
    to: datetime | None,
    shop: str,
    by: str | None,
    top: int | None,
    window: int | None,
    format_: str,
    chart: bool,
    dark: bool,
) -> None:
    """Write the report NAME to standard output."""
    from local.stack import embedded
    from sinks import formats, reports
    from sinks.clickhouse import ClickHouse
    from sinks.migrate import migrate_settings

    if show_list or name is None:
        if not show_list:
            click.echo("Which report? cartwake report NAME; there are:", err=True)
        for known in reports.names():
            sys.stdout.write(_said(reports.load(known)))
        sys.exit(0 if show_list else 2)
    if chart and format_ == "table":
        format_ = "chart"
    now = datetime.now(UTC)
    last = (to or now).date()
    days: dict[str, Any] = {"from_": from_.date() if from_ else last - timedelta(days=30), "to": last}
    days["choices"] = {k: v for k, v in {"by": by, "top": top, "window": window}.items() if v is not None}
    definition = reports.load(name)  # what is wrong is said before anything is started
    reports.check(definition, **days)
    if format_ in formats.DRAWN:
        formats.check_chart(definition)
    if format_ in formats.BINARY and sys.stdout.isatty():
        raise click.UsageError(f"{format_} is not for a terminal; write it to a file: … > {name}.{format_}")
    configured = settings_file.load()
    with (
        embedded(configured, clickhouse=True, say=lambda words: click.echo(words, err=True)) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        if not configured.clickhouse_dsn:
            migrate_settings(store, settings)  # this machine's own may be new
        asked = days | {"shop": shop, "now": to_ms(now)}
        if format_ == "parquet":
            click.get_binary_stream("stdout").write(reports.parquet(store, name, **asked))
            return
        report = reports.run(store, name, **asked)
    if format_ == "png":
        click.get_binary_stream("stdout").write(formats.drawn(report, "dark" if dark else "light"))
        return
    if sys.stdout.isatty():
        formats.write(report, format_, sys.stdout)
        return
    text = io.StringIO()
    formats.write(report, format_, text)
    sys.stdout.flush()
    click.get_binary_stream("stdout").write(text.getvalue().encode())  # UTF-8 whatever the locale says


def _said(definition: Any) -> str:
    """A report of the list: its name, its words, and the parameters of its own."""
    lines = [definition.name, f"  {definition.title}. {definition.description}"]
    for parameter in definition.parameters.values():
        if parameter.choices:
            usual = f"{', '.join(parameter.choices)}; {parameter.otherwise} when not given"
        elif parameter.most:
            usual = f"{parameter.least} to {parameter.most}; {parameter.otherwise} when not given"
        else:
            continue
        lines.append(f"  --{parameter.name}: {parameter.words} ({usual})")
    return "\n".join(lines) + "\n"
