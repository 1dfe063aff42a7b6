"""A database with the schema, as new for each test and made once: migrating takes over a second, emptying a tenth.

A test may change the schema: then the database is made anew for the next one.
"""

import uuid

from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate

STATE = """
    SELECT
        name, engine, create_table_query AS made,
        startsWith(name, 'schema_migrations') AS records, if(records, total_rows, 0) AS migrations
    FROM system.tables WHERE database = {name:String} ORDER BY name
"""


class Migrated:
    """A migrated database that is used again and again. Whoever writes to it has ended when the next one takes it."""

    def __init__(self, dsn: str) -> None:
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self._client = ClickHouse.open(dsn, self.name)
        self._migrated: list[dict[str, object]] = []

    def as_new(self) -> None:
        """Leave it as after `migrate`: no rows, no deduplication tokens, merges at work."""
        if not self._migrated or self._state() != self._migrated:
            self.drop()
            migrate(self._client, retention_days=90)
            self._migrated = self._state()
        for table in self._migrated:
            if str(table["engine"]).endswith("MergeTree") and not table["records"]:
                self._client.execute(f"SYSTEM START MERGES {table['name']}")
                self._client.execute(f"TRUNCATE TABLE {table['name']} SYNC")

    def drop(self) -> None:
        """Leave nothing of it."""
        self._client.command(f"DROP DATABASE IF EXISTS {self.name} SYNC")

    def close(self) -> None:
        """Drop it, and give the connections back."""
        self.drop()
        self._client.close()

    def _state(self) -> list[dict[str, object]]:
        return self._client.query(STATE, {"name": self.name})
