"""Reports: each a file of `sql/reports` that says in its head what its figures mean.

in   sql/reports/<name>.sql, the views
out  columns and rows; `sinks.formats` writes them
"""

import difflib
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sql
from cartwake.errors import ConfigurationError
from sinks.clickhouse import ClickHouse

_FIELD: Final = re.compile(r"^-- (title|description|parameter \w+|column \w+): (.*)$")
_FIRST: Final = date(1970, 1, 1)
_LAST: Final = date(2299, 12, 30)


@dataclass(frozen=True, slots=True)
class Definition:
    """What a report is: its words, what it asks for, what its columns mean, and its SQL."""

    name: str
    title: str
    description: str
    parameters: dict[str, str]
    columns: dict[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was run."""

    definition: Definition
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def names() -> list[str]:
    """The names of all reports."""
    return [x.removesuffix(".sql") for x in sql.names("reports")]


def load(name: str) -> Definition:
    """The report of that name; raises ConfigurationError naming those that are near."""
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise ConfigurationError(
            f"there is no report {name!r}. {'Did you mean ' + ' or '.join(near) if near else 'There are'}"
            f"{'? There are' if near else ''} {', '.join(known)}"
        )
    return define(name, sql.read(f"reports/{name}.sql"))


def run(client: ClickHouse, name: str, *, from_: date, to: date, shop: str = "") -> Report:
    """Run a report over the days `from_` … `to`, both included, UTC; for one shop, or all when `shop` is empty.

    Raises ConfigurationError when the days are in the wrong order.
    """
    definition = load(name)
    if to < from_:
        raise ConfigurationError(
            f"--to {to} is before --from {from_}; for one day give it twice: --from {to} --to {to}"
        )
    if from_ < _FIRST or to > _LAST:
        raise ConfigurationError(f"--from and --to are days from {_FIRST} to {_LAST}. Example: --from 2026-11-01")
    columns, rows = client.table(definition.text, {"from": from_, "to": to, "shop": shop})
    return Report(definition, tuple(columns) or tuple(definition.columns), tuple(rows))


def define(name: str, text: str) -> Definition:
    """Read the head of a report's file; raises ConfigurationError when it lacks a title, a description or columns."""
    fields: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if match := _FIELD.match(line):
            last = match[1]
            fields[last] = match[2].strip()
        elif last:
            fields[last] += " " + line[2:].strip()
    parameters = {k.split()[1]: v for k, v in fields.items() if k.startswith("parameter ")}
    columns = {k.split()[1]: v for k, v in fields.items() if k.startswith("column ")}
    if not (columns and fields.get("title") and fields.get("description")):
        raise ConfigurationError(
            f"sql/reports/{name}.sql: its head needs `-- title: …`, `-- description: …` and columns"
        )
    return Definition(name, fields["title"], fields["description"], parameters, columns, text)
