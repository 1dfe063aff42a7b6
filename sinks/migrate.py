"""Bring a ClickHouse database to the schema of this version: numbered files, each applied once, forward only.

in   sql/schema/NNN_*.sql, how long rows are kept, and the cluster if there is one
out  the tables and views, `schema_migrations` with what was applied, `schema_migrations_log` with who is at it
"""

import hashlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, Final

import sql
from cartwake.errors import CartwakeError, ConfigurationError
from cartwake.settings import Settings
from sinks import cluster as clusters
from sinks import retention as days
from sinks.clickhouse import ClickHouse
from sinks.retention import Kept, Retention
from sinks.statements import fill, statements, subject
from sinks.turns import LEASE_S, TABLE, Last, Turn, last, turn

__all__ = [
    "Migration", "Schema", "Status", "Step", "fill", "migrate", "migrate_settings", "migrations", "refuse",
    "statements", "status",
]  # fmt: skip

log = logging.getLogger(__name__)

RECORD: Final = "schema_migrations"
_FILE: Final = re.compile(r"^(\d{3})_[a-z0-9_]+\.sql$")
_NAME: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
#: What is there before the first file.
_FOUNDATION: Final = ("make_database", "make_table", "make_log")
#: A statement may fill a table from all that is kept.
_PATIENCE_S: Final = 6 * 3600.0


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
    """A migration and what the database knows of it: `applied_at` is None when it is still to be applied.

    `changed`: the file has another text now. `unknown`: this version does not have it.
    """

    number: int
    name: str
    applied_at: datetime | None
    version: str = ""
    changed: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A statement that would run, and the file it is of; comments before it say why."""

    source: str
    statement: str


def migrations() -> tuple[Migration, ...]:
    """The files of sql/schema in order; raises ConfigurationError when a name or a number is wrong."""
    found: list[Migration] = []
    for name in sql.names("schema"):
        match = _FILE.match(name)
        if match is None or int(match[1]) != len(found) + 1:
            raise ConfigurationError(f"sql/schema/{name}: expected {len(found) + 1:03d}_<name>.sql")
        found.append(Migration(int(match[1]), name, sql.read(f"schema/{name}")))
    return tuple(found)


class Schema:
    """What a database has of this version's schema, and how it comes by the rest.

    With a `cluster` every statement runs on all of its servers, and tables are replicated.
    """

    def __init__(
        self,
        client: ClickHouse,
        retention: Retention,
        *,
        cluster: str = "",
        files: Sequence[Migration] | None = None,
    ) -> None:
        if not _NAME.match(client.database):
            raise ConfigurationError(f"clickhouse_database: {client.database!r} is no name. Example: cartwake")
        self._client = client
        self._cluster = cluster
        self._files = migrations() if files is None else files
        self._retention = retention
        self._with_retention = days.with_retention(x.text for x in self._files)
        days.check(retention, self._with_retention)

    def status(self) -> tuple[Status, ...]:
        """Every file, applied or not, and what was applied that this version does not have."""
        return self._status(self._made())

    def last(self) -> Last | None:
        """The newest turn of a migrator; None when none is known."""
        return last(self._client, replicated=False) if self._made().keys() >= {RECORD, TABLE} else None

    def retained(self) -> list[tuple[Kept, int]]:
        """The tables with a retention, and the days that the settings want for each."""
        if RECORD not in self._made():
            return []
        return [(x, self._retention.wanted(x.table)) for x in days.kept(self._client, self._with_retention)]

    def plan(self) -> tuple[Step, ...]:
        """The statements that would run now, in their order; raises ConfigurationError as `migrate` does."""
        pending = self.lacking()
        steps = []
        if not self._made().keys() >= {RECORD, TABLE} and pending:
            steps = [Step(f"migrate/{x}.sql", self._own(x)) for x in _FOUNDATION]
        steps += [Step(x.name, statement) for x in pending for statement in self._statements(x)]
        return (*steps, *(Step("retention", self._keep(x, n)) for x, n in self._changes()))

    def lacking(self) -> list[Migration]:
        """The files that are still to be applied.

        Raises ConfigurationError when a file that was applied has changed since, when the database is newer than this
        version or was made for the other kind of server, or when the cluster is not as it must be.
        """
        if self._cluster:
            clusters.check(self._client, self._cluster)
        made = self._made()
        if engine := made.get(RECORD):
            replicated = engine.startswith("Replicated")
            if replicated != bool(self._cluster):
                raise ConfigurationError(
                    f"clickhouse_cluster (CARTWAKE_CLICKHOUSE_CLUSTER) is {self._cluster or 'empty'}, and database "
                    f"{self._client.database} was made for {'a cluster' if replicated else 'one server'}. Set it as it "
                    "was, or name another database (CARTWAKE_CLICKHOUSE_DATABASE=cartwake2). See docs/operations.md, "
                    "ClickHouse"
                )
        found = self._status(made)
        refuse(self._client.database, found)
        return [file for file, known in zip(self._files, found, strict=True) if known.applied_at is None]

    def migrate(
        self, *, change_retention: bool = True, stop: threading.Event | None = None, lease_s: float = LEASE_S
    ) -> tuple[str, ...]:
        """Apply what is missing and return the names of it; nothing is done when nothing is missing.

        One migrator has a turn at a time. Statements may run twice, so a repetition after a failure in the middle ends
        in the same schema. Raises ConfigurationError as `lacking` does, SinkUnavailable once `stop` is set.
        """
        if not self.lacking() and not (change_retention and self._changes()):
            return ()
        client = self._client
        for name in _FOUNDATION:
            client.command(self._own(name))
        done: list[str] = []
        with turn(client, version=_version(), replicated=bool(self._cluster), stop=stop, lease_s=lease_s) as mine:
            if self._cluster:
                client.command(fill(sql.read("migrate/sync.sql"), {"database": client.database, "table": RECORD}))
            client.command(self._own("add_version"))
            for migration in self.lacking():
                self._apply(client, migration, mine)
                log.info("applied %s to %s", migration.name, client.database)
                done.append(migration.name)
            for table, wanted in self._changes() if change_retention else ():
                mine.check()
                client.command(self._keep(table, wanted))
                done.append(f"retention of {table.table}: {wanted} days instead of {table.days}")
        return tuple(done)

    def _apply(self, client: ClickHouse, migration: Migration, mine: Turn) -> None:
        where = migration.name
        try:
            mine.at(migration.name)
            for number, statement in enumerate(self._statements(migration), 1):
                where = f"{migration.name}, statement {number}"
                mine.check()
                client.command(statement)
            asked = {"number": migration.number, "name": migration.name, "sha256": migration.sha256}
            record = fill(sql.read("migrate/record.sql"), {"database": client.database})
            client.execute(record, asked | {"version": _version()})
        except CartwakeError as exc:
            again = "What ran before stays; `cartwake migrate` begins this file again"
            raise type(exc)(f"{where}: {exc}. {again}") from exc

    def _changes(self) -> list[tuple[Kept, int]]:
        return [(x, wanted) for x, wanted in self.retained() if x.days != wanted]

    def _made(self) -> dict[str, str]:
        answer: Any = self._client.command(sql.read("migrate/made_as.sql"), {"name": self._client.database})
        return {name: engine for name, engine in zip((RECORD, TABLE), answer, strict=True) if engine}

    def _status(self, made: Mapping[str, str]) -> tuple[Status, ...]:
        query = fill(sql.read("migrate/applied.sql"), {"database": self._client.database})
        applied = {row["number"]: row for row in (self._client.query(query) if RECORD in made else ())}
        found = [
            Status(x.number, x.name, row["applied_at"], row.get("version", ""), changed=row["sha256"] != x.sha256)
            if (row := applied.pop(x.number, None))
            else Status(x.number, x.name, None)
            for x in self._files
        ]
        more = (Status(n, x["name"], x["applied_at"], x.get("version", ""), unknown=True) for n, x in applied.items())
        return (*found, *more)

    def _statements(self, migration: Migration) -> Iterator[str]:
        for text in statements(migration.text):
            values = {"database": self._client.database}
            if days.PLACEHOLDER in text:
                table = subject(fill(text, values | {"retention_days": "1"})).name
                values["retention_days"] = str(self._retention.wanted(table))
            yield self._everywhere(fill(text, values))

    def _own(self, name: str) -> str:
        return self._everywhere(fill(sql.read(f"migrate/{name}.sql"), {"database": self._client.database}))

    def _keep(self, table: Kept, wanted: int) -> str:
        return self._everywhere(days.statement(self._client.database, table, wanted))

    def _everywhere(self, statement: str) -> str:
        return clusters.on_cluster(statement, self._cluster) if self._cluster else statement


def refuse(database: str, found: Sequence[Status]) -> None:
    """Raise ConfigurationError for a file that was applied and has changed, or that this version does not have."""
    for file in found:
        if file.unknown:
            raise ConfigurationError(
                f"database {database} has {file.name}, which this version does not know: install the version that "
                f"made it ({file.version or 'a later one'}), or name another database "
                "(CARTWAKE_CLICKHOUSE_DATABASE=cartwake2)"
            )
        if file.changed:
            raise ConfigurationError(
                f"sql/schema/{file.name} was applied to {database} and has changed since: put its text back and write "
                f"a new file {found[-1].number + 1:03d}_<name>.sql"
            )


def migrate(
    client: ClickHouse, *, retention_days: int, cluster: str = "", files: Sequence[Migration] | None = None
) -> tuple[str, ...]:
    """Apply what is missing and return the names of it. See `Schema.migrate`."""
    return Schema(client, Retention(retention_days), cluster=cluster, files=files).migrate()


def migrate_settings(
    client: ClickHouse,
    settings: Settings,
    *,
    change_retention: bool = False,
    stop: threading.Event | None = None,
) -> tuple[str, ...]:
    """As `migrate`, with the retention and the cluster of the settings.

    The retention of tables that are there changes only when told to: rows go for good, and a role or a command that was
    started with other settings by mistake must not do that.
    """
    schema = Schema(client, Retention.of(settings), cluster=settings.clickhouse_cluster)
    pending = schema.lacking()
    others = [(x, wanted) for x, wanted in schema.retained() if x.days != wanted]
    if not change_retention:
        for x, wanted in others:
            log.warning("%s keeps %d days, the settings say %d: `cartwake migrate` changes it", x.table, x.days, wanted)
    if not pending and not (change_retention and others):
        return ()
    with ClickHouse.open(settings.clickhouse_dsn, client.database, timeout_s=_PATIENCE_S) as patient:
        schema = Schema(patient, Retention.of(settings), cluster=settings.clickhouse_cluster)
        return schema.migrate(change_retention=change_retention, stop=stop)


def status(client: ClickHouse, *, files: Sequence[Migration] | None = None) -> tuple[Status, ...]:
    """Every file and when it was applied."""
    return Schema(client, Retention(1), files=files).status()


def _version() -> str:
    try:
        return installed("cartwake")
    except PackageNotFoundError:
        return "unpackaged"
