"""The figures that ClickHouse makes anew by itself, every twenty minutes (sql/schema/015_figures.sql).

in   the views of a database that say `REFRESH`
out  how each of them does; and, for a test or a benchmark that can't wait, the figures of now
"""

from dataclasses import dataclass
from datetime import datetime

import sql
from sinks.clickhouse import ClickHouse


@dataclass(frozen=True, slots=True)
class Figures:
    """One of them: when it was made last (None: never yet), how long that took, and why it could not be made since."""

    name: str
    made_at: datetime | None
    took_ms: int | None
    problem: str


def figures(client: ClickHouse) -> list[Figures]:
    """Those of the database, by name."""
    found = client.query(sql.read("figures/state.sql"), {"database": client.database})
    return [Figures(**x) for x in found]


def renew(client: ClickHouse) -> list[Figures]:
    """Make all of them anew now, one after the other, and wait; raises Rejected when one can't be made."""
    for found in figures(client):
        for what in ("WAIT", "REFRESH", "WAIT"):  # first for one that the server has begun by itself
            client.command(f"SYSTEM {what} VIEW {client.database}.{found.name}")
    return figures(client)
