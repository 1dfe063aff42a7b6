"""Bring a ClickHouse database to the schema of this version: numbered files, each applied once, forward only.

in   sql/schema/NNN_*.sql
out  the tables and views, and `schema_migrations` with what was applied
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sql
from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse

log = logging.getLogger(__name__)

_FILE: Final = re.compile(r"^(\d{3})_[a-z0-9_]+\.sql$")
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_NAME: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hash of the text as it stands in the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Status:
    """A migration and when it was applied: None when it is still to be."""

    number: int
    name: str
    applied_at: datetime | None


def migrations() -> tuple[Migration, ...]:
    """The files of sql/schema in order; raises ConfigurationError when a name or a number is wrong."""
    found: list[Migration] = []
    for name in sql.names("schema"):
        match = _FILE.match(name)
        last = found[-1].number if found else 0
        if match is None or int(match[1]) <= last:  # numbers may be kept free for what is being written elsewhere
            raise ConfigurationError(f"sql/schema/{name}: expected {last + 1:03d}_<name>.sql")
        found.append(Migration(int(match[1]), name, sql.read(f"schema/{name}")))
    return tuple(found)


def migrate(client: ClickHouse, *, retention_days: int, files: Sequence[Migration] | None = None) -> tuple[str, ...]:
    """Apply what is missing and return the names of it; nothing is done when nothing is missing.

    Statements are idempotent, so a repetition after a failure in the middle, or a second migrator at the same time,
    ends in the same schema. Raises ConfigurationError when a file that was applied has changed since, or when the
    database is newer than this version.
    """
    values = {"database": client.database, "retention_days": str(int(retention_days))}
    if not _NAME.match(client.database):
        raise ConfigurationError(f"clickhouse_database: {client.database!r} is no name. Example: cartwake")
    for name in ("make_database", "make_table"):
        client.command(fill(sql.read(f"migrate/{name}.sql"), values))
    files = migrations() if files is None else files
    applied = _applied(client, values, files)
    done: list[str] = []
    for migration in files:
        if migration.number in applied:
            continue
        for statement in statements(migration.text):
            client.command(fill(statement, values))
        client.execute(
            fill(sql.read("migrate/record.sql"), values),
            {"number": migration.number, "name": migration.name, "sha256": migration.sha256},
        )
        log.info("applied %s to %s", migration.name, client.database)
        done.append(migration.name)
    return tuple(done)


def migrate_settings(client: ClickHouse, settings: Settings) -> tuple[str, ...]:
    """As `migrate`, with the retention of the settings."""
    return migrate(client, retention_days=settings.retention_days)


def status(client: ClickHouse, *, files: Sequence[Migration] | None = None) -> tuple[Status, ...]:
    """Every file and when it was applied; raises ConfigurationError as `migrate` does."""
    files = migrations() if files is None else files
    made = client.command(sql.read("migrate/is_made.sql"), {"name": client.database})
    applied = _applied(client, {"database": client.database}, files) if made else {}
    return tuple(Status(x.number, x.name, applied.get(x.number)) for x in files)


def statements(text: str) -> Iterator[str]:
    """The statements of a file: each ends with `;` at the end of a line; comments between them are none."""
    for piece in re.split(r";[ \t]*(?:\n|\Z)", text):
        if any(line.strip() and not line.lstrip().startswith("--") for line in piece.splitlines()):
            yield piece.strip()


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with `{name}` replaced; raises ConfigurationError for a name that is not among `values`.

    `{name:Type}` is the server's own parameter and stays.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = ", ".join(f"{{{x}}}" for x in sorted(values))
            raise ConfigurationError(f"SQL: {match[0]} is no placeholder; known are {known}")
        return values[match[1]]

    return _PLACEHOLDER.sub(value, text)


def _applied(client: ClickHouse, values: Mapping[str, str], files: Sequence[Migration]) -> dict[int, datetime]:
    known = {x.number: x for x in files}
    rows = client.query(fill(sql.read("migrate/applied.sql"), values))
    for row in rows:
        migration = known.get(row["number"])
        if migration is None:
            raise ConfigurationError(
                f"database {client.database} has {row['name']}, which this version does not know: install the version "
                "that made it, or name another database (CARTWAKE_CLICKHOUSE_DATABASE=cartwake2)"
            )
        if migration.sha256 != row["sha256"]:
            raise ConfigurationError(
                f"sql/schema/{migration.name} was applied to {client.database} and has changed since: put its text "
                f"back and write a new file {len(files) + 1:03d}_<name>.sql"
            )
    return {row["number"]: row["applied_at"] for row in rows}
