"""`cartwake report NAME`: a report of sql/reports as a table, CSV, XML or JSON."""

import io
import sys
from datetime import UTC, datetime, timedelta

import click

from cartwake import settings as settings_file

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("report")
@click.argument("name", required=False)
@click.option("--list", "show_list", is_flag=True, help="list the reports and what they say")
@click.option("--from", "from_", type=_DAY, help="first day, UTC; 30 days before the last when not given")
@click.option("--to", type=_DAY, help="last day, UTC, included; today when not given")
@click.option("--shop", default="", help="one shop; all of them when not given")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "csv", "xml", "json"]),
    default="table",
    show_default=True,
    help="how to write it",
)
def command(
    name: str | None, show_list: bool, from_: datetime | None, to: datetime | None, shop: str, format_: str
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
            definition = reports.load(known)
            sys.stdout.write(f"{known}\n  {definition.title}. {definition.description}\n")
        sys.exit(0 if show_list else 2)
    reports.load(name)  # a wrong name is said before anything is started
    last = (to or datetime.now(UTC)).date()
    first = from_.date() if from_ else last - timedelta(days=30)
    configured = settings_file.load()
    with (
        embedded(configured, clickhouse=True, say=lambda words: click.echo(words, err=True)) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        if not configured.clickhouse_dsn:
            migrate_settings(store, settings)  # this machine's own may be new
        report = reports.run(store, name, from_=first, to=last, shop=shop)
    if sys.stdout.isatty():
        formats.write(report, format_, sys.stdout)
        return
    text = io.StringIO()
    formats.write(report, format_, text)
    sys.stdout.flush()
    click.get_binary_stream("stdout").write(text.getvalue().encode())  # UTF-8 whatever the locale says
