"""Records as rows of ClickHouse's RowBinary: the input of the statements in `sql/ingest`.

in   a Kafka record
out  partition UInt16, offset UInt64, timestamp Int64, key String, raw String; dead letters with five headers more
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final, Protocol

from cartwake.topics import DEAD_LETTERS, SETTINGS, WATERMARK

_HEAD: Final = Struct("<HQq")
_HEADERS: Final = ("reason", "topic", "partition", "offset", "stage")


class Record(Protocol):
    """What is needed of confluent_kafka.Message."""

    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...


Encode = Callable[[Record], bytes | None]


def encoder(topic: str) -> Encode:
    """What makes rows of the records of `topic` (its name without prefix); None for those that are no row.

    Watermarks are none, and records without a value, but for settings, where that is a deletion, and dead letters.
    """
    if topic == DEAD_LETTERS.name:
        return _dead_letter
    if topic == SETTINGS.name:
        return _setting
    return _event


def _event(record: Record) -> bytes | None:
    value = record.value()
    if not value:
        return None
    headers = record.headers()
    if headers and any(name == WATERMARK for name, _ in headers):
        return None
    return _row(record, record.key() or b"", value)


def _setting(record: Record) -> bytes | None:
    value = record.value()
    return None if value == b"" else _row(record, record.key() or b"", value or b"")


def _dead_letter(record: Record) -> bytes:
    said = dict(record.headers() or ())
    row = _row(record, record.key() or b"", record.value() or b"")
    return row + b"".join(string(said.get(name) or b"") for name in _HEADERS)


def _row(record: Record, key: bytes, value: bytes) -> bytes:
    head = _HEAD.pack(record.partition(), record.offset(), record.timestamp()[1])
    return b"".join((head, _length(len(key)), key, _length(len(value)), value))


def string(value: bytes) -> bytes:
    """A String of RowBinary: its length as unsigned LEB128, then its bytes."""
    return _length(len(value)) + value


def _length(n: int) -> bytes:
    if n < 0x80:
        return n.to_bytes()
    if n < 0x4000:
        return bytes((n & 0x7F | 0x80, n >> 7))
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
