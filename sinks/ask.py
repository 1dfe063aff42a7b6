"""An analyst's own SQL: read only unless asked otherwise, in bounded memory, errors in words with their place.

in   one statement and its parameters (`{from:Date}` in it)
out  columns and rows as they come, or bytes of a format that ClickHouse writes itself
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from clickhouse_connect.driver.exceptions import ClickHouseError, Error
from urllib3.exceptions import HTTPError

import sql
from cartwake.errors import ConfigurationError, Rejected
from sinks.cells import clean
from sinks.clickhouse import ClickHouse, Row

Parameters = Mapping[str, str]

#: Of a connection whose user may do more: what ClickHouse is told with each question.
_LIMITS: Final = {"readonly": 1, "max_execution_time": 60, "max_memory_usage": 2_000_000_000}
READS: Final = ("SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS")
_GAP: Final = re.compile(r"(?:\s+|--[^\n]*|#[^\n]*|/\*.*?\*/|\()*", re.DOTALL)
_FORMAT: Final = re.compile(r"\b(FORMAT)\s+[A-Za-z]\w*\s*$", re.IGNORECASE)
_LONGEST: Final = 600

_POSITION: Final = re.compile(r"failed at position (\d+)")
_BRACKET: Final = re.compile(r"Unmatched parentheses: '.' at position (\d+)")
_EXPECTED: Final = re.compile(r"Expected one of: (.*?)\.?$")
_HINT: Final = re.compile(r"Maybe you meant:? (?:\[(.*?)\]|([^\s?]+)\?)")
_NAMED: Final = (
    (47, "column", re.compile(r"[Ii]dentifier [`']([^`']+)[`']|Missing columns: '([^']+)'")),
    (46, "function", re.compile(r"(?:Function with name|Unknown function) `?([^`\s]+)`?")),
    (60, "table or view", re.compile(r"(?:identifier|Table) [`']?([^`'\s]+?)[`']?\.? ")),
)


class Wrong(Rejected):
    """The statement can't be answered; `str()` says where and why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: columns, and rows that are fetched as they are taken."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class Asker(ClickHouse):
    """A connection for an analyst's statements. `limited` keeps one that may do more to reading."""

    limited = False
    writes = False

    @classmethod
    def begin(cls, dsn: str, database: str, *, limited: bool, writes: bool = False) -> Self:
        """Connect; raises SinkUnavailable or ConfigurationError as `open` does."""
        asker = cls.open(dsn, database, timeout_s=90)
        asker.limited, asker.writes = limited and not writes, writes
        return asker

    @contextmanager
    def answer(self, statement: str, parameters: Parameters) -> Iterator[Answer]:
        """The answer to `statement`; raises Wrong when there is none. Leaving the block drops what was not fetched."""
        values = self._checked(statement, parameters)
        if not _reads(statement):
            with self._told(statement):
                self._client.command(statement, parameters=values)
            yield Answer((), iter(()))
            return
        with self._told(statement):
            opened = self._client.query_rows_stream(
                statement, parameters=values, settings=self._settings, tz_mode="aware"
            )
        with opened:
            source: Any = opened.source
            columns = tuple(source.column_names) or self._columns(statement, values)
            yield Answer(columns, self._rows(opened, statement))

    def _rows(self, opened: Any, statement: str) -> Iterator[tuple[Any, ...]]:
        with self._told(statement):
            for row in opened:
                yield tuple(row)

    def _columns(self, statement: str, values: dict[str, str] | None) -> tuple[str, ...]:
        """The columns of an answer without rows, which names none."""
        if statement[_first(statement) :].split(maxsplit=1)[0].upper() not in ("SELECT", "WITH", "FROM"):
            return ()
        with self._told(statement):
            return tuple(self._client.query(f"DESCRIBE ({statement}\n)", parameters=values).result_columns[0])

    @contextmanager
    def _told(self, statement: str) -> Iterator[None]:
        try:
            yield
        except (ClickHouseError, Error, HTTPError) as exc:
            raise self._wrong(exc, statement) from exc

    def written(self, statement: str, parameters: Parameters, format_: str) -> Iterator[bytes]:
        """The answer as ClickHouse writes it in `format_`, such as Parquet."""
        values = self._checked(statement, parameters)
        with self._told(statement):
            opened: Any = self._client.raw_stream(statement, parameters=values, settings=self._settings, fmt=format_)
        with opened as stream:
            while piece := self._piece(stream, statement):
                yield piece

    def _piece(self, stream: Any, statement: str) -> bytes:
        with self._told(statement):
            return bytes(stream.read(1 << 20))

    def names(self) -> dict[str, list[Row]]:
        """The columns of every public table and view, by its name."""
        found: dict[str, list[Row]] = {}
        for row in self.query(sql.read("dictionary/columns.sql")):
            found.setdefault(row["name"], []).append(row)
        return found

    @property
    def _settings(self) -> dict[str, Any]:
        return dict(_LIMITS) if self.limited else {}

    def _checked(self, statement: str, parameters: Parameters) -> dict[str, str] | None:
        if not self.writes and not _reads(statement):
            first = statement[_first(statement) :].split(maxsplit=1)[:1]
            raise Wrong(f"{clean(''.join(first))[:40]!r}: only reading here ({', '.join(READS)}); --write lifts that")
        if (clause := _FORMAT.search(statement)) and _reads(statement):
            raise Wrong(_placed(statement, clause.start(1), "leave FORMAT away: --format here, \\f in the shell"))
        named = dict.fromkeys(re.findall(r"\{\s*(\w+)\s*:", statement))
        if missing := [name for name in named if name not in parameters]:
            raise Wrong(f"parameter {missing[0]} has no value: --param {missing[0]}=…, or \\set {missing[0]} …")
        # parameters that a statement does not use would make the client look for % in it
        return {name: parameters[name] for name in named} or None

    def _wrong(self, exc: Exception, statement: str) -> Exception:
        code = getattr(exc, "code", None)
        text = clean(re.sub(r"\s+", " ", _core(str(exc))))
        if code == 62 and (place := _BRACKET.search(text) or _POSITION.search(text)):
            return Wrong(_syntax(statement, int(place[1]), text))
        for number, kind, pattern in _NAMED:
            if code == number and (match := pattern.search(text)):
                return Wrong(self._unknown(statement, kind, next(filter(None, match.groups())), text))
        if code is None:
            return _unreachable(self.where, exc)
        return Wrong(_LIMIT_WORDS.get(code, "") + text[:_LONGEST])

    def _unknown(self, statement: str, kind: str, name: str, text: str) -> str:
        hint = _HINT.search(text)
        near = re.findall(r"'([^']+)'", hint[1]) if hint and hint[1] else []
        if not near and kind != "function":
            tables = self.names()
            known = [*tables, *(str(row["column"]) for rows in tables.values() for row in rows)]
            near = difflib.get_close_matches(name.rpartition(".")[2], known, n=3)
        words = f"there is no {kind} {name}"
        if near:
            words += f"; did you mean {' or '.join(near[:3])}?"
        elif kind == "table or view":
            words += "; \\d lists them"
        found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", statement)
        return _placed(statement, found.start(), words) if found else words


