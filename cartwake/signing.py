"""The one primitive of links: bytes sealed into a text that only the holder of the secret can make or read.

Synthetic-IV encryption (Rogaway and Shrimpton 2006) of HMAC-SHA256: the tag over purpose and content is what is checked
and what the key stream starts from. So a token tells nothing, can't be changed or guessed (128 bits), and the same
content always gives the same token.
"""

import base64
import hashlib
import hmac
from typing import Final

from cartwake.errors import InvalidEvent

TAG: Final = 16
MOST_TOKEN: Final = 6_000
_BLOCK: Final = 32


class Seal:
    """Signs and seals with keys made of `secret`. What was made for one purpose is worth nothing for another."""

    def __init__(self, secret: str) -> None:
        self._sign = hashlib.sha256(b"cartwake links\0" + secret.encode()).digest()
        self._hide = hashlib.sha256(b"cartwake sealed\0" + secret.encode()).digest()

    def mac(self, purpose: str, payload: bytes) -> bytes:
        """32 bytes that nobody else can make of this payload."""
        return hmac.digest(self._sign, purpose.encode() + b"\0" + payload, "sha256")

    def seal(self, purpose: str, plain: bytes) -> str:
        """`plain` as a token: base64url of 16 bytes more."""
        tag = self.mac(purpose, plain)[:TAG]
        return text_of(tag + self._mix(tag, plain))

    def open(self, purpose: str, token: str) -> bytes:
        """What was sealed for this purpose; raises InvalidEvent."""
        raw = bytes_of(token)
        tag = raw[:TAG]
        plain = self._mix(tag, raw[TAG:])
        if not hmac.compare_digest(tag, self.mac(purpose, plain)[:TAG]):
            raise InvalidEvent("the link is not one of ours")
        return plain

    def _mix(self, tag: bytes, content: bytes) -> bytes:
        blocks = range(-(-len(content) // _BLOCK))
        stream = b"".join(hmac.digest(self._hide, tag + n.to_bytes(4), "sha256") for n in blocks)
        return bytes(a ^ b for a, b in zip(content, stream, strict=False))


def shop_secret(secret: str, shop_id: str, purpose: str) -> str:
    """A secret that is shared with one shop for one purpose; it tells nothing about ours or another shop's."""
    mark = f"cartwake {purpose}\0{shop_id}".encode()
    return hmac.new(hashlib.sha256(b"cartwake shops\0" + secret.encode()).digest(), mark, "sha256").hexdigest()


def text_of(raw: bytes) -> str:
    """Bytes as base64url without padding: letters that every mail program, server and telephone lets through."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def bytes_of(token: str) -> bytes:
    """The bytes of a token; raises InvalidEvent."""
    if len(token) > MOST_TOKEN or not token.isascii():
        raise InvalidEvent("the link is not one of ours")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError as exc:
        raise InvalidEvent("the link is not one of ours") from exc
    return raw
