"""Links that need no login and no look-up: who and where is in them, signed (docs/decisions/0007-recovery-link.md).

The unsubscribe link is short (RFC 8058 wants it in a header, which mail programs and servers like on one line); the
others are sealed, so that a shop's log or a web statistic that sees one learns nothing from it.
"""

import hmac
import re
import uuid
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cartwake.errors import InvalidEvent
from cartwake.model import DEFAULT_SHOP, Channel
from cartwake.signing import Seal, bytes_of, text_of
from reminders.person import Key, is_person

_MAC: Final = 8  # bytes: 2^64 guesses over HTTP, to unsubscribe somebody
_PERSON: Final = 12
#: Stands where a shop_id stands in the key of an erased person; no shop can be called that.
ERASED: Final = ""

_NOT_OURS: Final = "the link is not one of ours"
_CHANNELS: Final[tuple[Channel, ...]] = ("email", "sms", "push")
_HEX: Final = re.compile("[0-9a-f]{32}")
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AS_HEX, _AS_PERSON, _AS_UUID, _LONG = b"\xff", b"\xfe", b"\xfd", b"\xfc"
_MOST_LIFE: Final = 1 << 24  # seconds: 194 days
#: Stands for the cart's id in its address; no address that we follow has it.
_ID: Final = "\x01"
#: Begins an address that goes on where the shop's own ends.
HOME: Final = "\x02"


class Recovery(Struct, frozen=True):
    """What a link to a cart says, and about which message. Times are epoch milliseconds, kept by the second.

    A `cart_url` that begins with `HOME` is under the address of the shop's profile.
    """

    shop_id: str
    subscriber_id: str
    plan_id: str
    cart_id: str
    cart_url: str
    expires_at: int
    written_at: int = 0  # 0: not known
    channel: Channel = "email"
    step: int = 0  # 0: asked for by hand
    variant: str = ""


class Links:
    """Makes and reads the links of `base` (the collector's public address); `secret` signs them."""

    def __init__(self, base: str, secret: str) -> None:
        self.base = base.rstrip("/")
        self._seal = Seal(secret)

    def unsubscribe_url(self, key: Key) -> str:
        """The address of `/u/`: at most 55 characters for a 25-character base and the default shop."""
        person = bytes.fromhex(key[1].removeprefix("p-"))
        token = text_of(person + self._seal.mac("u", key[0].encode() + b"\0" + person)[:_MAC])
        return f"{self.base}/u/{token}" + ("" if key[0] == DEFAULT_SHOP else "." + text_of(key[0].encode()))

    def read_unsubscribe(self, token: str) -> Key:
        """Whom an unsubscribe token names; raises InvalidEvent."""
        short, _, shop = token.partition(".")
        shop_id = bytes_of(shop).decode("utf-8", "replace") if shop else DEFAULT_SHOP
        raw = bytes_of(short)
        person, mac = raw[:_PERSON], raw[_PERSON:]
        right = self._seal.mac("u", shop_id.encode() + b"\0" + person)[:_MAC]
        subscriber_id = "p-" + person.hex()
        if not hmac.compare_digest(mac, right) or not is_person(subscriber_id):
            raise InvalidEvent(_NOT_OURS)
        return shop_id, subscriber_id

    def recovery_url(self, recovery: Recovery, home: str | None = None) -> str:
        """The address of `/r/`, which leads to the cart.

        With `home`, the address in the shop's profile, a cart under it is named from there on: some 30 characters less
        in a text message, and a link that can't be followed while the collector knows no profile.
        """
        return f"{self.base}/r/{self._seal.seal('recovery', _packed(recovery, home))}"

    def read_recovery(self, token: str) -> Recovery:
        """What a recovery token says, expired or not; raises InvalidEvent."""
        return _unpacked(self._seal.open("recovery", token))

    def pixel_url(self, recovery: Recovery) -> str:
        """The address of the picture of one pixel that says that a mail was opened."""
        return f"{self.base}/o/{self._seal.seal('open', _packed(_without_url(recovery)))}.gif"

    def read_pixel(self, token: str) -> Recovery:
        """What the pixel's token says; raises InvalidEvent."""
        return _unpacked(self._seal.open("open", token))

    def cart_token(self, recovery: Recovery) -> str:
        """What the shop redeems for the cart until `expires_at`."""
        return self._seal.seal("cart", _packed(_without_url(recovery)))

    def read_cart_token(self, token: str) -> Recovery:
        """What a token of `cart_token` says, expired or not; raises InvalidEvent."""
        return _unpacked(self._seal.open("cart", token))

    def tombstone(self, key: Key) -> Key:
        """Where an erased person's suppression is kept: a salted hash that says nothing by itself."""
        return ERASED, self._seal.mac("x", "\0".join(key).encode())[:16].hex()