_LIMIT_WORDS: Final = {
    159: "it took longer than is allowed. Ask for less: a shop_id, a few days. ",
    241: "it wanted more memory than is allowed. Ask for less: a shop_id, a few days. ",
    164: "only reading here. ",
    497: "this user may not. ",
    516: "the user or the password is wrong. ",
}


def _reads(statement: str) -> bool:
    word = re.match(r"\w+", statement[_first(statement) :])
    return word is not None and word[0].upper() in READS


def _first(statement: str) -> int:
    """Where the statement's first word is."""
    gap = _GAP.match(statement)
    return gap.end() if gap else 0


def _core(text: str) -> str:
    """The reason alone, of a message with codes, versions and addresses around it."""
    text = re.sub(r".*?DB::Exception: ", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"^(Code: \d+\. DB::Exception: )+", "", text)
    return re.sub(r"(?:\s*(?:\([A-Z_]+\)|\(version [^)]*\)*|\(for url [^)]*\)|\.))*\s*$", "", text)


def _syntax(statement: str, position: int, text: str) -> str:
    """What ClickHouse's parser says of the byte at `position`, counted from 1."""
    at = len(statement.encode()[: position - 1].decode(errors="replace"))
    if _BRACKET.search(text):
        return _placed(statement, at, "this bracket is never closed")
    if "is not closed" in text:
        return _placed(statement, at, "this text or name is never closed")
    if at >= len(statement.rstrip()):
        words = "the statement ends too early"
    else:
        near = re.match(r"\w+|\S", statement[at:])
        words = f"this can't stand here: {near[0] if near else ''}"
    found = _EXPECTED.search(text)
    expected = [x.strip() for x in found[1].split(",") if x.strip()] if found else []
    if expected:
        words += f"; expected {', '.join(expected[:6])}" + (", …" if len(expected) > 6 else "")
    return _placed(statement, at, words)


def _placed(statement: str, at: int, words: str) -> str:
    """`words` with line and column, the line below and a mark under it."""
    begin = statement.rfind("\n", 0, at) + 1
    line = statement[begin:].split("\n", 1)[0]
    number, column = statement.count("\n", 0, at) + 1, at - begin
    shift = max(column - 60, 0)
    shown = clean(line.replace("\t", " "))[shift : shift + 100]
    return f"line {number}, column {column + 1}: {words}\n  {shown}\n  {' ' * (column - shift)}^"


def _unreachable(where: str, exc: Exception) -> Exception:
    if "HTTPDriver" in str(exc):
        return Wrong(f"ClickHouse at {where} broke off: {clean(str(exc))[:_LONGEST]}")
    return ConfigurationError(f"ClickHouse at {where} does not answer: {clean(str(exc))[:200]}")
