"""The statements of a text: each ends with `;`, unless that stands in a text, a quoted name or a comment."""

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"--[^\n]*|\#[ !][^\n]*|/\*.*?(?:\*/|\Z)"
    r"|'(?:[^'\\]|\\.)*(?:'|\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\Z)|`(?:[^`\\]|\\.)*(?:`|\Z)"
    r"|\$(\w*)\$.*?(?:\$\1\$|\Z)|;|\w+|.",
    re.DOTALL,
)
_COMMENTS: Final = ("--", "#", "/*")


def pieces(text: str) -> tuple[list[str], str]:
    """The complete statements, without their `;`, and what comes after the last one.

    Each begins with as many empty lines as lie before it, so that a line's number is that of the whole text. What has
    comments alone is none.
    """
    found: list[str] = []
    begin, filled = 0, False
    for match in _TOKEN.finditer(text):
        if match[0] == ";":
            if filled:
                found.append("\n" * text.count("\n", 0, begin) + text[begin : match.start()])
            begin, filled = match.end(), False
        else:
            filled = filled or not (match[0].isspace() or match[0].startswith(_COMMENTS))
    rest = "\n" * text.count("\n", 0, begin) + text[begin:] if filled else ""
    return found, rest
