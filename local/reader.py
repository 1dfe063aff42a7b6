"""What the analysts' user of the embedded ClickHouse may do: read, for a while, and nothing else.

The engine has one user. Its `readonly = 1` stops writing, settings and most table functions, but not all that a
server's grants would stop: the function `file` reads any file, `INTO OUTFILE` writes one, `SYSTEM` and `KILL` are
obeyed. So a statement is looked at before the engine gets it, and what can't be read with certainty is refused: outside
of texts and comments only ASCII, no `#`, `$` or backslash, no escapes in quoted names. Then our words are the engine's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from cartwake.errors import CartwakeError

USER: Final = "analyst"
MOST_SECONDS: Final = 60
#: Set before `readonly`, so that no query changes them. A query that needs more memory than this ends with error 241.
LIMITS: Final[Mapping[str, str]] = {
    "max_execution_time": str(MOST_SECONDS),
    "max_memory_usage": "2000000000",
    "max_threads": "2",
    "max_result_bytes": "10000000000",
}
#: Queries at a time; more wait, and hold up nobody but analysts.
AT_ONCE: Final = 4

_READONLY, _DENIED = 164, 497  # ClickHouse's numbers
_VERBS: Final = {b"SELECT", b"WITH", b"FROM", b"SHOW", b"DESCRIBE", b"DESC", b"EXPLAIN", b"EXISTS"}
_WORDS: Final = {b"OUTFILE": "INTO OUTFILE", b"PROCESSLIST": "SHOW PROCESSLIST"}
#: Table functions that reach nothing outside of the statement.
_HARMLESS: Final = frozenset(
    "numbers numbers_mt zeros zeros_mt primes generate_series generateseries generaterandom values view format "
    "null".split()
)
#: Functions that read files or speak to other machines: refused anywhere, also without a bracket: `arrayMap(file, …)`.
_REACHING: Final = frozenset({"file", "hascolumnintable", "reversednsquery", "catboostevaluate"})
_ASKS_MODELS: Final = re.compile(r"ai[A-Z]\w*")
_HIDDEN: Final = frozenset({"processes", "named_collections", "stack_trace", "query_cache", "user_processes"})
_SETTINGS: Final = re.compile(
    r"(output_format_\w+|param_\w+|date_time_output_format|session_timezone|join_use_nulls|extremes|limit|offset"
    r"|max_result_rows|result_overflow_mode|max_block_size|max_execution_time|log_comment)"
)
_TOKEN: Final = re.compile(
    rb"(?P<gap>[ \t\r\n]+|--[^\n]*|/\*.*?\*/)"
    rb"|(?P<text>'(?:[^'\\]|\\.)*')"
    rb"|(?P<quoted>\"[^\"\\]*\"|`[^`\\]*`)"
    rb"|(?P<word>\w+)"
    rb"|(?P<sign>[][(){}<>,.;:=!+*/%|?^&@~-])",
    re.DOTALL,
)


class Refused(CartwakeError):
    """The analysts' user may not do that; `code` is ClickHouse's number for the reason."""

    def __init__(self, words: str, code: int = _DENIED) -> None:
        super().__init__(words)
        self.code = code


class _Token(NamedTuple):
    name: str  # lower case; empty for texts and signs
    text: bytes


def check(statement: bytes, table_functions: Iterable[str]) -> None:
    """Raise Refused unless `statement` only reads what an analyst may. `table_functions`: those of the engine."""
    denied = {name.lower() for name in table_functions} - _HARMLESS
    tokens = list(_tokens(statement))
    verb = next((token.text.upper() for token in tokens if token.name), b"")
    if verb not in _VERBS:
        raise Refused(f"{verb.decode() or 'This'} is not for user {USER}, who only reads (READONLY)", _READONLY)
    nothing = _Token("", b"")
    for number, token in enumerate(tokens):
        after = tokens[number + 1] if number + 1 < len(tokens) else nothing
        if token.text == b";" and after is not nothing:
            raise Refused("Multi-statements are not allowed (SYNTAX_ERROR)", 62)
        if words := _WORDS.get(token.text.upper()):
            raise Refused(f"{words} is not for user {USER} (READONLY)", _READONLY)
        calls = after.text == b"("
        if token.name in _REACHING or (calls and (token.name in denied or _ASKS_MODELS.fullmatch(_plain(token.text)))):
            raise Refused(
                f"{_plain(token.text)} is not for user {USER}: it reaches out of the database (ACCESS_DENIED)"
            )
        of_system = number > 1 and tokens[number - 1].text == b"." and tokens[number - 2].name == "system"
        if token.name.endswith("_log") or (of_system and token.name in _HIDDEN):
            raise Refused(
                f"{_plain(token.text)} is not for user {USER}. Ask the views: docs/dictionary.md (ACCESS_DENIED)"
            )


def settings(asked: Mapping[str, str]) -> dict[str, str]:
    """The settings of a request as the engine gets them, limits included; raises Refused for others."""
    wanted = {name: value for name, value in asked.items() if name != "readonly"}
    for name, value in wanted.items():
        if not _SETTINGS.fullmatch(name):
            raise Refused(f"Cannot modify {name!r} setting in readonly mode (READONLY)", _READONLY)
        if name.startswith("param_") and value.strip('`" \t\r\n').lower().endswith("_log"):
            raise Refused(f"{value} is not for user {USER}. Ask the views: docs/dictionary.md (ACCESS_DENIED)")
    if (seconds := wanted.get("max_execution_time")) is not None:
        within = re.fullmatch(r"\d{1,9}(\.\d{1,9})?", seconds) and 0 < float(seconds) <= MOST_SECONDS
        wanted["max_execution_time"] = seconds if within else str(MOST_SECONDS)
    return {**LIMITS, **wanted, "readonly": "1"}


def _tokens(statement: bytes) -> Iterator[_Token]:
    at = 0
    while at < len(statement):
        match = _TOKEN.match(statement, at)
        if match is None:
            line = statement.count(b"\n", 0, at) + 1
            sign = statement[at : at + 4].decode(errors="replace")[:1]
            raise Refused(
                f"Syntax error: {sign!r} in line {line} is not for user {USER} outside of texts (SYNTAX_ERROR)", 62
            )
        at = match.end()
        if match["gap"] is None:
            named = match["word"] is not None or match["quoted"] is not None
            yield _Token(_plain(match[0]).lower() if named else "", match[0])


def _plain(text: bytes) -> str:
    return text.strip(b'"`').decode(errors="replace")
