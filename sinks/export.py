"""Lists as files: CSV and XML of chosen columns, written by ClickHouse some hours at a time, in bounded memory.

in   a list (sinks/lists.py), its filters, columns and format
out  pieces of the file, as bytes
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import sql
from cartwake.clock import to_ms
from cartwake.errors import ConfigurationError
from sinks import lists
from sinks.clickhouse import ClickHouse
from sinks.search import near, pattern
from sinks.statements import fill

FORMATS: Final = ("csv", "xml")
#: Lines of one statement, unless an hour alone has more: so many cost ClickHouse some 50 MB.
AT_ONCE: Final = 50_000
_HOUR_MS: Final = 3_600_000
_FIRST: Final = date(1900, 1, 1)  # what ClickHouse has days for
_LAST: Final = date(2299, 12, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of a list: those of the days `first` … `last` (UTC, both included), of a shop, by its filters."""

    first: date | None = None
    last: date | None = None
    shop: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)


def pieces(
    client: ClickHouse,
    name: str,
    wanted: Wanted,
    *,
    format_: str = "csv",
    columns: Sequence[str] = (),
    at_once: int = AT_ONCE,
) -> Generator[bytes]:
    """The file, piece by piece; closing it ends the query. The usual columns when none are named.

    Raises ConfigurationError at once for a list, format, column or filter there is not, or days in no order; the first
    piece comes when ClickHouse has answered.
    """
    listed = lists.load(name)
    if format_ not in FORMATS:
        raise ConfigurationError(f"format {format_!r}: choose one of {', '.join(FORMATS)}")
    columns = columns or listed.usual
    if unknown := [x for x in columns if x not in listed.columns]:
        raise ConfigurationError(f"there is no column {unknown[0]!r}: {near(unknown[0], listed.columns)}")
    if len(set(columns)) != len(columns):
        raise ConfigurationError("name each column once")
    if wanted.first and wanted.last and wanted.first > wanted.last:
        raise ConfigurationError(f"{wanted.first} is after {wanted.last}")
    return _pieces(client, listed, _asked(listed, wanted), format_, columns, at_once)


def _asked(listed: lists.Definition, wanted: Wanted) -> dict[str, Any]:
    """What both statements are asked with."""
    known = {x.name: x for x in listed.filters}
    for name, value in wanted.filters.items():
        if name not in known:
            raise ConfigurationError(f"{listed.name} have no filter {name!r}: {near(name, known)}")
        if value and known[name].choices and value not in known[name].choices:
            raise ConfigurationError(f"{name} {value!r}: {near(value, known[name].choices)}")
    values = {name: wanted.filters.get(name, "") for name in known}
    if "search" in values:
        values["search"] = pattern(values["search"])
    first, last = (min(max(x, _FIRST), _LAST) for x in (wanted.first or _FIRST, wanted.last or _LAST))
    return {**values, "shop": wanted.shop, "begin": _midnight(first), "end": _midnight(last + timedelta(days=1))}


def _pieces(
    client: ClickHouse,
    listed: lists.Definition,
    asked: Mapping[str, Any],
    format_: str,
    columns: Sequence[str],
    at_once: int,
) -> Generator[bytes]:
    parts = list(spans(client.query(listed.hours, asked), at_once))
    statement = fill(
        sql.read("export/format/lines.sql"),
        {"list": listed.rows, "columns": ", ".join(f"`{x}`" for x in columns), "order": ", ".join(listed.order)},
    )
    told = {"format": format_, "names": list(columns), "numbers": list(listed.numbers), "element": listed.element}
    yield (
        ",".join(columns).encode() + b"\r\n"
        if format_ == "csv"
        else f'<?xml version="1.0" encoding="UTF-8"?>\n<{listed.name}>\n'.encode()
    )
    for begin, end in parts:
        yield from client.pieces(statement, {**asked, **told, "begin": begin, "end": end}, "TabSeparatedRaw")
    if format_ == "xml":
        yield f"</{listed.name}>\n".encode()


def spans(hours: Sequence[Mapping[str, int]], at_once: int) -> Iterator[tuple[int, int]]:
    """From when to when (epoch milliseconds) each statement looks: hours together that have at most `at_once` lines."""
    begin, end, held = 0, 0, 0
    for found in hours:
        if held and held + found["lines"] > at_once:
            yield begin, end
            held = 0
        begin = begin if held else found["hour"]
        end, held = found["hour"] + _HOUR_MS, held + found["lines"]
    if held:
        yield begin, end


def _midnight(day: date) -> int:
    return to_ms(datetime(day.year, day.month, day.day, tzinfo=UTC))
