"""The envelope sender of each mail (VERP): `bounces+<token>@example.com` names whose mail came back, signed.

The token is 35 bytes in base32, 56 characters: the person (12), the plan (16) and a MAC over both and the shop (7).
With `bounces+` that is the 64 characters a local part may have (RFC 5321, 4.5.3.1.1). Base32, because servers on the
way, and Postfix and Dovecot at the end of it, may write a local part in lower case. The shop is not spelt out: the
token fits one of the shops whose secret and id made it. 56 bits cannot be guessed by sending mails.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from typing import Final, Protocol

from msgspec import Struct

from cartwake.errors import ConfigurationError, InvalidEvent
from reminders.address import check_address
from reminders.person import Key, is_person

_PERSON: Final = 12
_PLAN: Final = 16
_MAC: Final = 7
TOKEN: Final = 56
MOST_LOCAL: Final = 64
#: What a provider is asked to hand back with its events; also the name of Postmark's metadata.
ARGUMENT: Final = "cartwake"
_PLAN_ID: Final = re.compile(r"[0-9a-f]{32}")
_TOKEN: Final = re.compile(r"[A-Z2-7]{56}", re.IGNORECASE | re.ASCII)
_IN_ADDRESS: Final = re.compile(r"\+([A-Z2-7]{56})@", re.IGNORECASE | re.ASCII)


class Signer(Protocol):
    """Signs: 32 bytes that only who knows the secret can make of `payload` for `purpose`."""

    def sign(self, purpose: str, payload: bytes) -> bytes: ...


class Secret:
    """Signs with the secret of the links, kept apart from them."""

    def __init__(self, secret: str) -> None:
        self._secret = hashlib.sha256(b"cartwake returns\0" + secret.encode()).digest()

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """HMAC-SHA256 over both."""
        return hmac.digest(self._secret, purpose.encode() + b"\0" + payload, "sha256")


class Named(Struct, frozen=True):
    """Whose mail came back, and which."""

    key: Key
    plan_id: str


def make_token(signer: Signer, key: Key, plan_id: str) -> str:
    """The token of one mail; raises ValueError for a person or plan that is none of ours."""
    if not is_person(key[1]) or not _PLAN_ID.fullmatch(plan_id):
        raise ValueError(f"no token can name {key[1]!r} and plan {plan_id!r}")
    named = bytes.fromhex(key[1].removeprefix("p-")) + bytes.fromhex(plan_id)
    return base64.b32encode(named + _mac(signer, key[0], named)).decode("ascii").lower()


def read_token(signer: Signer, token: str, shops: Iterable[str]) -> Named:
    """Whom a token names, at one of `shops`; raises InvalidEvent."""
    if not _TOKEN.fullmatch(token):
        raise InvalidEvent("the token is not one of ours")
    raw = base64.b32decode(token.upper())
    named, mac = raw[: _PERSON + _PLAN], raw[_PERSON + _PLAN :]
    for shop_id in shops:
        if hmac.compare_digest(mac, _mac(signer, shop_id, named)):
            return Named((shop_id, "p-" + named[:_PERSON].hex()), named[_PERSON:].hex())
    raise InvalidEvent("the token is not one of ours")


def tokens_in(text: str) -> list[str]:
    """What looks like a token in an address, or is one all by itself."""
    alone = _TOKEN.fullmatch(text.strip())
    return [alone[0]] if alone else _IN_ADDRESS.findall(text[:10_000])


def check_mailbox(mailbox: str) -> None:
    """Raise ConfigurationError unless tokens fit into this address, `bounces@example.com`."""
    problem = check_address(mailbox)
    most = MOST_LOCAL - TOKEN - 1
    if problem is None and "+" in mailbox:
        problem = "it has a + already"
    if problem is None and len(mailbox.partition("@")[0]) > most:
        problem = f"its local part may have {most} characters, so that the token fits"
    if problem is not None:
        raise ConfigurationError(f"the address for bounces {mailbox!r}: {problem}. Example: bounces@shop.example.com")


def sender(mailbox: str, token: str) -> str:
    """The envelope sender: `mailbox` with the token behind a plus."""
    local, _, domain = mailbox.rpartition("@")
    return f"{local}+{token}@{domain}"


def provider_header(provider: str, token: str) -> tuple[str, str]:
    """The header by which SendGrid or Postmark learns the token, to hand it back with its events.

    SES needs none: its events name the envelope sender. Raises ValueError for another provider.
    """
    match provider:
        case "sendgrid":
            return "X-SMTPAPI", json.dumps({"unique_args": {ARGUMENT: token}})
        case "postmark":
            return f"X-PM-Metadata-{ARGUMENT}", token
        case _:
            raise ValueError(f"{provider!r} has no header for a token; sendgrid and postmark have")


def _mac(signer: Signer, shop_id: str, named: bytes) -> bytes:
    return signer.sign("verp", shop_id.encode("utf-8", "surrogatepass") + b"\0" + named)[:_MAC]
