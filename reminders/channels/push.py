"""Web push over HTTP (RFC 8030): encrypted for one browser (RFC 8291), signed for its push service (RFC 8292).

An endpoint is an address from outside. Its name is resolved once for each connection, and the connection goes to the
address that was looked at: one that is not public is not spoken to. Redirects are not followed. What was not handed
over whole may be tried again; silence after that is `Uncertain`.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
from pywebpush import WebPusher

from cartwake.clock import Clock, SystemClock
from cartwake.errors import MailUnavailable
from cartwake.model import PushTarget
from reminders.clean import line
from reminders.outcomes import Failed, Sent, Uncertain
from reminders.public import is_public
from reminders.push.endpoints import check_endpoint, check_keys, origin_of
from reminders.push.keys import Keys
from reminders.push.message import Push

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_GONE: Final = frozenset({404, 410})
_BUSY: Final = frozenset({408, 425, 429})
_IDLE: Final = 20.0  # seconds a connection may rest
_MOST_WORDS: Final = 2_000  # bytes of an answer that are read
_WORDS_WITHIN: Final = 5.0  # seconds
_AWAY: Final = 60.0  # seconds to leave a service alone that asks for it without saying how long
_MOST_AWAY: Final = 24 * 3600.0
_MOST_SERVICES: Final = 1_000
_ADDRESSES: Final = 3  # of a name that are tried


class Forbidden(Exception):
    """The endpoint's name leads to an address that is not public."""


class PushChannel:
    """Push services, at most `connections` connections to all of them.

    `anywhere` allows addresses that are not public. `timeout` bounds each step, `answer` the whole; both in seconds.
    """

    def __init__(
        self, keys: Keys, *, anywhere: bool = False, connections: int = 16, timeout: float = 10.0, answer: float = 60.0,
        clock: Clock | None = None, tls: SSLContext | None = None, resolve: Resolve | None = None,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._anywhere = anywhere
        self._answer = answer
        self._timeouts = {"connect": timeout, "write": timeout, "read": answer, "pool": answer}
        self._clock = clock or SystemClock()
        self._away: dict[str, tuple[int, str]] = {}
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=connections,
            keepalive_expiry=_IDLE,
            network_backend=_Pinned(resolve or _resolve, anywhere=anywhere),
        )

    async def send(self, push: Push) -> Sent | Failed | Uncertain:
        """Hand the message over once. Raises MailUnavailable when it certainly did not leave and may later."""
        problem = check_endpoint(push.target.endpoint, anywhere=self._anywhere)
        if problem is not None:
            return Failed("unsafe_endpoint", f"The browser's push address can't be used: {problem}.", bounced=True)
        problem = check_keys(push.target)
        if problem is not None:
            return Failed("gone", f"The browser can't be written to: {problem}.", bounced=True)
        origin = origin_of(push.target.endpoint)
        self._check_away(origin)
        return await self._post(push, origin)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _post(self, push: Push, origin: str) -> Sent | Failed | Uncertain:
        service = urlsplit(origin).hostname or ""
        headers: dict[bytes | str, bytes | str] = {
            "Authorization": self._keys.authorization(origin, self._clock.now_ms() // 1000),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(push.ttl),
            "Topic": push.topic,
            "Urgency": push.urgency,
        }
        body = encrypted(push.payload, push.target)
        url, left = push.target.endpoint, False

        async def trace(name: str, _info: dict[str, Any]) -> None:
            nonlocal left
            left = left or name == "http11.send_request_body.started"

        asked: dict[str, Any] = {"timeout": self._timeouts, "trace": trace}
        try:
            async with (
                asyncio.timeout(self._answer) as bound,
                self._pool.stream("POST", url, headers=headers, content=body, extensions=asked) as said,
            ):
                bound.reschedule(None)  # the status is known, and counts
                return self._judge(origin, said, await _words(said, within=min(self._answer, _WORDS_WITHIN)))
        except Forbidden as exc:
            return Failed("unsafe_endpoint", f"The push service {service} is not on the public internet: {exc}.")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, TimeoutError) as exc:
            if left:
                return Uncertain(push.message_id)
            words = f"the push service {service} can't be reached: {str(exc) or type(exc).__name__}"
            raise MailUnavailable(words) from exc

    # -- answers -------------------------------------------------------------------------------------------------------
    def _judge(self, origin: str, said: httpcore.Response, text: str) -> Sent | Failed:
        status = said.status
        answer = f"{status} {text}".strip()
        if 200 <= status < 300:
            return Sent(answer)
        if status in _GONE:
            return Failed("gone", f"The browser does not take messages any more: {answer}", bounced=True)
        if status in _BUSY or status >= 500:
            words = f"the push service {origin} answered {answer}"
            pause = _retry_after(said, self._clock.now_ms())
            if pause is None and status in (429, 503):
                pause = _AWAY
            if pause is not None:
                self._leave_alone(origin, pause, words)
            raise MailUnavailable(words)
        return Failed("refused", f"The push service refused the message: {answer}")

    def _check_away(self, origin: str) -> None:
        until, words = self._away.get(origin, (0, ""))
        if self._clock.now_ms() < until:
            raise MailUnavailable(words)

    def _leave_alone(self, origin: str, pause: float, words: str) -> None:
        now = self._clock.now_ms()
        if len(self._away) >= _MOST_SERVICES:
            still = [(name, entry) for name, entry in self._away.items() if entry[0] > now]
            self._away = dict(still[-_MOST_SERVICES // 2 :])
        self._away[origin] = (now + int(min(pause, _MOST_AWAY) * 1000), words)


def encrypted(payload: bytes, target: PushTarget) -> bytes:
    """The body that only this browser can read (RFC 8291, aes128gcm); raises ValueError for keys that are none."""
    info = {"endpoint": target.endpoint, "keys": {"p256dh": target.p256dh, "auth": target.auth}}
    return bytes(WebPusher(info).encode(payload, "aes128gcm")["body"])


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to the address that a name was just resolved to, if it is a public one."""

    def __init__(self, resolve: Resolve, *, anywhere: bool) -> None:
        self._resolve = resolve
        self._anywhere = anywhere
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,  # noqa: ASYNC109 - httpcore's
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:  # fmt: skip
        """A connection to one of the host's addresses. Raises Forbidden or httpcore.ConnectError."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from exc
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(f"{host} was not resolved: {exc}") from exc
        inside = [] if self._anywhere else [address for address in addresses if not is_public(address)]
        if inside:
            raise Forbidden(f"{host} is {inside[0]}")
        *others, last = addresses[:_ADDRESSES]
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._network.connect_tcp(last, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await self._network.sleep(seconds)


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def _words(said: httpcore.Response, *, within: float) -> str:
    """The first words of an answer. Its status counts even where they break off."""
    text = b""
    with suppress(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, TimeoutError):
        async with asyncio.timeout(within):
            async for part in said.aiter_stream():
                text += part
                if len(text) >= _MOST_WORDS:
                    break
    return line(text[:_MOST_WORDS].decode("utf-8", "replace"), 300)


def _retry_after(said: httpcore.Response, now_ms: int) -> float | None:
    """Seconds that the answer asks to wait, or None (RFC 9110: a number or a date)."""
    text = next((value.decode("latin-1") for name, value in said.headers if name.lower() == b"retry-after"), "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_ms / 1000, 0.0)
