"""A report as a table for people, CSV for spreadsheets, XML or JSON for programs.

Names of products come from strangers: none of them may become a formula in a spreadsheet, a control sequence in a
terminal, markup, or a document that no parser reads.
"""

import csv
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, TextIO
from xml.sax.saxutils import escape, quoteattr

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cartwake.clock import rfc3339, to_ms
from cartwake.errors import ConfigurationError
from sinks.reports import Report

Format = Literal["table", "csv", "xml", "json"]

_WIDTH: Final = 160  # of a table that goes to no terminal
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
#: What XML 1.0 can't contain, escaped or not (production 2, Char).
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def write(report: Report, format_: str, out: TextIO) -> None:
    """Write `report` as table, csv, xml or json; raises ConfigurationError for another format."""
    if format_ not in _WRITERS:
        raise ConfigurationError(f"--format {format_}: choose one of {', '.join(_WRITERS)}")
    _WRITERS[format_](report, out)


def plain(value: object) -> str:
    """A value as text: money without trailing zeros beyond two places, times in RFC 3339, nothing for None."""
    if isinstance(value, Decimal):
        return money(value)
    if isinstance(value, datetime):
        return rfc3339(to_ms(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def money(value: Decimal) -> str:
    """`19.99`, `5.00`, `0.125`: at least two places, no more than are needed."""
    whole, _, places = f"{value:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def visible(text: str) -> str:
    """`text` without what a terminal would obey."""
    return _CONTROL.sub("\ufffd", text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _csv(report: Report, out: TextIO) -> None:
    writer = csv.writer(out)
    writer.writerow(report.columns)
    writer.writerows([cell(value) for value in row] for row in report.rows)


def cell(value: object) -> str:
    """Numbers stay numbers, also negative ones; a text a spreadsheet would run is quoted (OWASP, CSV injection)."""
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(value) else text


def _xml(report: Report, out: TextIO) -> None:
    definition = report.definition
    out.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    out.write(f"<report name={_attribute(definition.name)} title={_attribute(definition.title)}>\n")
    for row in report.rows:
        cells = (f"<{name}>{_element(plain(value))}</{name}>" for name, value in zip(report.columns, row, strict=True))
        out.write(f"  <row>{''.join(cells)}</row>\n")
    out.write("</report>\n")


def _element(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"})


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))


def _json(report: Report, out: TextIO) -> None:
    rows = [dict(zip(report.columns, map(_json_value, row), strict=True)) for row in report.rows]
    out.write(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n")


def _json_value(value: object) -> object:
    if isinstance(value, Decimal | date):
        return plain(value)
    return value


def _table(report: Report, out: TextIO) -> None:
    table = Table(title=Text(report.definition.title), caption=Text(report.definition.description))
    for number, name in enumerate(report.columns):
        right = bool(report.rows) and all(_is_number(row[number]) for row in report.rows)
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in report.rows:
        table.add_row(*(Text(visible(plain(value))) for value in row))
    Console(file=out, highlight=False, width=None if out.isatty() else _WIDTH).print(table)


_WRITERS: Final[Mapping[str, Callable[[Report, Any], None]]] = {
    "table": _table,
    "csv": _csv,
    "xml": _xml,
    "json": _json,
}
