"""What the unsubscribe link of a message leads to: a way to hear no more.

in   GET and POST /u/{token}
out  subscriber-events, subscriber_id: subscriber.withdrawn

Opening a link changes nothing: mail scanners open them all. Unsubscribing is a POST (RFC 8058: no cookie, no token
but the one in the link, no redirect), honoured as soon as it is answered.
"""

import logging
import secrets
from collections.abc import Mapping
from typing import Any, Final, Protocol

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cartwake.clock import Clock, SystemClock, to_datetime
from cartwake.errors import InvalidEvent, Unavailable
from cartwake.model import SubscriberEvent, derived_id, encode
from cartwake.shops import Shop, Shops
from cartwake.topics import SUBSCRIBER_EVENTS, Topic
from reminders.clean import line, web_url
from reminders.links import Links
from reminders.render import DEFAULT_LANGUAGE, TEMPLATES, environment

log = logging.getLogger(__name__)

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
_LANGUAGES: Final = ("en", "de")


class Records(Protocol):
    """Writes a record and returns when the broker has it, or raises Unavailable."""

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None, *, timeout: float = ...) -> None: ...


def routes(links: Links, publisher: Records, shops: Shops, clock: Clock | None = None) -> list[Route]:
    """The routes of the links, for the collector's application."""
    tracking = _Tracking(links, publisher, shops, clock or SystemClock())
    return [
        Route("/u/{token}", tracking.ask, methods=["GET"]),
        Route("/u/{token}", tracking.unsubscribe, methods=["POST"]),
    ]


class _Tracking:
    def __init__(self, links: Links, publisher: Records, shops: Shops, clock: Clock) -> None:
        self._links = links
        self._publisher = publisher
        self._shops = shops
        self._clock = clock
        self._env: Environment = environment(TEMPLATES)

    async def ask(self, request: Request) -> Response:
        """A page with a button. It changes nothing."""
        try:
            shop_id, _ = self._links.read_unsubscribe(request.path_params["token"])
        except InvalidEvent:
            return self._page("unknown", Shop(""), 404)
        return self._page("ask", self._shops.of(shop_id), 200)

    async def unsubscribe(self, request: Request) -> Response:
        """Record that the person wants no more mails, then say so. The body does not matter and is not read."""
        try:
            shop_id, subscriber_id = self._links.read_unsubscribe(request.path_params["token"])
        except InvalidEvent:
            return self._page("unknown", Shop(""), 404)
        now = self._clock.now_ms()
        event = SubscriberEvent(
            event_id=derived_id("unsubscribe", shop_id, subscriber_id, now),
            type="subscriber.withdrawn",
            shop_id=shop_id,
            subscriber_id=subscriber_id,
            occurred_at=to_datetime(now),
            reason="unsubscribe link",
        )
        shop = self._shops.of(shop_id)
        try:
            await self._write(SUBSCRIBER_EVENTS, subscriber_id, encode(event))
        except Unavailable as exc:
            log.warning("an unsubscription could not be recorded: %s", exc)
            return self._page("later", shop, 503, {"Retry-After": "60"})
        return self._page("done", shop, 200)

    async def _write(self, topic: Topic, key: str, value: bytes) -> None:
        await run_in_threadpool(self._publisher.send_and_wait, topic, key, value, timeout=3.0)

    def _page(self, page: str, shop: Shop, status: int, headers: Mapping[str, str] | None = None) -> HTMLResponse:
        wanted = shop.profile.locale.lower().replace("_", "-").partition("-")[0]
        language = wanted if wanted in _LANGUAGES else DEFAULT_LANGUAGE
        nonce = secrets.token_urlsafe(12)
        known: dict[str, Any] = {"title": line(shop.profile.title, 100), "url": web_url(shop.profile.url)}
        html = self._env.get_template(f"{language}/page.html").render(
            page=page, shop=known if shop.shop_id else None, nonce=nonce, language=language
        )
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; "
            "base-uri 'none'"
        )
        return HTMLResponse(html, status, {**_HEADERS, "Content-Security-Policy": policy, **(headers or {})})