def _without_url(recovery: Recovery) -> Recovery:
    return replace(recovery, cart_url="")


# -- bytes: a token is read by people's telephones too, so every one counts -----------------------------------------
def _packed(recovery: Recovery, home: str | None = None) -> bytes:
    """Seconds of the end (4), seconds from the writing to there (3), channel and step (1), then the texts."""
    url = recovery.cart_url
    root = (home or "").rstrip("/")
    if root and (url == root or url.startswith((root + "/", root + "?"))):
        url = HOME + url[len(root) :]
    if recovery.cart_id:
        url = url.replace(recovery.cart_id, _ID)
    shop_id = "" if recovery.shop_id == DEFAULT_SHOP else recovery.shop_id
    texts = [recovery.plan_id, recovery.subscriber_id, recovery.cart_id, url, shop_id, recovery.variant]
    while texts and not texts[-1]:
        texts.pop()
    end = -(-recovery.expires_at // 1000)
    life = end - recovery.written_at // 1000
    code = _CHANNELS.index(recovery.channel) << 6 | min(recovery.step, 63)
    head = end.to_bytes(4) + (life if 0 < life < _MOST_LIFE else 0).to_bytes(3) + code.to_bytes()
    return head + b"".join(map(_text, texts))


def _unpacked(raw: bytes) -> Recovery:
    end, life, code = int.from_bytes(raw[:4]), int.from_bytes(raw[4:7]), raw[7]
    texts, rest = [], raw[8:]
    while rest:
        text, rest = _first(rest)
        texts.append(text)
    plan_id, subscriber_id, cart_id, url, shop_id, variant = texts + [""] * (6 - len(texts))
    return Recovery(
        shop_id=shop_id or DEFAULT_SHOP,
        subscriber_id=subscriber_id,
        plan_id=plan_id,
        cart_id=cart_id,
        cart_url=url.replace(_ID, cart_id),
        expires_at=end * 1000,
        written_at=(end - life) * 1000 if life else 0,
        channel=_CHANNELS[code >> 6],
        step=code & 63,
        variant=variant,
    )


def _text(text: str) -> bytes:
    """A text with its length before it; ids made of hexadecimal digits in half of their letters."""
    if _HEX.fullmatch(text):
        return _AS_HEX + bytes.fromhex(text)
    if is_person(text):
        return _AS_PERSON + bytes.fromhex(text.removeprefix("p-"))
    if _UUID.fullmatch(text):
        return _AS_UUID + uuid.UUID(text).bytes
    raw = text.encode()
    return (len(raw).to_bytes() if len(raw) < _LONG[0] else _LONG + len(raw).to_bytes(2)) + raw


def _first(raw: bytes) -> tuple[str, bytes]:
    mark, raw = raw[:1], raw[1:]
    match mark:
        case b"\xff":
            return raw[:16].hex(), raw[16:]
        case b"\xfe":
            return "p-" + raw[:12].hex(), raw[12:]
        case b"\xfd":
            return str(uuid.UUID(bytes=raw[:16])), raw[16:]
        case b"\xfc":
            length, raw = int.from_bytes(raw[:2]), raw[2:]
        case _:
            length = mark[0]
    return raw[:length].decode(), raw[length:]
