"""Lists as files: CSV and XML of chosen columns, written by ClickHouse day by day, so that memory does not grow.

in   a list's filters, columns and format
out  pieces of the file, as bytes
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

import sql
from cartwake.clock import to_ms
from cartwake.errors import ConfigurationError
from sinks.carts import pattern
from sinks.clickhouse import ClickHouse

Format = Literal["csv", "xml"]
FORMATS: Final = ("csv", "xml")
COLUMNS: Final = tuple(re.findall(r"-- columns: (.*)", sql.read("export/carts.sql"))[0].split(", "))
#: What most people want of a cart.
USUAL: Final = (
    "abandoned_at", "shop_id", "cart_id", "state", "stage", "currency", "value", "units", "products", "email",
    "customer_id", "order_id", "message_status", "message_reason",
)  # fmt: skip
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which carts: left on the days `first` … `last` (UTC, both included), of a shop, state, stage, by a search."""

    first: date | None = None
    last: date | None = None
    shop: str = ""
    state: str = ""
    stage: str = ""
    search: str = ""


def carts(
    client: ClickHouse, wanted: Wanted, *, format_: str = "csv", columns: Sequence[str] = USUAL
) -> Iterator[bytes]:
    """The file, piece by piece; raises ConfigurationError for a format or column there is not, or days in no order."""
    if format_ not in FORMATS:
        raise ConfigurationError(f"format {format_!r}: choose one of {', '.join(FORMATS)}")
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise ConfigurationError(f"there is no column {unknown[0]!r}; there are {', '.join(COLUMNS)}")
    if not columns or len(set(columns)) != len(columns):
        raise ConfigurationError("name at least one column, and each once")
    if wanted.first and wanted.last and wanted.first > wanted.last:
        raise ConfigurationError(f"{wanted.first} is after {wanted.last}")
    return _pieces(client, wanted, format_, columns)


def _pieces(client: ClickHouse, wanted: Wanted, format_: str, columns: Sequence[str]) -> Iterator[bytes]:
    yield (
        ",".join(columns).encode() + b"\r\n"
        if format_ == "csv"
        else b'<?xml version="1.0" encoding="UTF-8"?>\n<carts>\n'
    )
    asked = {
        "format": format_,
        "chosen": [COLUMNS.index(name) + 1 for name in columns],
        "names": list(columns),
        "shop": wanted.shop,
        "state": wanted.state,
        "stage": wanted.stage,
        "search": pattern(wanted.search),
    }
    statement = sql.read("export/carts.sql")
    for begin, end in _days(client, wanted):
        if piece := client.raw(statement, asked | {"begin": begin, "end": end}, "RawBLOB"):
            yield piece
    if format_ == "xml":
        yield b"</carts>\n"


def _days(client: ClickHouse, wanted: Wanted) -> Iterator[tuple[int, int]]:
    [extent] = client.query(sql.read("export/extent.sql"))
    day = max(_day(extent["first"]), wanted.first or date.min)
    last = min(_day(extent["last"]), wanted.last or date.max)
    while day <= last:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        yield to_ms(begin), to_ms(begin + _DAY)
        day += _DAY


def _day(at: int) -> date:
    return datetime.fromtimestamp(at / 1000, UTC).date()
