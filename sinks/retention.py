"""How long tables keep rows: days for all of them, other days for some, and what a database has to change for that.

in   retention_days and retention_tables; the tables whose files in sql/schema say `{retention_days}`
out  `ALTER TABLE … MODIFY TTL` where a table has other days, and nothing where they agree
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import sql
from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse
from sinks.statements import fill, statements, subject, tokens

PLACEHOLDER: Final = "{retention_days}"
_LOG: Final = "_log"
_DAYS: Final = "TOINTERVALDAY"


@dataclass(frozen=True, slots=True)
class Retention:
    """Days for every table, and other days for some, by the name of the view (`messages`) or of the table."""

    days: int
    tables: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "Retention":
        """What the settings say."""
        return cls(settings.retention_days, settings.retention)

    def wanted(self, table: str) -> int:
        """Days of a table such as `messages_log`."""
        return self.tables.get(table, self.tables.get(table.removesuffix(_LOG), self.days))


@dataclass(frozen=True, slots=True)
class Kept:
    """A table of a database, the days it keeps rows, and its rule in ClickHouse's words."""

    table: str
    days: int
    rule: str
    _at: tuple[int, int]

    def with_days(self, days: int) -> str:
        """The same rule with other days."""
        start, end = self._at
        return f"{self.rule[:start]}{days}{self.rule[end:]}"


def with_retention(texts: Iterable[str]) -> frozenset[str]:
    """The tables whose statements in these files have a retention."""
    found = set()
    for text in texts:
        if PLACEHOLDER not in text:
            continue
        for statement in statements(text):
            if PLACEHOLDER in statement:
                found.add(subject(fill(statement, {"database": "d", "retention_days": "1"})).name)
    return frozenset(found)


def check(retention: Retention, tables: frozenset[str]) -> None:
    """Raise ConfigurationError for days of a table that has no retention."""
    names = {x.removesuffix(_LOG) for x in tables}
    for name in retention.tables:
        if name not in tables and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Tables with one: {', '.join(sorted(names))}"
            raise ConfigurationError(
                f"setting retention_tables (CARTWAKE_RETENTION_TABLES): {name} is no table with a retention. {hint}"
            )


def kept(client: ClickHouse, tables: frozenset[str]) -> list[Kept]:
    """What those of `tables` that are there keep; one whose rule is the operator's own (none, or tiers) is left out."""
    rows = client.query(sql.read("migrate/retention.sql"), {"name": client.database})
    found = [_rule(row["name"], row["engine_full"]) for row in rows if row["name"] in tables]
    return [x for x in found if x is not None]


def changes(client: ClickHouse, retention: Retention, tables: frozenset[str]) -> list[tuple[Kept, int]]:
    """What keeps other days than it should, with the days it should."""
    found = kept(client, tables)
    return [(x, retention.wanted(x.table)) for x in found if x.days != retention.wanted(x.table)]


def statement(database: str, table: Kept, days: int) -> str:
    """The statement that gives `table` other days."""
    values = {"database": database, "table": table.table, "ttl": table.with_days(days)}
    return fill(sql.read("migrate/set_retention.sql"), values)


def _rule(table: str, engine: str) -> Kept | None:
    """The one `… + toIntervalDay(90)` of an engine's clauses."""
    outer = [x for x in tokens(engine) if x.depth == 0]
    begin = next((x.end for x in outer if x.text == "TTL"), None)
    if begin is None:
        return None
    end = next((x.start for x in outer if x.text == "SETTINGS" and x.start > begin), len(engine))
    rule = engine[begin:end].strip()
    words = list(tokens(rule))
    found = [words[i + 2] for i, x in enumerate(words[:-2]) if x.text == _DAYS]
    if len(found) != 1 or not found[0].text.isdecimal():
        return None
    return Kept(table, int(found[0].text), rule, (found[0].start, found[0].end))
