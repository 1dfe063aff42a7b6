"""Who a browser belongs to: a signed word of the shop's server, which alone knows whom it has logged in.

A page could claim any address, and would then be shown that person's carts; so nothing but such a token names a person
here. The links in mails do not: mails are forwarded.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from cartwake.errors import InvalidEvent
from reminders.person import Key

#: `subscribe`: the shop vouches for whoever has the page. `renew`: this browser was the person's, which is no consent.
Purpose = Literal["subscribe", "renew"]

VALID_MS: Final[dict[Purpose, int]] = {
    "subscribe": timedelta(hours=24) // timedelta(milliseconds=1),
    "renew": timedelta(days=400) // timedelta(milliseconds=1),
}
MOST_TOKEN: Final = 2_400  # two ids of 200 characters
_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.(subscribe|renew)\.([0-9]{1,15})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says."""

    key: Key
    purpose: Purpose


class Tokens:
    """Makes and reads tokens; `secret` signs them. The part before the first dot is the person, the same every time."""

    def __init__(self, secret: str) -> None:
        self._secret = hashlib.sha256(b"cartwake push tokens\0" + secret.encode()).digest()

    def make(self, key: Key, purpose: Purpose, *, now: int) -> str:
        """A token for the person, from `now` (epoch ms) on."""
        who = urlsafe_b64encode("\0".join(key).encode()).rstrip(b"=").decode("ascii")
        said = f"{who}.{purpose}.{now + VALID_MS[purpose]}"
        return f"{said}.{self._sign(said)}"

    def read(self, token: str, *, now: int) -> Grant:
        """What the token says; raises InvalidEvent when it is not ours or too old."""
        found = _FORM.fullmatch(token) if len(token) <= MOST_TOKEN else None
        if found is None or not hmac.compare_digest(found[4], self._sign(token.rpartition(".")[0])):
            raise InvalidEvent("the token is not one of ours")
        if now >= int(found[3]):
            raise InvalidEvent("the token is too old")
        shop_id, _, subscriber_id = urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)).decode().partition("\0")
        return Grant((shop_id, subscriber_id), "subscribe" if found[2] == "subscribe" else "renew")

    def _sign(self, said: str) -> str:
        mac = hmac.digest(self._secret, said.encode(), "sha256")
        return urlsafe_b64encode(mac).rstrip(b"=").decode("ascii")
