"""Reads as much of a ClickHouse statement as its HTTP interface must know: do rows follow, in which format."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    rb"(?P<space>\s+|--[^\n]*|/\*.*?\*/)|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`"
    rb"|(?P<word>\w+)|.",
    re.DOTALL,
)
_AFTER_FORMAT = re.compile(rb"[ \t\f]*(\r?\n)?")
_NAMES_FOLLOW = {b"INTO", b"TABLE", b"."}
_ROWS = {b"SELECT", b"WITH", b"FROM"}


class Statement(NamedTuple):
    """What was said. With a `data_format` rows follow, and `text` ends before the FORMAT clause."""

    verb: bytes  # upper case
    text: bytes
    data_format: str | None = None
    data: bytes = b""  # the beginning of the rows
    input_at: int | None = None  # where `input` of `FROM input(…)` stands in `text`
    answer: str | None = None  # the format a query asks for
    several: bool = False  # another statement follows

    @property
    def gives_rows(self) -> bool:
        """Whether this is a query, whose rows can be sent as they come."""
        return self.verb in _ROWS


class _Token(NamedTuple):
    text: bytes  # upper case; a quoted name or text is its quotation mark
    start: int
    end: int
    depth: int
    word: bool


def read(head: bytes) -> Statement:
    """The statement `head` begins with; what follows an INSERT's FORMAT clause is not looked at."""
    tokens = _tokens(head)
    first = next((token for token in tokens if token.word), None)
    if first is None:
        return Statement(b"", head)
    if first.text == b"INSERT":
        return _insert(head, tokens)
    outer = [token for token in tokens if token.depth == 0]
    ends = [*outer[2:], None]
    answer = None
    for word, name, after in zip(outer, outer[1:], ends, strict=False):
        if word.text == b"FORMAT" and name.word and (after is None or after.text in (b";", b"SETTINGS")):
            answer = head[name.start : name.end].decode()
    several = any(token.text == b";" and token is not outer[-1] for token in outer)
    return Statement(first.text, head, answer=answer, several=several)


def _insert(head: bytes, tokens: Iterator[_Token]) -> Statement:
    selects, input_at = False, None
    earlier = before = _Token(b"INSERT", 0, 0, 0, word=True)
    for token in tokens:
        a_clause = before.text == b"FORMAT" and before.depth == 0 and earlier.text not in _NAMES_FOLLOW
        if a_clause and token.word and (not selects or input_at is not None):
            gap = _AFTER_FORMAT.match(head, token.end)
            rows = head[gap.end() :] if gap else b""
            name = head[token.start : token.end].decode()
            return Statement(b"INSERT", head[: before.start], name, rows, input_at)
        if token.text == b"VALUES" and token.depth == 0 and not selects and before.text not in _NAMES_FOLLOW:
            break
        if token.text == b"(" and before.text == b"INPUT":
            input_at = before.start
        selects = selects or (token.text in _ROWS and token.depth == 0 and token.word)
        earlier, before = before, token
    return Statement(b"INSERT", head)


def _tokens(head: bytes) -> Iterator[_Token]:
    """Words and signs of `head` with the depth of parentheses around them, without comments."""
    depth = 0
    for match in _TOKEN.finditer(head):
        if match["space"] is not None:
            continue
        word = match["word"] is not None
        text = match[0].upper() if word else match[0][:1]
        depth -= text == b")"
        yield _Token(text, match.start(), match.end(), depth, word)
        depth += text == b"("
