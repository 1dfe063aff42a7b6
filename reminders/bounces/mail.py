"""A mail from anywhere, taken apart within bounds: whatever the bytes are, reading them neither fails nor takes long.

The parser of the standard library goes as deep as a mail nests and looks at every open boundary for every line; here
depth, parts, headers and bytes are counted. Charsets are ignored: what matters in a report is ASCII.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

MOST_BYTES: Final = 512 * 1024  # a report comes before the mail it returns; what lies behind is not read
MOST_DEPTH: Final = 4
MOST_PARTS: Final = 40
MOST_HEADERS: Final = 400
MOST_VALUE: Final = 4_000

Fields = tuple[tuple[str, str], ...]

_CONTENT_TYPE: Final = re.compile(r"\s*([a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60})", re.IGNORECASE)
_NAME: Final = re.compile(r"[!-9;-~]{1,100}")


@dataclass(frozen=True, slots=True)
class Part:
    """A mail, or a part of one: its fields with names in lower case, its decoded text, and the parts inside it."""

    fields: Fields = ()
    text: str = ""
    parts: tuple["Part", ...] = ()
    kind: str = field(default="text/plain")

    def get(self, name: str) -> str:
        """The first field of this name, or an empty string."""
        return get(self.fields, name)

    def all(self, name: str) -> tuple[str, ...]:
        """Every field of this name, in order."""
        return tuple(value for known, value in self.fields if known == name)

    def parameter(self, name: str) -> str:
        """A parameter of Content-Type in lower case, or an empty string."""
        return _parameter(self.get("content-type"), name).lower()

    def of_kind(self, *kinds: str) -> Iterator["Part"]:
        """The parts right inside this one that are of one of these kinds."""
        return (part for part in self.parts if part.kind in kinds)


def get(fields: Fields, name: str) -> str:
    """The first of `fields` with this name, or an empty string."""
    return next((value for known, value in fields if known == name), "")


def read(raw: bytes) -> Part:
    """The mail in `raw`. Never raises; what goes beyond the bounds is left out."""
    text = raw[:MOST_BYTES].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return _part(text.lstrip("\n"), 0, [MOST_PARTS])


def fields_of(block: str) -> Fields:
    """The fields of a header or of a group in a report, unfolded; lines that are none are left out."""
    found: list[tuple[str, list[str]]] = []
    for row in block.split("\n"):
        if row[:1] in (" ", "\t"):
            if found:
                found[-1][1].append(row.strip())
            continue
        if len(found) >= MOST_HEADERS:
            break
        name, colon, value = row.partition(":")
        if colon and _NAME.fullmatch(name.rstrip()):
            found.append((name.rstrip().lower(), [value.strip()]))
    return tuple((name, " ".join(rows)[:MOST_VALUE]) for name, rows in found)


def _part(text: str, depth: int, left: list[int], default: str = "text/plain") -> Part:
    head, _, body = ("", "", text[1:]) if text.startswith("\n") else text.partition("\n\n")
    fields = fields_of(head)
    content_type = get(fields, "content-type")
    stated = _CONTENT_TYPE.match(content_type)
    kind = stated[1].lower() if stated else default
    inner: tuple[str, ...] = ()
    if kind.startswith("multipart/"):
        inner = tuple(_split(body, _parameter(content_type, "boundary"), left[0]))
    else:
        body = _decoded(body, get(fields, "content-transfer-encoding").lower())
        if kind in ("message/rfc822", "message/global"):
            inner = (body.lstrip("\n"),)
    if depth >= MOST_DEPTH or left[0] <= 0:
        inner = ()
    left[0] -= len(inner)
    return Part(fields, body, tuple(_part(each, depth + 1, left) for each in inner), kind)


def _split(body: str, boundary: str, most: int) -> Iterator[str]:
    """The parts between the boundaries; the last one may lack its end. At most `most` of them."""
    if not boundary:
        return
    mark = "--" + boundary
    rows: list[str] | None = None
    for row in body.split("\n"):
        if row.startswith(mark) and (end := row[len(mark) :].rstrip()) in ("", "--"):
            if rows is not None:
                yield "\n".join(rows)
                most -= 1
            if end or most <= 0:
                return
            rows = []
        elif rows is not None:
            rows.append(row)
    if rows is not None:
        yield "\n".join(rows)


def _parameter(value: str, name: str) -> str:
    found = re.search(rf';\s*{name}\s*=\s*(?:"([^"]{{1,200}})"|([^\s;"]{{1,200}}))', value, re.IGNORECASE)
    return (found[1] or found[2]) if found else ""


def _decoded(body: str, encoding: str) -> str:
    raw = body.encode("utf-8")
    try:
        if encoding == "base64":
            raw = binascii.a2b_base64(raw)
        elif encoding == "quoted-printable":
            raw = binascii.a2b_qp(raw)
        else:
            return body
    except binascii.Error:
        return ""
    return raw.decode("utf-8", "replace").replace("\r\n", "\n")
