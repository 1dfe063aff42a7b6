"""A report as a table or a chart for people, CSV for spreadsheets, XML or JSON for programs.

Names of products come from strangers: none of them may become a formula in a spreadsheet, a control sequence in a
terminal, markup, or a document that no parser reads.
"""

import csv
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final, TextIO
from xml.sax.saxutils import escape, quoteattr

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cartwake.errors import ConfigurationError
from sinks import charts
from sinks.cells import clean, for_xml, plain
from sinks.heads import Definition
from sinks.pictures import Theme, png, svg
from sinks.reports import Report

#: `parquet` and `png` are bytes, so no `TextIO` takes them.
FORMATS: Final = ("table", "csv", "xml", "json", "parquet", "chart", "svg", "png")
BINARY: Final = frozenset({"parquet", "png"})
DRAWN: Final = frozenset({"chart", "svg", "png"})

_WIDTH: Final = 160  # of a table that goes to no terminal
_NAME: Final = 40  # what is longer goes on in the next line
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def write(report: Report, format_: str, out: TextIO) -> None:
    """Write `report` as table, csv, xml, json, chart or svg; raises ConfigurationError for another format."""
    if format_ not in _WRITERS:
        raise ConfigurationError(f"--format {format_}: choose one of {', '.join(_WRITERS)}")
    _WRITERS[format_](report, out)


def check_chart(definition: Definition) -> None:
    """Raise ConfigurationError when the report has no chart."""
    charts.of(definition)


def drawn(report: Report, theme: Theme = "light") -> bytes:
    """The report's chart as PNG; raises ConfigurationError when it has none."""
    return png(charts.picture(report), theme)


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
    return escape(for_xml(text), {"\r": "&#13;"})


def _attribute(text: str) -> str:
    return quoteattr(for_xml(text))


def _json(report: Report, out: TextIO) -> None:
    rows = [dict(zip(report.columns, map(_json_value, row), strict=True)) for row in report.rows]
    out.write(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n")


def _json_value(value: object) -> object:
    if isinstance(value, Decimal | date):
        return plain(value)
    return value


def _table(report: Report, out: TextIO) -> None:
    console = Console(file=out, highlight=False, width=None if out.isatty() else _WIDTH)
    lines = [report.columns, *([clean(plain(x)) for x in row] for row in report.rows)]
    widths = [min(max(map(len, column)), _NAME) + 3 for column in zip(*lines, strict=True)]
    title, caption = Text(report.definition.title), Text(report.definition.description)
    if sum(widths) < console.width or not report.rows:
        table = Table(title=title, caption=caption)
        for number, name in enumerate(report.columns):
            right = bool(report.rows) and all(_is_number(row[number]) for row in report.rows)
            table.add_column(Text(name), justify="right" if right else "left", overflow="fold")
        for line in lines[1:]:
            table.add_row(*map(Text, line))
        console.print(table)
        return
    # more columns than fit: they go down, and rows stand beside each other, as many as there is room for
    console.print(title, style="italic")
    room = console.width - max(map(len, report.columns)) - 4
    rows = lines[1:]
    while rows:
        taken = max(1, sum(x < room for x in accumulate(min(max(map(len, row)), _NAME) + 3 for row in rows)))
        table = Table(show_header=False)
        for _ in range(taken + 1):
            table.add_column(overflow="fold")
        for name, *values in zip(report.columns, *rows[:taken], strict=True):
            table.add_row(Text(name, style="bold"), *map(Text, values))
        console.print(table)
        rows = rows[taken:]
    console.print(caption, style="dim italic")


_WRITERS: Final[Mapping[str, Callable[[Report, Any], None]]] = {
    "table": _table,
    "csv": _csv,
    "xml": _xml,
    "json": _json,
    "chart": charts.write,
    "svg": lambda report, out: out.write(svg(charts.picture(report))),
}
