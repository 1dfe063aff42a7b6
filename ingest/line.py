"""What an adapter makes of one line of a file, and what an adapter is."""

from collections.abc import Iterator
from typing import Final, Protocol

from msgspec import Struct

from cartwake.topics import Topic

MAX_LINE: Final = 1024 * 1024


class Line(Struct, frozen=True, gc=False):
    """One line read: a record for a topic, or nothing (no topic), or the reason why it can't be used.

    `at` is when it happened, in epoch milliseconds, also where there is no record for it.
    """

    number: int
    at: int | None = None
    topic: Topic | None = None
    key: str = ""
    value: bytes = b""
    error: str | None = None


class Reader(Protocol):
    """An adapter's `read`.

    Yields a Line for each line that is neither blank nor a header, in the file's order, and raises nothing for bad
    input. The same file gives the same records each time. A line over MAX_LINE bytes comes cut off, still longer
    than MAX_LINE, and must give an error.
    """

    def __call__(self, lines: Iterator[bytes], *, shop_id: str, file_name: str) -> Iterator[Line]: ...
