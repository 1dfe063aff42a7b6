"""Text and addresses from outside, made fit for a mail: one line, no tricks, not too long."""

import re
import unicodedata
from typing import Final
from urllib.parse import urlsplit

from markupsafe import Markup

#: C0, C1, line and paragraph separators, bidi controls and invisible characters that hide or reorder text.
_BAD: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
    "|[\ud800-\udfff]"
)
#: Allowed within a text (they join emoji and letters); a text of nothing else shows nothing.
_UNSEEN: Final = " \u034f\u115f\u1160\u17b4\u17b5\u200c\u200d\u2800\u3164\ufe0e\ufe0f\uffa0"
_NAME: Final = re.compile(r"[^\W\d_]+(?:[ .'’-]{1,2}[^\W\d_]+){0,3}\.?")
MOST_URL: Final = 2_000
MOST_LINES: Final = 60  # of own words


def line(text: str | None, most: int) -> str:
    """`text` on one line of at most `most` characters, without what hides, reorders or ends a header.

    Empty when nothing of it can be seen, so that what stands in for a missing text stands in for it, too.
    """
    plain = _BAD.sub(" ", text or "").replace("=?", "= ?")
    plain = unicodedata.normalize("NFC", " ".join(plain.split()))
    if not plain.strip(_UNSEEN):
        return ""
    return plain if len(plain) <= most else plain[: most - 1].rstrip() + "…"


def lines(text: str) -> list[str]:
    """Somebody's own words, line by line."""
    rows = [line(row, 2_000) for row in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return "\n".join(rows[:MOST_LINES]).strip().split("\n")


def in_html(text: str) -> Markup:
    """Somebody's own words as they stand in HTML."""
    return Markup("<br>").join(lines(text))  # joining escapes the lines


def first_name(text: str | None) -> str | None:
    """The name if it looks like one: forms are filled by machines too, and a greeting is no place for their links."""
    name = line(text, 60)
    return name if len(name) <= 40 and _NAME.fullmatch(name) else None


def web_url(text: str | None) -> str | None:
    """The address if it is one of the web (http or https, with a host), else None."""
    if not text or len(text) > MOST_URL or _BAD.search(text) or any(x in text for x in " \t\"'<>\\^`{|}"):
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for a port that is none
    except ValueError:
        return None
    plain = parts.scheme in ("http", "https") and parts.hostname and not parts.username and not parts.password
    return text if plain else None
