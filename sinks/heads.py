"""The heads of reports: what is said of a report in the comments above its SQL.

-- title: words
-- description: words, which may go on in the next lines
-- parameter by (day, hour): words      one of these, the first when none is given
-- parameter top (1 to 100, 10): words  a whole number of that range, the last when none is given
-- chart bar: value by day, shop_id for each currency
-- column day: words
"""

import re
from dataclasses import dataclass
from typing import Final

from cartwake.errors import ConfigurationError

_FIELD: Final = re.compile(r"^-- (title|description|parameter \w+(?: \([^)]*\))?|chart \w+|column \w+): (.*)$")
_PARAMETER: Final = re.compile(r"^parameter (\w+)(?: \((.*)\))?$")
_RANGE: Final = re.compile(r"^(\d+) to (\d+), (\d+)$")
_CHART: Final = re.compile(r"^(\w+) by (\w+(?:, \w+)*)(?: for each (\w+))?$")
_KINDS: Final = ("bar", "line")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a report asks for: any text or day; one of `choices`; or, when `most` is not 0, a number of that range."""

    name: str
    words: str
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 0
    otherwise: str | int = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """How a report is drawn: the figures of `value`, named by the columns `by`; those of one `each` belong together."""

    kind: str
    value: str
    by: tuple[str, ...]
    each: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a report is: its words, what it asks for, what its columns mean, its SQL, and its chart if it has one."""

    name: str
    title: str
    description: str
    parameters: dict[str, Parameter]
    columns: dict[str, str]
    text: str
    chart: Chart | None = None


def define(name: str, text: str) -> Definition:
    """Read the head of a report's file; raises ConfigurationError when it lacks a part or says what can't be."""
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
    columns = {k.split()[1]: v for k, v in fields.items() if k.startswith("column ")}
    if not (columns and fields.get("title") and fields.get("description")):
        raise ConfigurationError(
            f"sql/reports/{name}.sql: its head needs `-- title: …`, `-- description: …` and columns"
        )
    parameters = [_parameter(k, v) for k, v in fields.items() if k.startswith("parameter ")]
    charts = [_chart(name, k.split()[1], v, columns) for k, v in fields.items() if k.startswith("chart ")]
    return Definition(
        name,
        fields["title"],
        fields["description"],
        {x.name: x for x in parameters},
        columns,
        text,
        charts[0] if charts else None,
    )


def _parameter(head: str, words: str) -> Parameter:
    match = _PARAMETER.match(head)
    assert match is not None, "what _FIELD takes, this takes"
    name, inside = match[1], match[2] or ""
    if numbers := _RANGE.match(inside):
        least, most, otherwise = map(int, numbers.groups())
        return Parameter(name=name, words=words, least=least, most=most, otherwise=otherwise)
    choices = tuple(x.strip() for x in inside.split(",") if x.strip())
    return Parameter(name=name, words=words, choices=choices, otherwise=choices[0] if choices else "")


def _chart(name: str, kind: str, said: str, columns: dict[str, str]) -> Chart:
    match = _CHART.match(said)
    if match is None or kind not in _KINDS:
        raise ConfigurationError(f"sql/reports/{name}.sql: a chart is `-- chart bar: value by day for each currency`")
    chart = Chart(kind=kind, value=match[1], by=tuple(match[2].split(", ")), each=match[3] or "")
    for column in (chart.value, *chart.by, *([chart.each] if chart.each else [])):
        if column not in columns:
            raise ConfigurationError(f"sql/reports/{name}.sql: its chart names {column!r}, which is no column")
    return chart
