"""Asks a shop for an offer's code, and gives one back that was not used (docs/recovery.md has the shop's side).

out  POST to the shop's address, signed: offer.wanted, offer.returned
in   {"code", "expires_at", "text"}, or 204 for no offer

A shop's address is a stranger's: only https, only hosts of the public internet, looked up once and called at just that
address, no redirects, little time, small answers. Asking again says the same plan_id, for which a shop has to answer
with the same code: a code is asked for again after a crash or a lost answer.
"""

import asyncio
import hashlib
import hmac
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Final

import httpx
import msgspec
from msgspec import Meta, Struct

from cartwake.clock import to_ms
from cartwake.errors import MailUnavailable, Rejected
from cartwake.model import LATEST, Moment, encode
from reminders.clean import line
from reminders.person import Gift
from reminders.public import is_public

SIGNATURE: Final = "Cartwake-Signature"
MOST_BYTES: Final = 16 * 1024
LEAST_MS: Final = timedelta(minutes=10) // timedelta(milliseconds=1)
MOST_MS: Final = timedelta(days=366) // timedelta(milliseconds=1)

LookUp = Callable[[str, int], Awaitable[list[str]]]

_CODE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_LATER: Final = frozenset({408, 425, 429})


class Wanted(Struct, frozen=True, kw_only=True):
    """What an offer is wanted for. Nothing here says who the person is."""

    shop_id: str
    plan_id: str
    abandonment_id: str | None
    cart_id: str
    value: Decimal | None
    currency: str | None


