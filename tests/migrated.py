"""A database with the schema, as new for each test and made once: migrating takes over a second, emptying a twentieth.

A test may change the schema: then the database is made anew for the next one.
"""

import uuid

from sinks.clickhouse import ClickHouse, Row
from sinks.migrate import migrate

TABLES = """
    SELECT
        name, engine, create_table_query AS made, ifNull(parts, 0) AS filled,
        startsWith(name, 'schema_migrations') AS is_record, if(is_record, total_rows, 0) AS migrations
    FROM system.tables
    WHERE database = {name:String} AND NOT startsWith(name, '.tmp')  -- figures that are being made
    ORDER BY name
"""


class Migrated:
    """A migrated database that is used again and again. Whoever writes to it has ended when the next one takes it.

    Without `merges` it keeps what was inserted twice, so that it can be seen.
    """

    def __init__(self, dsn: str, *, merges: bool = True) -> None:
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self._client = ClickHouse.open(dsn, self.name)
        self._merges = merges
        self._schema: list[tuple[str, str, int]] = []

    def as_new(self) -> None:
        """Leave it as after `migrate`: no rows and no deduplication tokens."""
        tables = self._tables() if self._schema else []
        if not tables or self._schema_of(tables) != self._schema:
            self.drop()
            migrate(self._client, retention_days=90)
            tables = self._tables()
            self._schema = self._schema_of(tables)
            if not self._merges:
                self._stop_merges(tables)
        else:  # a table has parts for minutes after its last row went, unless it was truncated
            filled = [x for x in tables if x["filled"] and not x["is_record"]]
            for table in filled:
                self._client.execute(f"TRUNCATE TABLE `{table['name']}` SYNC")
            if not self._merges:  # a test may have let them go on
                self._stop_merges(filled)

    def drop(self) -> None:
        """Leave nothing of it."""
        self._client.command(f"DROP DATABASE IF EXISTS {self.name} SYNC")

    def close(self) -> None:
        """Drop it, and give the connections back."""
        self.drop()
        self._client.close()

    def _tables(self) -> list[Row]:
        return self._client.query(TABLES, {"name": self.name})

    def _schema_of(self, tables: list[Row]) -> list[tuple[str, str, int]]:
        return [(x["name"], x["made"], x["migrations"]) for x in tables]

    def _stop_merges(self, tables: list[Row]) -> None:
        for table in tables:
            if table["engine"].endswith("MergeTree"):
                self._client.execute(f"SYSTEM STOP MERGES `{table['name']}`")
