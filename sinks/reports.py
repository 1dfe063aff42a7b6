"""Reports: each a file of `sql/reports` that says in its head what its figures mean.

in   sql/reports/<name>.sql, the views
out  columns and rows; `sinks.formats` writes them
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sql
from cartwake.errors import ConfigurationError
from sinks.clickhouse import ClickHouse
from sinks.heads import Definition, Parameter, define
from sinks.migrate import fill
from sinks.search import near

_FIRST: Final = date(1970, 1, 1)
_LAST: Final = date(2299, 12, 30)
_ALWAYS: Final = frozenset({"from", "to", "shop"})


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
        alike = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise ConfigurationError(
            f"there is no report {name!r}. {'Did you mean ' + ' or '.join(alike) if alike else 'There are'}"
            f"{'? There are' if alike else ''} {', '.join(known)}"
        )
    return define(name, sql.read(f"reports/{name}.sql"))


def run(
    client: ClickHouse,
    name: str,
    *,
    from_: date,
    to: date,
    shop: str = "",
    now: int = 0,
    choices: Mapping[str, object] | None = None,
) -> Report:
    """Run a report over the days `from_` … `to`, both included, UTC; for one shop, or all when `shop` is empty.

    `choices` are values of the report's own parameters; `now`, epoch milliseconds, is what overdue is measured by.
    Raises ConfigurationError for days in the wrong order and choices there are not.
    """
    definition = load(name)
    parameters = check(definition, from_=from_, to=to, choices=choices) | {"shop": shop, "now": now}
    columns, rows = client.table(statement(definition), parameters)
    return Report(definition, tuple(columns) or tuple(definition.columns), tuple(rows))


def parquet(
    client: ClickHouse,
    name: str,
    *,
    from_: date,
    to: date,
    shop: str = "",
    now: int = 0,
    choices: Mapping[str, object] | None = None,
) -> bytes:
    """As `run`, but a Parquet file, written by ClickHouse itself and with its types."""
    definition = load(name)
    parameters = check(definition, from_=from_, to=to, choices=choices) | {"shop": shop, "now": now}
    return client.raw(statement(definition), parameters, "Parquet")


def statement(definition: Definition) -> str:
    """The report's SQL. `{plans}` and the like are the statements of sql/audit."""
    plans = {"plans": sql.read("audit/plans.sql")}
    checks = {x.removesuffix(".sql"): sql.read(f"audit/checks/{x}") for x in sql.names("audit/checks")}
    parts = {name: fill(text, plans) for name, text in checks.items()}
    return fill(definition.text, parts | plans | {"abandonments": sql.read("audit/abandonments.sql")})


def check(
    definition: Definition, *, from_: date, to: date, choices: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Days and choices as they are sent beside the SQL; raises ConfigurationError naming the option that is wrong."""
    if to < from_:
        raise ConfigurationError(
            f"--to {to} is before --from {from_}; for one day give it twice: --from {to} --to {to}"
        )
    if from_ < _FIRST or to > _LAST:
        raise ConfigurationError(f"--from and --to are days from {_FIRST} to {_LAST}. Example: --from 2026-11-01")
    own = {x.name: x for x in definition.parameters.values() if x.name not in _ALWAYS}
    given = choices or {}
    if unknown := sorted(given.keys() - own.keys()):
        known = ", ".join(f"--{x}" for x in own) or "nothing but --from, --to and --shop"
        raise ConfigurationError(f"the report {definition.name} has no --{unknown[0]}; it takes {known}")
    return {"from": from_, "to": to} | {x.name: _value(x, given.get(x.name)) for x in own.values()}


def _value(parameter: Parameter, given: object) -> str | int:
    """The value as it is sent, the usual one when none is given."""
    if given is None:
        return parameter.otherwise
    if parameter.most:
        if not isinstance(given, int) or not parameter.least <= given <= parameter.most:
            raise ConfigurationError(
                f"--{parameter.name} {given} is out of range: {parameter.least} to {parameter.most}. "
                f"Example: --{parameter.name} {parameter.otherwise}"
            )
        return given
    if given not in parameter.choices:
        meant = near(str(given), parameter.choices, otherwise="choose one of")
        raise ConfigurationError(f"--{parameter.name} {given}: {meant}")
    return str(given)
