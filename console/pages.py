"""Turns a template and its facts into a page: escaped always, failing loudly on a name that does not exist."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
from babel.numbers import format_currency, format_decimal
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from console import words

HERE = Path(__file__).parent
LOCALE = "en"


class Pages:
    """The templates, with what every page needs."""

    def __init__(self, *, picture_sources: str, now: Callable[[], datetime], facts: Mapping[str, Any]) -> None:
        self._env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        allowed = tuple(source if "//" in source else f"{source}//" for source in picture_sources.split())
        self._env.filters |= {
            "money": money,
            "when": when,
            "picture": lambda url: picture(url, allowed),
            "link": link,
            "plural": plural,
            "sentence": sentence,
            "last_word": lambda kind: kind.rpartition(".")[2],
        }
        self._env.globals |= {"words": words, **facts}
        self.now = now

    def render(
        self,
        request: Request,
        template: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> HTMLResponse:
        """The page; `facts` are the names its template uses."""
        html = self._env.get_template(template).render(path=request.url.path, **facts)
        return HTMLResponse(html, status, dict(headers or {}))

    def problem(
        self,
        request: Request,
        status: int,
        title: str,
        detail: str,
        *,
        retry_seconds: int = 0,
        back: str = "/carts",
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """A page that says what is wrong and what to do, and leads `back`.

        It loads itself again after `retry_seconds` unless 0.
        """
        more = {"retry-after": str(retry_seconds)} if retry_seconds else {}
        return self.render(
            request,
            "problem.html",
            status,
            {**more, **(headers or {})},
            title=title,
            detail=detail,
            status_words=f"{status} {HTTPStatus(status).phrase}",
            retry_seconds=retry_seconds,
            back=back,
        )


def money(amount: Decimal | None, currency: str | None) -> str:
    """`€1,234.50` as the currency writes it; a plain number without a currency, a dash without an amount."""
    if amount is None:
        return "–"
    if not currency:
        return str(format_decimal(amount, format="#,##0.00", locale=LOCALE))
    return str(format_currency(amount, currency, locale=LOCALE))


def when(moment: datetime | None, zone: bool = True) -> Markup:
    """A `<time>` element, `2026-11-23 10:15 UTC`; the script adds how long ago that was.

    Where many stand together, `zone` leaves UTC to the note at the top of the page.
    """
    if moment is None or moment.year <= 1970:  # the store keeps 1970 where nothing was said
        return Markup("–")
    at = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown = f"{at:%Y-%m-%d %H:%M}" + (" UTC" if zone else "")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, exact, shown)


def picture(url: str | None, allowed: tuple[str, ...]) -> str | None:
    """The address if a browser may load it as a picture under our policy, else None."""
    if not url or not any(url.lower().startswith(source) for source in allowed):
        return None
    return url


def link(url: str | None) -> str | None:
    """The address if it is a web address, else None: `javascript:` is no link."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def plural(number: int, one: str, many: str) -> str:
    """`1 item`, `1,204 items`."""
    return f"{number:,} {one if number == 1 else many}"


def sentence(text: str) -> str:
    """The text with a capital at its beginning, unless it begins with an address or an id."""
    first, _, _ = text.partition(" ")
    return text[:1].upper() + text[1:] if first.isalpha() else text
