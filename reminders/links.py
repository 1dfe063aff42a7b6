"""Links that need no login and no look-up: who and where is in them, signed.

The unsubscribe link is short (RFC 8058 wants it in a header, which mail programs and servers like on one line); the
recovery link carries the cart's address and nothing that logs anybody in.
"""

import base64
import hashlib
import hmac
from typing import Final

import msgspec
from msgspec import Struct

from cartwake.errors import InvalidEvent
from cartwake.model import DEFAULT_SHOP
from reminders.person import Key, is_person

_MAC: Final = 8  # bytes: 2^64 guesses over HTTP, to unsubscribe somebody
_LONG_MAC: Final = 16
_PERSON: Final = 12
MOST_TOKEN: Final = 6_000
#: Stands where a shop_id stands in the key of an erased person; no shop can be called that.
ERASED: Final = ""


class Recovery(Struct, frozen=True, array_like=True):
    """What a recovery link says. Times are epoch milliseconds."""

    shop_id: str
    subscriber_id: str
    plan_id: str
    cart_id: str
    cart_url: str
    expires_at: int


class Links:
    """Makes and reads the links of `base` (the collector's public address); `secret` signs them."""

    def __init__(self, base: str, secret: str) -> None:
        self.base = base.rstrip("/")
        self._secret = hashlib.sha256(b"cartwake links\0" + secret.encode()).digest()

    def unsubscribe_url(self, key: Key) -> str:
        """The address of `/u/`: at most 55 characters for a 25-character base and the default shop."""
        person = bytes.fromhex(key[1].removeprefix("p-"))
        token = _text(person + self._mac("u", key[0].encode() + b"\0" + person)[:_MAC])
        return f"{self.base}/u/{token}" + ("" if key[0] == DEFAULT_SHOP else "." + _text(key[0].encode()))

    def read_unsubscribe(self, token: str) -> Key:
        """Whom an unsubscribe token names; raises InvalidEvent."""
        short, _, shop = token.partition(".")
        shop_id = _bytes(shop).decode("utf-8", "replace") if shop else DEFAULT_SHOP
        raw = _bytes(short)
        person, mac = raw[:_PERSON], raw[_PERSON:]
        right = self._mac("u", shop_id.encode() + b"\0" + person)[:_MAC]
        subscriber_id = "p-" + person.hex()
        if not hmac.compare_digest(mac, right) or not is_person(subscriber_id):
            raise InvalidEvent("the link is not one of ours")
        return shop_id, subscriber_id

    def recovery_url(self, recovery: Recovery) -> str:
        """The address of `/r/`, which leads to the cart."""
        payload = msgspec.msgpack.encode(recovery)
        return f"{self.base}/r/{_text(self._mac('r', payload)[:_LONG_MAC] + payload)}"

    def read_recovery(self, token: str) -> Recovery:
        """What a recovery token says, expired or not; raises InvalidEvent."""
        raw = _bytes(token)
        mac, payload = raw[:_LONG_MAC], raw[_LONG_MAC:]
        if not hmac.compare_digest(mac, self._mac("r", payload)[:_LONG_MAC]):
            raise InvalidEvent("the link is not one of ours")
        try:
            return msgspec.msgpack.decode(payload, type=Recovery)
        except msgspec.DecodeError as exc:
            raise InvalidEvent("the link was made by another version") from exc

    def tombstone(self, key: Key) -> Key:
        """Where an erased person's suppression is kept: a salted hash that says nothing by itself."""
        return ERASED, self._mac("x", "\0".join(key).encode())[:16].hex()

    def _mac(self, purpose: str, payload: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b"\0" + payload, "sha256")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(token: str) -> bytes:
    if len(token) > MOST_TOKEN or not token.isascii():
        raise InvalidEvent("the link is not one of ours")
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError as exc:
        raise InvalidEvent("the link is not one of ours") from exc
