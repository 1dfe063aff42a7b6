"""`cartwake sql` as a conversation: lines until `;`, history, completion of names, a pager for what is long.

It uses the standard library's readline, which every Python on Linux and macOS brings: prompt_toolkit would be a new
dependency for colours alone.
"""

import contextlib
import os
import re
import readline
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TextIO

import click

from cartwake.errors import CartwakeError
from sinks.answers import FORMATS, Format, lines
from sinks.ask import Asker
from sinks.cells import clean
from sinks.clickhouse import Row
from sinks.pieces import pieces

_KEPT: Final = 2_000  # lines of history
_WORDS: Final = tuple(
    "SELECT FROM WHERE GROUP BY ORDER LIMIT HAVING WITH JOIN LEFT INNER ON USING AS AND OR NOT IN LIKE BETWEEN CASE "
    "WHEN THEN ELSE END DISTINCT UNION ALL ARRAY DESC ASC INTERVAL DAY HOUR NULL IS count() countIf( sum( sumIf( avg( "
    "min( max( uniqExact( quantile( toDate( toStartOfHour( toStartOfDay( now() dateDiff( round( if( JSONExtractString("
    .split()
)  # fmt: skip
_HELP: Final = r"""A statement ends with ; and may have several lines. Tab completes, Ctrl-C gives up, Ctrl-D ends.
  \d            tables and views            \d NAME       the columns of one
  \f FORMAT     table, vertical, csv, json  \x            vertical, and back
  \set NAME V   the value of {NAME:Type}    \timing       how long it took, and back
  \?            this                        \q            end
Questions that people ask, with their SQL: docs/analysts.md"""


