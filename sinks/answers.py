"""Rows of an answer as a table for people, one below the other, CSV or JSON, as they come.

Values come from strangers: on a terminal they are shown, never obeyed, whatever the format. Into a file or a pipe CSV
and JSON go as they are, CSV safe for spreadsheets as reports are.
"""

import csv
import io
import itertools
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Final, Literal

import msgspec
from rich.cells import cell_len

from sinks.ask import Answer
from sinks.cells import clean, plain
from sinks.formats import cell

Format = Literal["table", "vertical", "csv", "json"]
FORMATS: Final[tuple[Format, ...]] = ("table", "vertical", "csv", "json")

#: Rows of one table: its columns are as wide as the widest of them, so they wait for each other.
BLOCK: Final = 1_000
_WIDEST: Final = 60


def lines(answer: Answer, format_: Format, *, terminal: bool) -> Iterator[str]:
    """The lines of an answer, without their ends; `terminal`: nothing in them may be obeyed."""
    made = _WRITERS[format_](answer)
    return map(clean, made) if terminal else made


def text(value: object) -> str:
    """A value in one cell; arrays, tuples and maps as JSON."""
    if isinstance(value, list | tuple | dict):
        return msgspec.json.encode(_json_value(value)).decode()
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return "NULL" if value is None else plain(value)


def _table(answer: Answer) -> Iterator[str]:
    names = [_clip(clean(name)) for name in answer.columns]
    rows = iter(answer.rows)
    while block := list(itertools.islice(rows, BLOCK)):
        cells = [[_clip(clean(text(value))) for value in row] for row in block]
        widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
        right = [all(_is_number(row[at]) for row in block) for at in range(len(names))]
        yield _line(names, widths, right)
        yield "-+-".join("-" * width for width in widths)
        for row in cells:
            yield _line(row, widths, right)
        names = [_clip(clean(name)) for name in answer.columns]


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    padded = []
    for word, width, is_right in zip(cells, widths, right, strict=True):
        gap = " " * (width - cell_len(word))
        padded.append(gap + word if is_right else word + gap)
    return " | ".join(padded).rstrip()


def _clip(word: str) -> str:
    if cell_len(word) <= _WIDEST:
        return word
    while cell_len(word) >= _WIDEST:
        word = word[: min(len(word) - 1, _WIDEST)]
    return word + "…"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def _vertical(answer: Answer) -> Iterator[str]:
    width = max((cell_len(clean(name)) for name in answer.columns), default=0)
    for number, row in enumerate(answer.rows, 1):
        yield f"row {number}:"
        for name, value in zip(answer.columns, row, strict=True):
            shown = clean(name)
            yield f"  {shown}{' ' * (width - cell_len(shown))}  {clean(text(value))}"


def _csv(answer: Answer) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="")
    for row in itertools.chain([answer.columns], answer.rows):
        writer.writerow(_safe(value) for value in row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _safe(value: object) -> str:
    if value is None or isinstance(value, float):
        return "" if value is None else str(value)  # a negative number is a number
    return cell(text(value) if isinstance(value, list | tuple | dict | bytes) else value)


def _json(answer: Answer) -> Iterator[str]:
    held = "["
    for number, row in enumerate(answer.rows):
        found = {name: _json_value(value) for name, value in zip(answer.columns, row, strict=True)}
        if number:
            yield held + ","
        held = (" " if number else "[") + msgspec.json.encode(found).decode()
    yield held + "]"


def _json_value(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_json_value(x) for x in value]
    if isinstance(value, dict):
        return {text(key): _json_value(x) for key, x in value.items()}
    if isinstance(value, str | bool | int | type(None)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # JSON knows neither NaN nor infinity
    if isinstance(value, Decimal | date):
        return plain(value)
    return text(value)


_WRITERS: Final[dict[Format, Callable[[Answer], Iterator[str]]]] = {
    "table": _table,
    "vertical": _vertical,
    "csv": _csv,
    "json": _json,
}
