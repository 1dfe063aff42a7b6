"""A mail as it goes over the wire, checked: exactly our headers, no line break that is not one.

`EmailMessage` of the standard library makes the same in 2 ms, and up to CPython 3.11 lets an encoded word in a subject
become a header of its own (CVE-2024-6923 and its kin). Here the shape is known, so it is written directly, and read
again before it may leave.

    multipart/mixed            with files only
      multipart/alternative
        text/plain
        multipart/related      with pictures only
          text/html
          image/…
      application/…
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote

from reminders.address import ascii_address
from reminders.clean import line

UNSUBSCRIBE: Final = ("list-unsubscribe", "list-unsubscribe-post")
HEADERS: Final = (
    "from", "to", "subject", "date", "message-id", "auto-submitted", *UNSUBSCRIBE, "mime-version", "content-type",
)  # fmt: skip
# the parser of the standard library takes the first of several, and what stands before a line break
_SENDER: Final = re.compile(r'"?(?P<name>[^"<>\r\n]*?)"? ?<(?P<inside>[^<>\s]+)>|(?P<alone>[^<>\s]+)')
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_ID: Final = re.compile(r"<[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+>")
_URL: Final = re.compile(r"https?://[!-;=?-~]+")
_EXTRA: Final = re.compile(r"X-[A-Za-z0-9-]{1,60}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,800}[!-~])?")
_TYPE: Final = re.compile(r"(?!multipart/|message/)[a-z]+/[a-z0-9][a-z0-9.+-]*")
_NAME: Final = re.compile(r"[A-Za-z0-9 ._()+-]{1,60}")
_PLAIN: Final = b"\t\n" + bytes(range(ord(" "), ord("~") + 1))
#: What browsers read as something else: references to controls, and to halves of letters.
_NO_REFERENCE: Final = re.compile(rb"&#(?:1(?:2[89]|[34][0-9]|5[0-9])|5(?:5[3-9]|6[0-9]|7[0-3])[0-9]{2});")
#: Where a reference would be read as it is.
_AS_IT_IS: Final = ((b"<style", b"</style"), (b"<script", b"</script"), (b"<!--", b"-->"))
_BREAK: Final = re.compile(r"\r\n?")
_LONGEST: Final = 998  # bytes of a line (RFC 5322)
_LINE: Final = 76  # characters of a line with an encoded word (RFC 2047), or of encoded content (RFC 2045)


class Unsafe(Exception):
    """The mail would say something on the wire that we did not write."""


@dataclass(frozen=True, slots=True)
class File:
    """Something to go with the mail; one with a `content_id` is a picture that the HTML shows as `cid:content_id`."""

    name: str
    type: str
    content: bytes
    content_id: str | None = None


def sender_address(text: str) -> tuple[str, str]:
    """(name, address) of `Shop <carts@example.com>` or `carts@example.com`; raises ValueError."""
    found = _SENDER.fullmatch(text.strip())
    if found is None:
        raise ValueError("write it like Shop <carts@example.com>")
    address = found["inside"] or found["alone"]
    return line(found["name"], 100), ascii_address(address)


def build(
    *, sender: tuple[str, str], to: str, subject: str, text: str, html: str,
    date: datetime, message_id: str, unsubscribe_url: str | None, files: Sequence[File] = (),
    extra: tuple[str, str] | None = None,
) -> bytes:  # fmt: skip
    """The serialised message, the same for the same arguments; raises Unsafe, or ValueError for a bad address.

    Without an `unsubscribe_url` it is one that nobody subscribes to, such as an order's confirmation. `extra` is one
    header more (name, value), in which a mail provider is told what it hands back.
    """
    if not _ID.fullmatch(message_id):
        raise Unsafe("a Message-ID that is none")
    if unsubscribe_url is not None and not _URL.fullmatch(unsubscribe_url):
        raise Unsafe("an unsubscribe address that is none")
    unsubscribe = (
        f"List-Unsubscribe: <{unsubscribe_url}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
        if unsubscribe_url is not None
        else ""
    )
    head = (
        f"From: {_mailbox(line(sender[0], 100), ascii_address(sender[1]))}\r\n"
        f"To: {ascii_address(to)}\r\n"
        f"Subject: {_words(line(subject, 200), len('Subject: '))}\r\n"
        f"Date: {format_datetime(date)}\r\n"
        f"Message-ID: {message_id}\r\n"
        "Auto-Submitted: auto-generated\r\n"
        f"{unsubscribe}{_extra(extra)}"
        "MIME-Version: 1.0\r\n"
    )
    mark = hashlib.sha256(message_id.encode()).hexdigest()[:24]
    wire = head.encode("ascii") + _content(text, html, files, mark)
    check(wire, unsubscribe_url, extra and extra[0])
    return wire


def check(wire: bytes, unsubscribe_url: str | None, extra: str | None = None) -> None:
    """Raise Unsafe unless `wire` has exactly our headers, each once, and no bare CR, LF or NUL."""
    rest = wire.replace(b"\r\n", b"")
    if b"\r" in rest or b"\n" in rest or b"\0" in rest:
        raise Unsafe("a bare line break or NUL")
    head = wire.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [row.partition(b":")[0].decode("ascii", "replace").lower() for row in head if row[:1] not in (b" ", b"\t")]
    expected = [name for name in HEADERS if unsubscribe_url is not None or name not in UNSUBSCRIBE]
    expected += [extra.lower()] if extra else []
    if sorted(names) != sorted(expected):
        raise Unsafe(f"headers {', '.join(sorted(set(names) ^ set(expected)) or sorted(names))} are not as expected")
    if unsubscribe_url is not None and f"List-Unsubscribe: <{unsubscribe_url}>".encode() not in head:
        raise Unsafe("List-Unsubscribe was changed on its way to the wire")
    if any(len(row) > _LONGEST for row in head):
        raise Unsafe("a header line longer than 998 bytes (RFC 5322)")


def _extra(header: tuple[str, str] | None) -> str:
    if header is None:
        return ""
    if not _EXTRA.fullmatch(header[0]) or not _VALUE.fullmatch(header[1]):
        raise Unsafe("a header that is none")
    return f"{header[0]}: {header[1]}\r\n"


# -- headers -------------------------------------------------------------------------------------------------------
def _mailbox(name: str, address: str) -> str:
    if not name:
        return address
    if name.isascii():
        shown = name if _ATOMS.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{shown} <{address}>"
    return f"{_words(name, len('From: '))}\r\n <{address}>"


def _words(text: str, before: int) -> str:
    """`text` as it is, or in encoded words (RFC 2047), each of whole characters; `before` is what its line holds."""
    if text.isascii():
        return text
    words, piece, room = [], b"", _room(before)
    for character in text:
        raw = character.encode("utf-8", "replace")
        if len(piece) + len(raw) > room:
            words.append(piece)
            piece, room = b"", _room(1)
        piece += raw
    words.append(piece)
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(word).decode('ascii')}?=" for word in words)


def _room(before: int) -> int:
    return (_LINE - before - len("=?utf-8?b??=")) // 4 * 3


# -- content -------------------------------------------------------------------------------------------------------
def _content(text: str, html: str, files: Sequence[File], mark: str) -> bytes:
    page = _text(html, "html")
    pictures = [_file(file) for file in files if file.content_id is not None]
    if pictures:
        page = _multipart("related", [page, *pictures], f"=_r{mark}", '; type="text/html"')
    both = _multipart("alternative", [_text(text, "plain"), page], f"=_a{mark}")
    others = [_file(file) for file in files if file.content_id is None]
    return _multipart("mixed", [both, *others], f"=_m{mark}") if others else both


def _multipart(kind: str, parts: Sequence[bytes], boundary: str, more: str = "") -> bytes:
    """The parts, apart by a boundary that none of them can hold: neither base64 nor quoted-printable has a `=_`."""
    rule = f"--{boundary}".encode()
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"{more}\r\n\r\n'.encode()
    return b"".join((head, *(b"".join((rule, b"\r\n", part, b"\r\n")) for part in parts), rule, b"--\r\n"))


def _text(text: str, subtype: str) -> bytes:
    """A part with its headers: as it is where that is plain ASCII, else in what is shorter and readable."""
    if "\r" in text:
        text = _BREAK.sub("\n", text)
    if not text.endswith("\n"):
        text += "\n"
    raw = text.encode("utf-8", "replace")
    more = len(raw) - len(text)  # bytes, by what is beyond ASCII
    if more and subtype == "html" and (written := _references(text)) is not None:
        raw, more = written, 0
    if not more and _fits(raw):
        how, charset, body = "7bit", "us-ascii", raw.replace(b"\n", b"\r\n")
    elif more > len(text) // 4:
        how, charset, body = "base64", "utf-8", _base64(raw.replace(b"\n", b"\r\n"))
    else:
        how, charset, body = "quoted-printable", "utf-8", binascii.b2a_qp(raw.replace(b"\n", b"\r\n"))
    head = f'Content-Type: text/{subtype}; charset="{charset}"\r\nContent-Transfer-Encoding: {how}\r\n\r\n'
    return head.encode() + body


def _references(html: str) -> bytes | None:
    """HTML with its few letters beyond ASCII as references, which spares the encoding of the whole; None for many."""
    written = html.encode("ascii", "xmlcharrefreplace")
    if len(written) * 5 > len(html) * 6 or _NO_REFERENCE.search(written) or not _plain_inside(written.lower()):
        return None
    return written


def _plain_inside(html: bytes) -> bool:
    """Whether styles, scripts and comments are without references."""
    for opening, closing in _AS_IT_IS:
        at = html.find(opening)
        while at >= 0:
            end = html.find(closing, at)
            end = len(html) if end < 0 else end
            if html.find(b"&#", at, end) >= 0:
                return False
            at = html.find(opening, end)
    return True


def _fits(raw: bytes) -> bool:
    """Whether it may go as it is: no controls, no line too long, nothing like a boundary or the From of an mbox."""
    return (
        not raw.translate(None, _PLAIN)
        and max(map(len, raw.split(b"\n"))) <= _LONGEST
        and b"=_" not in raw
        and not raw.startswith(b"From ")
        and b"\nFrom " not in raw
    )


def _file(file: File) -> bytes:
    kind = file.type if _TYPE.fullmatch(file.type) else "application/octet-stream"
    if file.content_id is None:
        how = "attachment"
    elif _ID.fullmatch(f"<{file.content_id}>"):
        how = "inline"
    else:
        raise Unsafe("a Content-ID that is none")
    rows = [
        f"Content-Type: {kind}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {how};\r\n " + ";\r\n ".join(_filename(line(file.name, 100) or "file")),
    ]
    if file.content_id is not None:
        rows.append(f"Content-ID: <{file.content_id}>")
    return "\r\n".join(rows).encode("ascii") + b"\r\n\r\n" + _base64(file.content)


def _filename(name: str) -> Iterator[str]:
    """The parameter(s) that say a file's name (RFC 2231), without what means something to a file system."""
    name = re.sub(r'[/\\:*?"<>|]', "_", name)
    if _NAME.fullmatch(name):
        yield f'filename="{name}"'
        return
    rows, row = [], "utf-8''"
    for character in name:
        encoded = quote(character.encode("utf-8", "replace"), safe="")
        if len(row) + len(encoded) > _LINE - len(" filename*10*=;"):
            rows.append(row)
            row = ""
        row += encoded
    rows.append(row)
    if len(rows) == 1:
        yield f"filename*={row}"
        return
    for number, row in enumerate(rows):
        yield f"filename*{number}*={row}"


def _base64(raw: bytes) -> bytes:
    return base64.encodebytes(raw).replace(b"\n", b"\r\n")
