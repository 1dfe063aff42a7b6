"""`cartwake migrate`: bring ClickHouse's tables and views to this version; nothing is done twice."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cartwake import settings as settings_file

if TYPE_CHECKING:
    from sinks.migrate import Schema, Status, Step


@click.command("migrate")
@click.option("--dry-run", is_flag=True, help="print the statements that would run, as SQL, and run none")
@click.option("--status", "show_status", is_flag=True, help="every migration: when it was applied and by which version")
@click.option("--dictionary", is_flag=True, help="write the data dictionary (docs/dictionary.md); changes nothing")
def command(dry_run: bool, show_status: bool, dictionary: bool) -> None:
    """Apply the files of sql/schema that the database does not have yet, and the retention of the settings.

    Forward only; safe to repeat, after a failure in the middle too, and by several at once: one at a time has its turn.
    """
    from local.stack import embedded
    from sinks import dictionary as data
    from sinks.clickhouse import ClickHouse
    from sinks.migrate import Schema, migrate_settings, refuse
    from sinks.retention import Retention

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
        schema = Schema(store, Retention.of(settings), cluster=settings.clickhouse_cluster)
        if show_status:
            found = schema.status()
            sys.stdout.writelines(line + "\n" for line in _lines(schema, found))
            sys.stdout.flush()
            refuse(store.database, found)
            return
        if dry_run:
            steps = schema.plan()
            sys.stdout.writelines(_script(steps))
            sys.stdout.flush()
            files = len({x.source for x in steps})
            said = f"{len(steps)} statements of {files} files would run at {where}; nothing was changed"
            say(said if steps else f"nothing to do: {where} is up to date")
            return
        applied = migrate_settings(store, settings, change_retention=True)
        for name in applied:
            sys.stdout.write(name + "\n")
        sys.stdout.flush()
        say(f"{len(applied)} applied to {where}" if applied else f"nothing to do: {where} is up to date")


def _script(steps: "tuple[Step, ...]") -> Iterator[str]:
    """The statements as a script, each file announced."""
    source = ""
    for step in steps:
        if step.source != source:
            source = step.source
            yield f"-- == {source}\n"
        yield f"{step.statement.rstrip()};\n\n"


def _lines(schema: "Schema", found: "tuple[Status, ...]") -> Iterator[str]:
    from cartwake.clock import rfc3339, to_ms

    for file in found:
        said = [file.name, rfc3339(to_ms(file.applied_at)) if file.applied_at else "not applied"]
        said += [f"by {file.version}"] if file.version else []
        said += ["CHANGED SINCE"] if file.changed else []
        said += ["UNKNOWN TO THIS VERSION"] if file.unknown else []
        yield "  ".join(said)
    last = schema.last()
    if last and not last.ended:
        at = f" at {last.file}" if last.file else ""
        yield (
            f"a migrator ({last.migrator}, {last.version}) is or was{at}, last heard of {last.silent_s:.0f} s ago; "
            "if it is gone, run `cartwake migrate` again"
        )
    for table, wanted in schema.retained():
        line = f"{table.table} keeps {table.days} days"
        yield line + (f"; the settings say {wanted}: `cartwake migrate` changes it" if wanted != table.days else "")