class _Answer(Struct, frozen=True):
    code: str | None = None
    expires_at: Moment | None = None
    text: Annotated[str, Meta(max_length=1_000)] = ""


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a host; raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def client(*, timeout: float = 5.0, trusted: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """A client for callbacks, patient for `timeout` seconds with each step. It asks no proxy of the environment.

    No connection is kept: the next shop may lie behind the same address, and its certificate has to be seen.
    """
    return httpx.AsyncClient(
        verify=trusted or ssl.create_default_context(),
        timeout=timeout,
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    )


async def ask(
    http: httpx.AsyncClient,
    url: str,
    secret: str,
    wanted: Wanted,
    *,
    now: int,
    valid_ms: int,
    text: str = "",
    within: float = 10.0,
    loopback: bool = False,
    lookup: LookUp = look_up,
) -> Gift | None:
    """The shop's code for this plan, or None when it makes no offer for this cart.

    `now` is epoch milliseconds; a code whose end the shop does not say is good for `valid_ms`. `loopback` lets tests
    call this machine, also by http. Raises MailUnavailable when it may work later, Rejected when the address or the
    answer is wrong.
    """
    status, body = await _post(
        http, url, secret, "offer.wanted", wanted, now=now, within=within, loopback=loopback, lookup=lookup
    )
    return None if status == 204 else _gift(body, now=now, valid_ms=valid_ms, text=text)


async def give_back(
    http: httpx.AsyncClient,
    url: str,
    secret: str,
    wanted: Wanted,
    code: str,
    *,
    now: int,
    within: float = 10.0,
    loopback: bool = False,
    lookup: LookUp = look_up,
) -> None:
    """Tell the shop that the code of this plan was not given to anybody; raises as `ask` does."""
    more = {"code": code}
    await _post(
        http, url, secret, "offer.returned", wanted, more, now=now, within=within, loopback=loopback, lookup=lookup
    )


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA256 over `<seconds>.<body>`. A shop refuses what is older than five minutes."""
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


# -- asking ----------------------------------------------------------------------------------------------------------
async def _post(
    http: httpx.AsyncClient,
    url: str,
    secret: str,
    kind: str,
    wanted: Wanted,
    more: dict[str, str] | None = None,
    *,
    now: int,
    within: float,
    loopback: bool,
    lookup: LookUp,
) -> tuple[int, bytes]:
    said = {"type": kind} | {name: getattr(wanted, name) for name in Wanted.__struct_fields__} | (more or {})
    body = encode(said)
    try:
        async with asyncio.timeout(within):
            target, host = await _resolved(url, loopback=loopback, lookup=lookup)
            headers = {
                "Host": host,
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # a small answer must not unfold into a large one
                "User-Agent": "Cartwake",
                "Idempotency-Key": f"{kind}/{wanted.plan_id}",
                SIGNATURE: signature(secret, now // 1000, body),
            }
            extensions = {"sni_hostname": httpx.URL(url).host}
            async with http.stream(
                "POST", target, content=body, headers=headers, extensions=extensions, follow_redirects=False
            ) as answer:
                _check(answer)
                return answer.status_code, await _read(answer)
    except TimeoutError as exc:
        raise MailUnavailable(f"the shop's offer callback did not answer within {within:g} s") from exc
    except httpx.HTTPError as exc:
        raise MailUnavailable(f"the shop's offer callback does not answer: {type(exc).__name__}") from exc


def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in (200, 204):
        return
    if status in _LATER or status >= 500:
        raise MailUnavailable(f"the shop's offer callback answered {status}")
    redirect = "; redirects are not followed, set the address it leads to" if 300 <= status < 400 else ""
    raise Rejected(f"the shop's offer callback answered {status}{redirect}")


async def _read(answer: httpx.Response) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Rejected("the answer of the shop's offer callback is compressed")
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MOST_BYTES:
            raise Rejected(f"the answer of the shop's offer callback is longer than {MOST_BYTES} bytes")
    return bytes(body)


async def _resolved(url: str, *, loopback: bool, lookup: LookUp) -> tuple[httpx.URL, str]:
    """The address to call, with the one IP that was looked up in the host's place, and the Host header."""
    try:
        asked = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as exc:
        raise Rejected(f"offer callback: {exc}. Example: https://shop.example.com/cartwake/offers") from exc
    if asked.scheme != "https" and not (loopback and asked.scheme == "http"):
        raise Rejected("offer callback: only https. Example: https://shop.example.com/cartwake/offers")
    if not asked.host or asked.userinfo:
        raise Rejected("offer callback: a host and no user name are needed")
    port = asked.port or (443 if asked.scheme == "https" else 80)
    try:
        addresses = await lookup(asked.raw_host.decode(), port)
    except (OSError, UnicodeError) as exc:
        raise MailUnavailable(f"offer callback: the host {asked.host} is not found") from exc
    check_public(asked.host, addresses, loopback=loopback)
    host = asked.netloc.decode("ascii")
    return asked.copy_with(host=addresses[0], fragment=None), host


def check_public(host: str, addresses: Sequence[str], *, loopback: bool = False) -> None:
    """Raise Rejected unless every address is one of the public internet (or loopback, where that is allowed)."""
    for text in addresses:
        address = text.partition("%")[0]
        if not is_public(address) and not (loopback and ip_address(address).is_loopback):
            raise Rejected(f"offer callback: {host} is not an address of the public internet")
    if not addresses:
        raise Rejected(f"offer callback: {host} has no address")


# -- the answer ------------------------------------------------------------------------------------------------------
def _gift(body: bytes, *, now: int, valid_ms: int, text: str) -> Gift | None:
    try:
        said = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise Rejected(f"the answer of the shop's offer callback can't be read: {exc}") from exc
    if said.code is None:
        return None
    if not _CODE.fullmatch(said.code):
        raise Rejected(
            "the code of the shop's offer callback is not 1 to 64 letters, digits, dots, dashes or underscores"
        )
    until = now + valid_ms if said.expires_at is None else _ms(said.expires_at)
    if not now + LEAST_MS <= until <= now + MOST_MS:
        raise Rejected("the code of the shop's offer callback ends too soon or in more than a year")
    return Gift(code=said.code, until=until, text=line(said.text, 200) or text)


def _ms(moment: int | datetime) -> int:
    at: Any = moment if isinstance(moment, int) else to_ms(moment)
    return int(min(max(at, 0), LATEST))
