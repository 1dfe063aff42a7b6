"""`cartwake migrate`: bring ClickHouse's tables and views to this version; nothing is done twice."""

import sys

import click

from cartwake import settings as settings_file


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="say what would be applied, and apply nothing")
@click.option("--status", "show_status", is_flag=True, help="list every migration and when it was applied")
@click.option("--dictionary", is_flag=True, help="write the data dictionary (docs/dictionary.md); changes nothing")
def command(dry_run: bool, show_status: bool, dictionary: bool) -> None:
    """Apply the files of sql/schema that the database does not have yet. Forward only; safe to repeat."""
    from cartwake.clock import rfc3339, to_ms
    from local.stack import embedded
    from sinks import dictionary as data
    from sinks.clickhouse import ClickHouse
    from sinks.migrate import migrate_settings, status

    def say(words: str) -> None:
        click.echo(words, err=True)

    with (
        embedded(settings_file.load(), clickhouse=True, say=say) as settings,
        ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store,
    ):
        where = f"{store.where}/{store.database}"
        if dictionary:
            sys.stdout.write(data.markdown(store))
            return
        if show_status:
            for file in status(store):
                when = rfc3339(to_ms(file.applied_at)) if file.applied_at else "not applied"
                sys.stdout.write(f"{file.name}  {when}\n")
            return
        pending = [file.name for file in status(store) if file.applied_at is None]
        applied = pending if dry_run else migrate_settings(store, settings)
        for name in applied:
            sys.stdout.write(name + "\n")
        sys.stdout.flush()
        if not applied:
            say(f"nothing to do: {where} is up to date")
        elif dry_run:
            say(f"{len(applied)} would be applied to {where}; nothing was changed")
        else:
            say(f"{len(applied)} applied to {where}")
