"""The one primitive of links: bytes sealed into a text that only the holder of the secret can make or read.

AES-SIV (RFC 5297): the tag over purpose and content is what is checked and what the key stream starts from. So a token
tells nothing, can't be changed or guessed (128 bits), and the same content always gives the same token.
"""

import base64
import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from cartwake.errors import InvalidEvent

MOST_TOKEN: Final = 6_000


class Seal:
    """Signs and seals with keys made of `secret`. What was made for one purpose is worth nothing for another."""

    def __init__(self, secret: str) -> None:
        self._sign = hashlib.sha256(b"cartwake links\0" + secret.encode()).digest()
        self._siv = AESSIV(hashlib.sha512(b"cartwake sealed\0" + secret.encode()).digest())

    def mac(self, purpose: str, payload: bytes) -> bytes:
        """32 bytes that nobody else can make of this payload."""
        return hmac.digest(self._sign, purpose.encode() + b"\0" + payload, "sha256")

    def seal(self, purpose: str, plain: bytes) -> str:
        """`plain` as a token: base64url of 16 bytes more."""
        return text_of(self._siv.encrypt(plain, [purpose.encode()]))

    def open(self, purpose: str, token: str) -> bytes:
        """What was sealed for this purpose; raises InvalidEvent."""
        try:
            return self._siv.decrypt(bytes_of(token), [purpose.encode()])
        except (InvalidTag, ValueError) as exc:
            raise InvalidEvent("the link is not one of ours") from exc


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
