"""What a gateway's call-backs are signed with, so that they need no look-up: a receipt names whose message it is about.

A reply names nobody but a number. `number_id` is the id that a number has among a shop's own ids for a person: what is
recorded under it goes on to the person by the ordinary way of aliases.
"""

import base64
import hashlib
import hmac
from typing import Final

import msgspec
from msgspec import Struct

from cartwake.errors import InvalidEvent

_MAC: Final = 16  # bytes
_MOST_TOKEN: Final = 2_000


class Receipt(Struct, frozen=True, array_like=True):
    """Which message a receipt is about."""

    shop_id: str
    subscriber_id: str
    plan_id: str
    cart_id: str


class Callbacks:
    """Makes and reads the call-back addresses of `base` (the collector's public address); `secret` signs them."""

    def __init__(self, base: str, secret: str) -> None:
        self.base = base.rstrip("/")
        self._secret = hashlib.sha256(b"cartwake sms\0" + secret.encode()).digest()

    def receipt_url(self, receipt: Receipt) -> str:
        """Where the gateway tells what became of one message."""
        payload = msgspec.msgpack.encode(receipt)
        token = base64.urlsafe_b64encode(self._mac("receipt", payload) + payload).rstrip(b"=").decode("ascii")
        return f"{self.base}/v1/sms/receipts/{token}"

    def read_receipt(self, token: str) -> Receipt:
        """Which message a token of ours names; raises InvalidEvent."""
        if len(token) > _MOST_TOKEN or not token.isascii():
            raise InvalidEvent("the address is not one of ours")
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError as exc:
            raise InvalidEvent("the address is not one of ours") from exc
        mac, payload = raw[:_MAC], raw[_MAC:]
        if not hmac.compare_digest(mac, self._mac("receipt", payload)):
            raise InvalidEvent("the address is not one of ours")
        try:
            return msgspec.msgpack.decode(payload, type=Receipt)
        except msgspec.DecodeError as exc:
            raise InvalidEvent("the address was made by another version") from exc

    def number_id(self, number: str) -> str:
        """The id of a number in E.164; nobody without the secret can make it, or find the number from it."""
        return "n-" + self._mac("number", number.encode()).hex()[:24]

    def _mac(self, purpose: str, payload: bytes) -> bytes:
        return hmac.digest(self._secret, purpose.encode() + b"\0" + payload, "sha256")[:_MAC]
