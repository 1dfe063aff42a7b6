"""The staff's console: which page answers where, and what happens when something goes wrong.

in   ClickHouse, through `sinks`
out  subscriber-events, key subscriber_id: reminders that staff asked for
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cartwake.clock import Clock, SystemClock, to_datetime
from cartwake.errors import Unavailable
from cartwake.settings import Settings
from console import carts as carts_page
from console import download
from console.asking import MOST_TEXT
from console.cart import CartPages
from console.many import ManyPages
from console.pages import HERE, Pages
from console.reader import CartReader, EventWriter
from console.security import Forged, Forms, Guard, page_policy, picture_sources, secure_headers

log = logging.getLogger(__name__)

RETRY_SECONDS = 5


def create_app(
    *,
    carts: CartReader,
    publisher: EventWriter,
    settings: Settings,
    hosts: Iterable[str] = (),
    clock: Clock | None = None,
    patience: timedelta = timedelta(seconds=5),
) -> Starlette:
    """The console as an ASGI application.

    `hosts` are the names it may be called by besides loopback and the setting `host`; `patience` is how long a page
    waits for the outcome of a reminder that was just asked for.
    """
    clock = clock or SystemClock()
    pictures = picture_sources(settings.collector_url)
    policy = page_policy(pictures)
    pages = Pages(
        picture_sources=pictures,
        now=lambda: to_datetime(clock.now_ms()),
        facts={"collector_url": settings.collector_url, "demo": bool(settings.demo_idle), "most_text": MOST_TEXT},
    )
    forms = Forms.under(settings.secret)
    cart = CartPages(
        carts, publisher, pages, forms=forms, clock=clock, patience=patience, collector_url=settings.collector_url
    )
    many = ManyPages(carts, publisher, pages, forms=forms, clock=clock, patience=patience)
    known = [settings.host, urlsplit(settings.console_url).hostname or "", *hosts]
    return Starlette(
        routes=[
            Route("/", _home),
            Route("/carts", partial(carts_page.show, carts, pages)),
            Route("/carts.{format}", partial(download.send, carts, pages)),
            Route("/carts/{abandonment_id}", cart.show),
            Route("/carts/{abandonment_id}/mail", cart.mail),
            Route("/carts/{abandonment_id}/remind", cart.remind, methods=["POST"]),
            Route("/reminders", many.account, methods=["GET"]),
            Route("/reminders", many.send, methods=["POST"]),
            Route("/reminders/new", many.new),
            Route("/healthz", _healthz),
            Mount("/static", _Assets(directory=HERE / "static")),
        ],
        middleware=[Middleware(Guard, hosts=known, policy=policy)],
        exception_handlers={
            HTTPException: partial(_refused, pages),
            Forged: partial(_forged, pages),
            Unavailable: partial(_away, pages),
            Exception: partial(_broken, pages, policy),
        },
    )


class _Assets(StaticFiles):
    """Our own style sheet and script: kept by browsers, asked for again each time."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["cache-control"] = "no-cache"
        return response


def _home(_request: Request) -> Response:
    return RedirectResponse("/carts")


def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _refused(pages: Pages, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return pages.problem(
            request, 404, "There is nothing here", "The address may be mistyped, or the cart is no longer kept."
        )
    if error.status_code == 400:
        return pages.problem(request, 400, "That address can’t be read", error.detail)
    return pages.problem(
        request, error.status_code, "That does not work", error.detail, headers=dict(error.headers or {})
    )


def _forged(pages: Pages, request: Request, error: Exception) -> Response:
    return pages.problem(request, 403, "Nothing was sent", str(error))


def _away(pages: Pages, request: Request, error: Exception) -> Response:
    log.warning("%s %s: %s", request.method, request.url.path, error)
    if request.method == "POST":
        detail = (
            "Nothing was asked for, because ClickHouse, where the console reads, does not answer. Please try again."
        )
        return pages.problem(request, 503, "Not sent", detail, headers={"retry-after": str(RETRY_SECONDS)})
    detail = "ClickHouse, where the console reads, does not answer. Events are kept in Kafka meanwhile; none is lost."
    return pages.problem(request, 503, "The carts can’t be read right now", detail, retry_seconds=RETRY_SECONDS)


def _broken(pages: Pages, policy: str, request: Request, _error: Exception) -> Response:
    # answered outside all middleware, so the headers are set here; Starlette raises it again for the server's log
    detail = "This is a fault of the console. It is in its log, with the time and this address."
    return pages.problem(request, 500, "Something broke", detail, headers=secure_headers(policy))
