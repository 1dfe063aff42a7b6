"""The demo shop: a page of the collector where one can fill a cart and leave it.

in   a shopper's browser
out  nothing here: the page itself sends its events to `POST /v1/events`, as any shop would
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from ingest.shop.goods import BY_SKU, CURRENCY, PRODUCTS, picture

HERE: Final = Path(__file__).parent
SHOP_ID: Final = "demo-shop"
_ASSETS: Final = {"shop.css": "text/css; charset=utf-8", "shop.js": "text/javascript; charset=utf-8"}
_PICTURES: Final = {"svg": "image/svg+xml", "png": "image/png"}
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


def routes(*, idle: timedelta, mailbox_url: str, console_url: str) -> list[Route]:
    """The shop's routes, to be mounted under `/shop`.

    `idle` is when the demo's carts count as left; the two addresses are where the page sends people to look.
    """
    return [
        Route("/", _front(idle, mailbox_url, console_url)),
        Route("/static/{name}", _static),
    ]


def _front(idle: timedelta, mailbox_url: str, console_url: str) -> Callable[[Request], Response]:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    facts = {
        "products": PRODUCTS,
        "currency": CURRENCY,
        "shop_id": SHOP_ID,
        "idle_seconds": round(idle.total_seconds()),
        "mailbox_url": mailbox_url,
        "console_url": console_url,
    }

    def front(request: Request) -> Response:
        base = request.scope.get("root_path", "").rstrip("/")
        html = env.get_template("shop.html").render(base=base, **facts)
        return HTMLResponse(html, headers={**_HEADERS, "cache-control": "no-store"})

    return front


def _static(request: Request) -> Response:
    name: str = request.path_params["name"]
    if name in _ASSETS:
        content, kind, age = (HERE / "static" / name).read_bytes(), _ASSETS[name], "no-cache"
    else:
        sku, _, suffix = name.rpartition(".")
        if sku not in BY_SKU or suffix not in _PICTURES:
            return PlainTextResponse("There is no such file.\n", 404, headers=_HEADERS)
        content, kind, age = picture(sku, suffix), _PICTURES[suffix], "public, max-age=86400"
    # mail programs and the console, on other origins, show these pictures too
    headers = {**_HEADERS, "cache-control": age, "cross-origin-resource-policy": "cross-origin"}
    return Response(content, media_type=kind, headers=headers)
