"""The list of carts that were left: tiles or a table, searched, filtered, page by page.

in   ClickHouse view `abandonments`
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cartwake.clock import rfc3339, to_ms
from cartwake.errors import Rejected
from cartwake.model import Item
from console import words
from console.pages import Pages, money
from console.reader import CartReader
from sinks.carts import CartRow, Count

VIEW_COOKIE: Final = "cartwake_view"
PAGE_SIZE: Final = 48
STEPS_BACK: Final = 20  # pages that "Newer" knows the way back to; then it leads to the first
_A_YEAR: Final = 365 * 24 * 3600
_items: Final = msgspec.json.Decoder(tuple[Item, ...]).decode


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for."""

    view: str = "tiles"
    q: str = ""
    state: str = ""
    stage: str = ""
    shop: str = ""
    cursor: str = ""
    back: tuple[str, ...] = field(default=())

    @property
    def narrowed(self) -> bool:
        """True when a filter or a search is set."""
        return bool(self.q or self.state or self.stage or self.shop)

    @property
    def href(self) -> str:
        """The address that asks for this."""
        named = [(name, getattr(self, name)) for name in ("q", "state", "stage", "shop", "cursor")]
        query = [(name, value) for name, value in named if value] + [("back", cursor) for cursor in self.back]
        return f"/carts?{urlencode(query)}" if query else "/carts"

    def file(self, format_: str) -> str:
        """The address of all pages of this list as one file."""
        named = [(name, getattr(self, name)) for name in ("q", "state", "stage", "shop")]
        query = [(name, value) for name, value in named if value]
        return f"/carts.{format_}?{urlencode(query)}" if query else f"/carts.{format_}"

    @property
    def newer(self) -> str | None:
        """The address of the page before this one."""
        if not self.cursor:
            return None
        return replace(self, cursor=self.back[-1] if self.back else "", back=self.back[:-1]).href

    def older(self, cursor: str | None) -> str | None:
        """The address of the page that starts at `cursor`."""
        if cursor is None:
            return None
        back = (*self.back, self.cursor)[-STEPS_BACK:] if self.cursor else ()
        return replace(self, cursor=cursor, back=back).href


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the counts at the top, which is also a filter."""

    label: str
    number: int
    worth: str
    href: str
    current: bool


async def show(reader: CartReader, pages: Pages, request: Request) -> Response:
    """The list, as the address asks for it; the view is remembered in a cookie."""
    asked = read(request.query_params, request.cookies.get(VIEW_COOKIE, ""))
    counts = await run_in_threadpool(reader.counts)
    try:
        page = await run_in_threadpool(
            reader.page,
            shop=asked.shop or None,
            search=asked.q or None,
            state=asked.state or None,
            stage=asked.stage or None,
            cursor=asked.cursor or None,
            limit=PAGE_SIZE,
        )
    except Rejected as exc:
        raise HTTPException(400, f"There is no such page of the list: {exc}") from exc
    response = pages.render(
        request,
        "carts.html",
        asked=asked,
        rows=[(row, lines(row)) for row in page.rows],
        figures=figures(counts, asked),
        alarms=[x for x in await run_in_threadpool(reader.alarms) if asked.shop in ("", x.shop_id)],
        shops=sorted({count.shop_id for count in counts}),
        views={view: views_href(asked, view) for view in ("tiles", "list")},
        here=replace(asked, back=()).href,
        everyone=everyone(page.rows, asked),
        newer=asked.newer,
        older=asked.older(page.next),
        nothing_yet=not counts and not page.rows and not asked.narrowed and not asked.cursor,
        example_time=rfc3339(to_ms(pages.now())),
    )
    if request.query_params.get("view") == asked.view:
        response.set_cookie(VIEW_COOKIE, asked.view, max_age=_A_YEAR, httponly=True, samesite="lax")
    return response


def read(query: QueryParams, remembered: str) -> Asked:
    """What the query asks for; what it can't mean is ignored."""
    view = query.get("view") or remembered
    state, stage = query.get("state", ""), query.get("stage", "")
    return Asked(
        view="list" if view == "list" else "tiles",
        q=query.get("q", "").strip()[:200],
        state=state if state in words.STATES else "",
        stage=stage if stage in words.STAGES else "",
        shop=query.get("shop", "")[:200],
        cursor=query.get("cursor", "")[:500],
        back=tuple(cursor[:500] for cursor in query.getlist("back")[-STEPS_BACK:]),
    )


def views_href(asked: Asked, view: str) -> str:
    """This page in the other view."""
    here = asked.href
    return f"{here}{'&' if '?' in here else '?'}view={view}"


def everyone(rows: Iterable[CartRow], asked: Asked) -> str:
    """The address of reminders about all on this page."""
    query = [*(("cart", row.abandonment_id) for row in rows), ("from", replace(asked, back=()).href)]
    return f"/reminders/new?{urlencode(query)}"


def lines(row: CartRow) -> tuple[Item, ...]:
    """The lines of a row; none when they can't be read."""
    try:
        return _items(row.items)
    except msgspec.DecodeError:
        return ()


def figures(counts: Sequence[Count], asked: Asked) -> list[Figure]:
    """All, and one figure for each state, of the shop that is looked at."""
    counts = [count for count in counts if not asked.shop or count.shop_id == asked.shop]
    start = Asked(shop=asked.shop)
    found = [_figure("All", counts, replace(start, q=""), not asked.state)]
    for state, label in words.STATES.items():
        of_state = [count for count in counts if count.state == state]
        found.append(_figure(label, of_state, replace(start, state=state), asked.state == state))
    return found


def _figure(label: str, counts: Iterable[Count], target: Asked, current: bool) -> Figure:
    worth: dict[str, Decimal] = {}
    number = 0
    for count in counts:
        number += count.carts
        worth[count.currency] = worth.get(count.currency, Decimal(0)) + count.value
    most = sorted(worth.items(), key=lambda each: each[1], reverse=True)
    shown = " · ".join(money(value, currency) for currency, value in most[:2] if value)
    return Figure(label, number, shown + (" …" if len(most) > 2 else ""), target.href, current)
