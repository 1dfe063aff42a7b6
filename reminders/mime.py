"""A mail as it goes over the wire, checked: exactly our headers, no line break that is not one.

CPython up to 3.11 lets an encoded word in a subject become a header of its own (CVE-2024-6923 and its kin), so the
result is read again before it may leave.
"""

import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from reminders.address import ascii_address
from reminders.clean import line

# a long List-Unsubscribe would otherwise be encoded, which mail programs do not read
_POLICY: Final = SMTP.clone(max_line_length=900, cte_type="7bit")
HEADERS: Final = (
    "from", "to", "subject", "date", "message-id", "auto-submitted", "list-unsubscribe", "list-unsubscribe-post",
    "mime-version", "content-type",
)  # fmt: skip
# the parser of the standard library takes the first of several, and what stands before a line break
_SENDER: Final = re.compile(r'"?(?P<name>[^"<>\r\n]*?)"? ?<(?P<inside>[^<>\s]+)>|(?P<alone>[^<>\s]+)')
_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


class Unsafe(Exception):
    """The mail would say something on the wire that we did not write."""


def sender_address(text: str) -> tuple[str, str]:
    """(name, address) of `Shop <carts@example.com>` or `carts@example.com`; raises ValueError."""
    found = _SENDER.fullmatch(text.strip())
    if found is None:
        raise ValueError("write it like Shop <carts@example.com>")
    address = found["inside"] or found["alone"]
    return line(found["name"], 100), ascii_address(address)


def build(
    *, sender: tuple[str, str], to: str, subject: str, text: str, html: str,
    date: datetime, message_id: str, unsubscribe_url: str,
) -> bytes:  # fmt: skip
    """The serialised two-part message; raises Unsafe, or ValueError for an address that is none."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(sender[0], addr_spec=sender[1])
    message["To"] = Address(addr_spec=ascii_address(to))
    message["Subject"] = line(subject, 200)
    message["Date"] = date
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    message["List-Unsubscribe"] = f"<{unsubscribe_url}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    wire = message.as_bytes()
    check(wire, unsubscribe_url)
    return wire


def check(wire: bytes, unsubscribe_url: str) -> None:
    """Raise Unsafe unless `wire` has exactly our headers, each once, and no bare CR, LF or NUL."""
    if _BARE.search(wire):
        raise Unsafe("a bare line break or NUL")
    head = wire.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = [row.partition(b":")[0].decode("ascii", "replace").lower() for row in head if row[:1] not in (b" ", b"\t")]
    if sorted(names) != sorted(HEADERS):
        raise Unsafe(f"headers {', '.join(sorted(set(names) ^ set(HEADERS)) or sorted(names))} are not as expected")
    if f"List-Unsubscribe: <{unsubscribe_url}>".encode() not in head:
        raise Unsafe("List-Unsubscribe was changed on its way to the wire")
    if any(len(row) > 998 for row in head):
        raise Unsafe("a header line longer than 998 bytes (RFC 5322)")
