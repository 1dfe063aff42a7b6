"""Records by column, as a block of ClickHouse's Native format: the input of the statements in `sql/ingest`.

in   Kafka records of one partition
out  partition UInt16, offset UInt64, timestamp Int64, raw String; of dead letters and settings also the key, of dead
     letters also five headers

No object is made for a record: its numbers go into arrays and its bytes are joined.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from cartwake.topics import DEAD_LETTERS, SETTINGS, WATERMARK

_HEADERS: Final = ("reason", "topic", "partition", "offset", "stage")
_HEADER_COLUMNS: Final = ("reason", "topic", "source_partition", "source_offset", "stage")
_ROW: Final = 24  # bytes of a row beside its value


class Record(Protocol):
    """What is needed of confluent_kafka.Message."""

    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


@dataclass(slots=True)
class Rows:
    """Rows of one partition to be; `size` is about what they take in memory."""

    offsets: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    headers: list[dict[str, bytes | None]] = field(default_factory=list)  # of dead letters only
    size: int = 0

    def __len__(self) -> int:
        return len(self.offsets)

    def halves(self) -> Iterator["Rows"]:
        """The first half and the second half."""
        middle = len(self) // 2
        for part in (slice(middle), slice(middle, None)):
            yield Rows(self.offsets[part], self.times[part], self.keys[part], self.values[part], self.headers[part])


Gather = Callable[[Rows, Iterable[Record]], None]


def gather(topic: str) -> Gather:
    """What adds the records of `topic` (its name without prefix) to rows, those left out that are none.

    Watermarks are none, and records without a value, but for settings, where that is a deletion, and dead letters.
    """
    return {SETTINGS.name: _settings, DEAD_LETTERS.name: _dead_letters}.get(topic, _events)


def _events(rows: Rows, records: Iterable[Record]) -> None:
    offsets, times, keys, values = rows.offsets.append, rows.times.append, rows.keys.append, rows.values.append
    size = 0
    for record in records:
        value = record.value()
        if not value or ((said := record.headers()) and any(name == WATERMARK for name, _ in said)):
            continue
        offsets(record.offset())  # type: ignore[arg-type]
        times(record.timestamp()[1])
        keys(record.key())
        values(value)
        size += len(value) + _ROW
    rows.size += size


def _settings(rows: Rows, records: Iterable[Record]) -> None:
    for record in records:
        if (value := record.value()) != b"":
            _add(rows, record, value or b"")


def _dead_letters(rows: Rows, records: Iterable[Record]) -> None:
    for record in records:
        _add(rows, record, record.value() or b"")
        rows.headers.append(dict(record.headers() or ()))


def _add(rows: Rows, record: Record, value: bytes) -> None:
    rows.offsets.append(record.offset() or 0)
    rows.times.append(record.timestamp()[1])
    rows.keys.append(record.key())
    rows.values.append(value)
    rows.size += len(value) + len(record.key() or b"") + _ROW


def block(topic: str, partition: int, rows: Rows) -> bytes:
    """The rows as one block of Native (a revision before any that says more of a column than name and type)."""
    n = len(rows)
    columns = [
        ("partition", "UInt16", _numbers("H", [partition]) * n),
        ("offset", "UInt64", _numbers("Q", rows.offsets)),
        ("timestamp", "Int64", _numbers("q", rows.times)),
        ("raw", "String", strings(rows.values)),
    ]
    if topic in (SETTINGS.name, DEAD_LETTERS.name):
        columns.append(("key", "String", strings(x or b"" for x in rows.keys)))
    if topic == DEAD_LETTERS.name:
        columns += [
            (column, "String", strings(x.get(name) or b"" for x in rows.headers))
            for column, name in zip(_HEADER_COLUMNS, _HEADERS, strict=True)
        ]
    head = _length(len(columns)) + _length(n)
    return b"".join(
        [head, *(x for name, kind, data in columns for x in (strings((name.encode(), kind.encode())), data))]
    )


def strings(values: Iterable[bytes]) -> bytes:
    """A column of String: each value's length as unsigned LEB128, then its bytes."""
    return b"".join([x for value in values for x in (_length(len(value)), value)])


def _numbers(code: str, values: Sequence[int]) -> bytes:
    numbers = array(code, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _leb128(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


_SHORT: Final = tuple(map(_leb128, range(0x1000)))


def _length(n: int) -> bytes:
    return _SHORT[n] if n < len(_SHORT) else _leb128(n)
