"""Reads as much of a SQL statement as changing it must know: where it ends, what it is about, what its words are.

Words in comments, in texts and in parentheses are told apart from the statement's own; nothing is looked for by pattern
alone.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from cartwake.errors import ConfigurationError

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_SPACE: Final = r"\s+|--[^\n]*|#[ !][^\n]*|/\*.*?\*/"
_QUOTED: Final = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`"
_TOKEN: Final = re.compile(rf"(?P<space>{_SPACE})|{_QUOTED}|(?P<word>\w+)|.", re.DOTALL)
_END: Final = re.compile(rf"{_SPACE}|{_QUOTED}|(?P<end>;)", re.DOTALL)
_BEFORE_NAME: Final = frozenset({"OR", "REPLACE", "TEMPORARY", "IF", "NOT", "EXISTS", "EMPTY"})
_TWO_WORDS: Final = {"MATERIALIZED": "VIEW", "ROW": "POLICY", "SETTINGS": "PROFILE", "NAMED": "COLLECTION"}
_VERBS: Final = frozenset({"CREATE", "ALTER", "DROP", "TRUNCATE", "DETACH", "ATTACH", "UNDROP"})
_KINDS: Final = frozenset(
    {
        "DATABASE", "TABLE", "VIEW", "MATERIALIZED VIEW", "DICTIONARY", "FUNCTION", "USER", "ROLE", "QUOTA",
        "ROW POLICY", "SETTINGS PROFILE", "NAMED COLLECTION",
    }
)  # fmt: skip
_HEAD: Final = 20  # tokens in which the name stands


class Token(NamedTuple):
    """A word (upper case), a quoted name, a text or a sign, and how many parentheses are around it."""

    text: str
    start: int
    end: int
    depth: int


class Subject(NamedTuple):
    """What a statement is about: `CREATE`, `TABLE`, `cartwake`, `carts_log`; `end` is where the name ends."""

    verb: str
    kind: str
    database: str
    name: str
    end: int


def tokens(text: str) -> Iterator[Token]:
    """Words and signs of `text`, comments and spaces left out."""
    depth = 0
    for match in _TOKEN.finditer(text):
        if match["space"] is not None:
            continue
        word = match[0].upper() if match["word"] else match[0]
        depth -= word == ")"
        yield Token(word, match.start(), match.end(), depth)
        depth += word == "("


def statements(text: str) -> Iterator[str]:
    """The statements of a file, each with the comments before it; they end with `;`."""
    start = 0
    for end in [x.start() for x in _END.finditer(text) if x["end"]] + [len(text)]:
        if next(tokens(text[start:end]), None):
            yield text[start:end].strip()
        start = end + 1


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with `{name}` replaced; raises ConfigurationError for a name that is not among `values`.

    `{name:Type}` is the server's own parameter and stays.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = ", ".join(f"{{{x}}}" for x in sorted(values))
            raise ConfigurationError(f"SQL: {match[0]} is no placeholder; known are {known}")
        return values[match[1]]

    return _PLACEHOLDER.sub(value, text)


def subject(statement: str) -> Subject:
    """What `statement` is about; kind and name are empty where it names no single thing (INSERT, GRANT, RENAME)."""
    words = list(islice(tokens(statement), _HEAD))
    verb = words[0].text if words else ""
    nothing = Subject(verb, "", "", "", 0)
    rest = [x for x in words[1:] if x.text not in _BEFORE_NAME]
    if verb not in _VERBS or len(rest) < 2:
        return nothing
    kind = rest[0].text
    if rest[1].text == _TWO_WORDS.get(kind):
        kind, rest = f"{kind} {rest[1].text}", rest[1:]
    if kind not in _KINDS or len(rest) < 2:
        return nothing
    names = [statement[x.start : x.end].strip('`"') for x in rest]
    if [x.text for x in rest[2:3]] == ["."] and len(rest) > 3:
        return Subject(verb, kind, names[1], names[3], rest[3].end)
    return Subject(verb, kind, "", names[1], rest[1].end)
