"""What keeps strangers out of the console: the Host check, response headers, and the proof that a form is ours.

The Host check stops DNS rebinding: a web page under a foreign name that points to this machine gets nothing.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "cartwake_form"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Forged(Exception):
    """A form that did not come from a page of ours; `str()` says why, for the person who sent it."""


def page_policy(pictures: str) -> str:
    """The Content-Security-Policy of our own pages; `pictures` are the sources of product pictures."""
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-src 'self'; "
        f"img-src 'self' {pictures}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def mail_policy(pictures: str) -> str:
    """The Content-Security-Policy of a mail shown in a frame: its own styles and pictures, nothing that acts."""
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src {pictures}; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox"
    )


def picture_sources(collector_url: str) -> str:
    """Where product pictures may come from: https anywhere, and this installation's collector.

    Not plain http: a product's picture must not make the browser of staff call a printer or router of their network.
    """
    parts = urlsplit(collector_url)
    if parts.scheme == "https" or parts.hostname is None:
        return "https:"
    names = ["127.0.0.1", "localhost"] if parts.hostname in LOOPBACK else [parts.hostname]
    port = f":{parts.port}" if parts.port else ""
    return " ".join(["https:", *(f"{parts.scheme}://{name}{port}" for name in names)])


def secure_headers(policy: str) -> dict[str, str]:
    """The headers of every page.

    `same-origin` and not `no-referrer`: under the latter browsers send `Origin: null` with our own forms (Fetch, 3.2).
    """
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        "cache-control": "no-store",
    }


def host_of(header: str) -> str:
    """The name in a Host header, lower case, without port and brackets; empty when it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Guard:
    """ASGI middleware: refuses unknown hosts, adds the headers a response does not set itself."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], policy: str) -> None:
        self._app = app
        self._hosts = LOOPBACK | {host_of(host) for host in hosts if not _is_any(host)}
        self._headers = secure_headers(policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        named = Headers(scope=scope).getlist("host")
        if len(named) == 1 and host_of(named[0]) in self._hosts:
            await self._app(scope, receive, send_secured)
            return
        refusal = PlainTextResponse("This console does not answer to that host name.\n", 421)
        await refusal(scope, receive, send_secured)


def _is_any(host: str) -> bool:
    """True for 0.0.0.0 and :: (addresses to listen on, not names to be called by)."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return not host


@dataclass(frozen=True, slots=True)
class Forms:
    """Ties a form to the browser that was shown it; `key` never leaves the process."""

    key: bytes

    @classmethod
    def under(cls, secret: str) -> "Forms":
        """Keyed by the setting `secret`; without one, forms are good until the process ends."""
        base = secret.encode() or secrets.token_bytes(32)
        return cls(hmac.digest(base, b"cartwake console forms", hashlib.sha256))

    def cookie(self, request: Request) -> str:
        """The browser's form cookie, or a new one that `remember` must set."""
        value = request.cookies.get(COOKIE, "")
        return value if 20 <= len(value) <= 100 else secrets.token_urlsafe(24)

    def token(self, cookie: str) -> str:
        """What a form carries to prove that this cookie's browser was shown it."""
        return hmac.new(self.key, cookie.encode(), hashlib.sha256).hexdigest()

    def remember(self, request: Request, response: Response, cookie: str) -> None:
        """Set the cookie unless the browser has it."""
        if request.cookies.get(COOKIE) != cookie:
            secure = request.url.scheme == "https"
            response.set_cookie(COOKIE, cookie, httponly=True, samesite="strict", secure=secure)

    def check(self, request: Request, token: str) -> None:
        """Raise Forged unless the request is a form of ours, sent from a page of ours.

        Browsers say where a form comes from: Sec-Fetch-Site (Fetch Metadata), before that Origin. One is demanded.
        """
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is None and origin is None:
            raise Forged("The browser did not say which page this form came from.")
        if site not in (None, "same-origin"):
            raise Forged("This form came from another web site.")
        if origin is not None and _authority(origin) != request.headers["host"].lower():
            raise Forged("This form came from another web site.")
        expected = self.token(request.cookies.get(COOKIE, ""))
        if COOKIE not in request.cookies or not hmac.compare_digest(expected.encode(), token.encode()):
            raise Forged("This form is out of date. Open its page again and press the button once more.")


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
