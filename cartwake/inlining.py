"""Styles of a mail's HTML, put into its elements where they are read by every mail program. Pure.

The HTML is a template: what is Jinja2 in it stays where it is, and what no parser would leave in its place is refused.
"""

import re
from collections.abc import Iterator
from typing import Final

import css_inline
from jinja2 import Environment

from cartwake.errors import ConfigurationError

# stylesheets are kept only as far as they can't be put inline: what is in @media
_INLINER: Final = css_inline.CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
_OPENING: Final = {"variable_begin": "variable_end", "block_begin": "block_end", "raw_begin": "raw_end"}
_LEXER: Final = Environment(keep_trailing_newline=True)  # noqa: S701 - reads, writes nothing
_SPOT: Final = re.compile(r"<!--ꞏ(\d+)ꞏ-->|ꞏ(\d+)ꞏ")


def inlined(source: str) -> str:
    """The HTML with its styles in the elements, and everything of Jinja2 where it was.

    A tag is a comment while the HTML is read, or a word where there can be no comment, so that no parser moves it.
    """
    html, tags = _marked(source)
    html = _INLINER.inline(html)
    if "<tbody" not in source:  # a parser adds it to every table, around half of a loop
        html = re.sub(r"</?tbody>", "", html)
    seen: list[int] = []

    def back(found: re.Match[str]) -> str:
        seen.append(int(found[1] or found[2]))
        return tags[seen[-1]]

    html = _SPOT.sub(back, html)
    if sorted(seen) != list(range(len(tags))):
        lost = next((n for n in range(len(tags)) if seen.count(n) != 1), 0)
        raise ConfigurationError(f"the HTML around {tags[lost]} is not closed or nested as it should be")
    return html


def _marked(source: str) -> tuple[str, list[str]]:
    if "ꞏ" in source:
        raise ConfigurationError("the character ꞏ (U+A78F) can't be used")
    out: list[str] = []
    tags: list[str] = []
    place = _Place()
    for lineno, is_tag, text in _pieces(source):
        if not is_tag:
            place.read(text)
            out.append(text)
            continue
        if place.between_attributes:  # a parser may change their order
            raise ConfigurationError(f"line {lineno}: {text} can stand in a value in quotes, not between attributes")
        mark = f"ꞏ{len(tags)}ꞏ"
        out.append(mark if place.where else f"<!--{mark}-->")
        tags.append(text)
    return "".join(out), tags


def _pieces(source: str) -> Iterator[tuple[int, bool, str]]:
    """The source in pieces: (line, True, a tag of Jinja2) and (line, False, what is between). Comments are left out."""
    tag, until, in_comment = "", "", False
    for lineno, kind, value in _LEXER.lex(source):
        if kind in ("comment_begin", "comment_end"):
            in_comment = kind == "comment_begin"
        elif until:
            tag += value
            if kind == until:
                yield lineno, True, tag
                tag, until = "", ""
        elif kind in _OPENING:
            tag, until = value, _OPENING[kind]
        elif not in_comment:
            yield lineno, False, value


class _Place:
    """Where in HTML one is: `where` is empty in text, else `tag`, `comment` or the element whose text is no HTML."""

    _RAW: Final = ("style", "title", "script", "textarea")

    def __init__(self) -> None:
        self.where = ""
        self._quote = ""
        self._element = ""

    @property
    def between_attributes(self) -> bool:
        """Whether it is inside a tag and not in a value in quotes."""
        return self.where == "tag" and not self._quote

    def read(self, html: str) -> None:
        """Go on by a piece."""
        at = 0
        while at < len(html):
            at = self._next(html, at)

    def _next(self, html: str, at: int) -> int:
        if self.where == "":
            found = re.compile(r"<!--|</?([A-Za-z][^\s/>]*)|<!").search(html, at)
            if found is None:
                return len(html)
            self.where = "comment" if found[0] == "<!--" else "tag"
            closing = found[0].startswith("</")
            self._element = "" if closing else (found[1] or "").lower()
            return found.end()
        if self.where == "tag":
            found = re.compile(re.escape(self._quote) if self._quote else "[\"'>]").search(html, at)
            if found is None:
                return len(html)
            if self._quote:
                self._quote = ""
            elif found[0] == ">":
                self.where = self._element if self._element in self._RAW else ""
            else:
                self._quote = found[0]
            return found.end()
        found = re.compile("-->" if self.where == "comment" else rf"</{self.where}\s*>", re.I).search(html, at)
        if found is None:
            return len(html)
        self.where = ""
        return found.end()