class Shell:
    """One conversation. `history` is where its lines are kept, for their owner alone."""

    def __init__(self, asker: Asker, parameters: Mapping[str, str], format_: Format, history: Path) -> None:
        self._asker = asker
        self._parameters = dict(parameters)
        self._format: Format = format_
        self._history = history
        self._timing = True
        self._tables: dict[str, list[Row]] = {}
        self._offered: list[str] = []
        self._buffer = ""

    def run(self) -> None:
        """Talk until the input ends."""
        self._tables = self._asker.names()
        self._begin()
        self._say(f"{self._asker.database} on {self._asker.where}. Help: \\?  End: \\q")
        try:
            while self._turn():
                pass
        finally:
            self._keep()

    def _turn(self) -> bool:
        """One line; False at the end."""
        prompt = f"{self._asker.database}{'-' if self._buffer else '>'} "
        try:
            line = input(prompt)
        except EOFError:
            self._say("")
            return False
        except KeyboardInterrupt:
            self._say("")
            self._buffer = ""
            return True
        if not self._buffer and line.strip().startswith("\\"):
            return self._command(line.strip())
        found, rest = pieces(f"{self._buffer}{line}\n")
        self._buffer = rest.lstrip("\n") if rest else ""
        for statement in found:
            self._answer(statement.strip("\n"))
        return True

    def _answer(self, statement: str) -> None:
        began = time.monotonic()
        try:
            with self._asker.answer(statement, self._parameters) as answer:
                counted = Counted(answer.rows)
                show(lines(type(answer)(answer.columns, counted), self._format, terminal=True), sys.stdout)
                if self._timing:
                    self._say(f"{counted.words}, {time.monotonic() - began:.3f} s")
        except CartwakeError as exc:
            self._say(str(exc))
        except KeyboardInterrupt:
            self._say("given up")

    def _command(self, line: str) -> bool:
        word, *more = line.split(maxsplit=2)
        match (word, more):
            case (r"\q", []):
                return False
            case (r"\?" | r"\h", []):
                self._say(_HELP)
            case (r"\d", []):
                show(self._list(), sys.stdout)
            case (r"\d", [name]):
                show(self._describe(name.rstrip(";")), sys.stdout)
            case (r"\x", []):
                self._format = "table" if self._format == "vertical" else "vertical"
                self._say(f"format {self._format}")
            case (r"\f", [name]) if name in FORMATS:
                self._format = next(x for x in FORMATS if x == name)
                self._say(f"format {name}")
            case (r"\timing", []):
                self._timing = not self._timing
                self._say(f"timing {'on' if self._timing else 'off'}")
            case (r"\set", [name, value]):
                self._parameters[name] = value
            case _:
                self._say(f"{clean(line)[:60]}: not understood. \\? helps")
        return True

    def _list(self) -> Iterator[str]:
        width = max(map(len, self._tables), default=0)
        for name, columns in self._tables.items():
            yield clean(f"{name:{width}}  {columns[0]['words']}")

    def _describe(self, name: str) -> Iterator[str]:
        columns = self._tables.get(name)
        if columns is None:
            yield f"there is no table or view {clean(name)[:60]}. \\d lists them"
            return
        yield clean(f"{name}: {columns[0]['words']}")
        width = max(len(str(row["column"])) for row in columns)
        types = max(min(len(str(row["type"])), 40) for row in columns)
        for row in columns:
            yield clean(f"  {row['column']:{width}}  {row['type']:{types}}  {row['meaning']}")

    # -- readline ----------------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        readline.set_completer(self._complete)
        readline.set_completer_delims(" \t\n,()=<>+-*/;'\"`.")
        editing = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if editing else "tab: complete")
        if not editing:
            readline.parse_and_bind("set enable-bracketed-paste off")  # several statements may be pasted at once
        with contextlib.suppress(OSError):
            readline.read_history_file(self._history)

    def _keep(self) -> None:
        readline.set_history_length(_KEPT)
        try:
            self._history.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._history, os.O_WRONLY | os.O_CREAT, 0o600))
            readline.write_history_file(self._history)
        except OSError as exc:
            click.echo(f"the history was not kept: {exc}", err=True)

    def _complete(self, text: str, state: int) -> str | None:
        if state == 0:
            self._offered = list(self._offers(text, self._buffer + readline.get_line_buffer()))
        return self._offered[state] if state < len(self._offered) else None

    def _offers(self, text: str, before: str) -> Iterator[str]:
        """Names that begin with `text`: columns of the tables that are named, of all while none is."""
        named = [name for name in self._tables if re.search(rf"\b{name}\b", before)]
        columns = {str(row["column"]) for name in named or self._tables for row in self._tables[name]}
        only_tables = re.search(r"(?:\bFROM|\bJOIN|^\\d)\s+\w*$", before, re.IGNORECASE)
        for word in [*self._tables] if only_tables else [*self._tables, *sorted(columns), *_WORDS]:
            if word.lower().startswith(text.lower()):
                yield word

    def _say(self, words: str) -> None:
        sys.stdout.write(words + "\n")
        sys.stdout.flush()


class Counted:
    """Rows that are counted as they go by."""

    def __init__(self, rows: Iterator[tuple[object, ...]]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> "Counted":
        return self

    def __next__(self) -> tuple[object, ...]:
        row = next(self._rows)
        self.number += 1
        return row

    @property
    def words(self) -> str:
        """`1 row`, `2 rows`."""
        return f"{self.number} row{'' if self.number == 1 else 's'}"


def show(made: Iterator[str], out: TextIO, page: Callable[[Iterator[str]], None] | None = None) -> None:
    """Write lines; through $PAGER when they are more than the screen has."""
    size = shutil.get_terminal_size()
    held: list[str] = []
    for line in made:
        held.append(line)
        if len(held) >= size.lines - 1 and out.isatty():
            (page or _page)(_all(held, made))
            return
        if len(held) >= 1_000 and not out.isatty():
            out.writelines(x + "\n" for x in held)
            held.clear()
    out.writelines(x + "\n" for x in held)
    out.flush()


def _all(held: list[str], made: Iterator[str]) -> Iterator[str]:
    for line in held:
        yield line + "\n"
    for line in made:
        yield line + "\n"


def _page(made: Iterator[str]) -> None:
    os.environ.setdefault("LESS", "-FRSX")  # long lines are cut, not wrapped; arrows look at the rest
    click.echo_via_pager(made)
