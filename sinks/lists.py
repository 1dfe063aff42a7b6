"""The lists that can be had as files, each a file of `sql/export` whose head says what it has.

-- title: words
-- element: what one of them is called in XML
-- columns: all there are, each a text in the second statement
-- usual: those that are written unless told otherwise
-- numbers: those that hold numbers, which no spreadsheet takes for formulas; may be left out
-- order: what it is sorted by, oldest first
-- filter state (open, recovered): words    one of these; without parentheses any text

Its first statement names the hours in which there are any (more do no harm), roughly how many; the second one gives
those from `begin` up to, not including, `end`. Both know `shop` and every filter, which are empty when not asked for; a
filter `search` comes as a pattern for LIKE, in small letters. Both may name `{records}`: what `sql/export/records/` has
in a file of the list's name, the records from which the view puts it together.
"""

import re
from dataclasses import dataclass
from typing import Final

import sql
from cartwake.errors import ConfigurationError
from sinks.search import near
from sinks.statements import fill, statements

_FOLDER: Final = "export"
_RECORDS: Final = "{records}"
_FIELD: Final = re.compile(
    r"^-- (title|element|columns|usual|numbers|order|filter \w+(?: \([^)]*\))?):(.*)$", re.MULTILINE
)
_FILTER: Final = re.compile(r"filter (\w+)(?: \((.*)\))?")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list can be narrowed by: one of `choices`, or any text when there are none."""

    name: str
    words: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a list is: its words, its columns and filters, and its two statements."""

    name: str
    title: str
    element: str
    columns: tuple[str, ...]
    usual: tuple[str, ...]
    numbers: tuple[str, ...]
    order: tuple[str, ...]
    filters: tuple[Filter, ...]
    hours: str
    rows: str


def names() -> list[str]:
    """The names of all lists."""
    return [x.removesuffix(".sql") for x in sql.names(_FOLDER)]


def load(name: str) -> Definition:
    """The list of that name; raises ConfigurationError naming those there are."""
    if name not in (known := names()):
        raise ConfigurationError(f"there is no list {name!r}: {near(name, known)}")
    text = sql.read(f"{_FOLDER}/{name}.sql")
    if _RECORDS in text:
        text = fill(text, {"records": sql.read(f"{_FOLDER}/records/{name}.sql")})
    return define(name, text)


def define(name: str, text: str) -> Definition:
    """Read a list's file; raises ConfigurationError when it lacks a part."""
    said = {key: words.strip() for key, words in _FIELD.findall(text)}
    parts = list(statements(text))
    if missing := [x for x in ("title", "element", "columns", "usual", "order") if not said.get(x)]:
        raise ConfigurationError(f"sql/export/{name}.sql: its head needs `-- {missing[0]}: …`")
    if len(parts) != 2:
        raise ConfigurationError(f"sql/export/{name}.sql: it needs two statements that end with `;`, not {len(parts)}")
    several = {x: tuple(filter(None, said.get(x, "").split(", "))) for x in ("columns", "usual", "numbers", "order")}
    if unknown := set(several["usual"] + several["numbers"] + several["order"]) - set(several["columns"]):
        raise ConfigurationError(f"sql/export/{name}.sql: {min(unknown)} is none of its columns")
    return Definition(
        name=name,
        title=said["title"],
        element=said["element"],
        **several,
        filters=tuple(_filter(key, words) for key, words in said.items() if key.startswith("filter ")),
        hours=parts[0],
        rows=parts[1],
    )


def _filter(key: str, words: str) -> Filter:
    match = _FILTER.fullmatch(key)
    assert match is not None, "what _FIELD takes, this takes"
    return Filter(match[1], words, tuple(match[2].split(", ")) if match[2] else ())
