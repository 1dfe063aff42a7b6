"""Sends files of a shop's history to the topics, in their order, as fast as Kafka takes them.

in   files, plain or .gz, in one of the formats of ingest/adapters/
out  the topics and keys that the adapter says
"""

import gzip
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final, Protocol, cast

from cartwake.errors import ConfigurationError
from cartwake.topics import Topic
from ingest.adapters import READERS
from ingest.line import MAX_LINE, Reader

_CHUNK: Final = 1024 * 1024
_PROGRESS: Final = 20_000
_LOOK_AHEAD: Final = 1_000


class Outlet(Protocol):
    """Takes records. `flush` returns when the broker has all of them, or raises KafkaUnavailable."""

    def send(self, topic: Topic, key: str | bytes | None, value: bytes | None) -> None: ...
    def flush(self, timeout: float) -> None: ...


@dataclass(frozen=True, slots=True)
class FeedResult:
    """What was read and sent. Times are epoch milliseconds over every line that has one, None without any."""

    lines: int
    rejected: int
    records: int
    first_occurred_at: int | None
    max_occurred_at: int | None
    seconds: float


class Unreadable(OSError):
    """A file can't be read further; what came before stays read."""


def open_lines(paths: Sequence[Path]) -> Iterator[tuple[Path, Iterator[bytes]]]:
    """Each file with its lines, without line ends; a line over MAX_LINE comes cut off at MAX_LINE + 1 bytes.

    Raises ConfigurationError before the first when one can't be opened. The lines raise Unreadable where a file is
    damaged.
    """
    for path in paths:
        try:
            path.open("rb").close()
        except OSError as exc:
            raise ConfigurationError(f"{path} can't be read: {exc.strerror}. Give a file, plain or .gz") from exc
    for path in paths:
        with _open(path) as file:
            yield path, _lines(file)


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    rest, skipping = b"", False  # skipping: inside a line that was too long and has been given out
    while chunk := _read(file):
        whole = chunk.split(b"\n")
        if len(whole) > 1:
            if not skipping:
                yield (rest + whole[0])[: MAX_LINE + 1]
            yield from whole[1:-1]
            rest, skipping = whole[-1], False
        elif not skipping:
            rest += chunk
        if len(rest) > MAX_LINE:
            yield rest[: MAX_LINE + 1]
            rest, skipping = b"", True
    if rest and not skipping:
        yield rest


def _read(file: IO[bytes]) -> bytes:
    try:
        return file.read(_CHUNK)
    except (OSError, EOFError, zlib.error) as exc:
        raise Unreadable(f"can't be read further: {exc}") from exc


def reader_of(format: str) -> Reader:
    """The adapter for a format; raises ConfigurationError naming those there are."""
    if format not in READERS:
        raise ConfigurationError(f"no format {format!r}. Use one of: --format {' | '.join(READERS)}")
    return READERS[format]


def calendar_order(paths: Sequence[Path], format: str) -> list[Path]:
    """The files by the first time in each; those without a time in their first 1,000 lines come last, as given."""
    read = reader_of(format)

    def first(lines: Iterator[bytes], path: Path) -> float:
        ahead = islice(read(lines, shop_id="main", file_name=path.name), _LOOK_AHEAD)
        try:
            return next((line.at for line in ahead if line.at is not None), float("inf"))
        except Unreadable:
            return float("inf")

    firsts = [(first(lines, path), n, path) for n, (path, lines) in enumerate(open_lines(paths))]
    return [path for _, _, path in sorted(firsts)]


def feed(
    paths: Sequence[Path],
    format: str,
    shop_id: str,
    publisher: Outlet,
    *,
    on_progress: Callable[[int], None] | None = None,
    on_rejected: Callable[[Path, int, str], None] | None = None,
) -> FeedResult:
    """Send every record of the files, in the order given; return when Kafka has them all.

    `on_progress` gets the lines read so far, `on_rejected` each refused line's file, number and reason. Raises
    ConfigurationError for a file or format that is not there, KafkaUnavailable when a record is not taken.
    """
    read = reader_of(format)
    send = publisher.send
    lines = rejected = records = 0
    least, most = float("inf"), -1
    started = time.monotonic()

    def refuse(path: Path, number: int, reason: str) -> None:
        if on_rejected is not None:
            on_rejected(path, number, reason)

    for path, raw in open_lines(paths):
        number = 0
        try:
            for line in read(raw, shop_id=shop_id, file_name=path.name.removesuffix(".gz")):
                lines += 1
                number = line.number
                at = line.at
                if at is None:
                    rejected += 1
                    refuse(path, number, line.error or "")
                else:
                    if at > most:  # a call costs more than a comparison, per line
                        most = at
                    if at < least:
                        least = at
                    if line.topic is not None:
                        send(line.topic, line.key, line.value)
                        records += 1
                if on_progress is not None and lines % _PROGRESS == 0:
                    on_progress(lines)
        except Unreadable as exc:
            lines += 1
            rejected += 1
            refuse(path, number + 1, str(exc))
    publisher.flush(120)
    if on_progress is not None:
        on_progress(lines)
    timed = most >= 0
    return FeedResult(
        lines, rejected, records, int(least) if timed else None, most if timed else None, time.monotonic() - started
    )
