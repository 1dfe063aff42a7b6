"""What the console reads: pages of abandonments, one of them in full, and counts.

in   the views `abandonments` and `sent_messages`, and the logs behind them
out  frozen rows for pages
"""

import base64
from collections.abc import Collection, Generator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

import sql
from cartwake.clock import DAY_MS, Clock, SystemClock, to_ms
from cartwake.errors import Rejected
from sinks import detail as full
from sinks import export
from sinks.clickhouse import ClickHouse, moments
from sinks.rows import CartDetail, CartLine, CartRow, Count, Mail, OpenAlarm, Page, Standing, TimelineEntry
from sinks.search import pattern

__all__ = [
    "CartDetail",
    "CartLine",
    "CartRow",
    "Carts",
    "Count",
    "Mail",
    "OpenAlarm",
    "Page",
    "Standing",
    "TimelineEntry",
]

Sort = Literal["newest", "oldest"]


_MOST: Final = 500
_SPANS: Final = (0.25, 4, None)  # days that a page is looked for in


class Carts:
    """Reads for the console, from any thread. Every method raises SinkUnavailable while ClickHouse is away."""

    def __init__(self, client: ClickHouse, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or SystemClock()

    def page(
        self,
        *,
        shop: str | None = None,
        search: str | None = None,
        state: str | None = None,
        stage: str | None = None,
        sort: Sort = "newest",
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Abandonments by (abandoned_at, abandonment_id), from `cursor` on; Rejected for a cursor that is none.

        `search` is any part of an e-mail address, a product's name, or a cart, customer or order id, in any case.
        """
        limit = max(1, min(limit, _MOST))
        filters = {"state": state or "", "search": pattern(search or "")}
        at, last = read_cursor(cursor) if cursor else (self._start(sort), "")
        asked = {**filters, "shop": shop or "", "stage": stage or "", "limit": limit + 1}
        rows: list[CartRow] = []
        more = True
        while more and len(rows) < limit:
            keys = self._keys(sort, at, last, asked)
            more = len(keys) > limit
            rows += self._of(keys[:limit], filters)
            if keys:
                at, last = to_ms(keys[:limit][-1]["abandoned_at"]), keys[:limit][-1]["abandonment_id"]
        if len(rows) > limit:
            rows, more = rows[:limit], True
            at, last = to_ms(rows[-1].abandoned_at), rows[-1].abandonment_id
        return Page(rows=tuple(rows), next=_encode_cursor(at, last) if more else None)

    def _keys(self, sort: Sort, at: int, last: str, asked: Mapping[str, object]) -> list[dict[str, Any]]:
        """The next from there on. What is frequent is found in few days; only for what is rare, all are looked at."""
        keys: list[dict[str, Any]] = []
        for days in _SPANS:
            bound = 0 if days is None else at + int(days * DAY_MS) * (-1 if sort == "newest" else 1)
            keys = self._rows(sort, **asked, cursor_at=at, cursor_id=last, bound=bound)
            if len(keys) == asked["limit"]:
                break
        return keys

    def _start(self, sort: Sort) -> int:
        """Now, or when the first one was left (a time long ago when none was)."""
        if sort == "newest":
            return self._clock.now_ms()
        return int(self._client.query(sql.read("console/start.sql"))[0]["first"])

    def _of(self, keys: Sequence[Mapping[str, Any]], filters: Mapping[str, str]) -> list[CartRow]:
        """The rows of `keys` that pass, in their order; a key whose abandonment has moved since is none."""
        if not keys:
            return []
        found = self._rows(
            "rows",
            **filters,
            shops=sorted({x["shop_id"] for x in keys}),
            times=moments(to_ms(x["abandoned_at"]) for x in keys),
            abandonments=[x["abandonment_id"] for x in keys],
        )
        by_key = {(x["abandonment_id"], x["abandoned_at"]): CartRow(**x) for x in found}
        wanted = ((x["abandonment_id"], x["abandoned_at"]) for x in keys)
        return [by_key[key] for key in wanted if key in by_key]

    def file(
        self,
        format_: str,
        *,
        shop: str | None = None,
        search: str | None = None,
        state: str | None = None,
        stage: str | None = None,
    ) -> Generator[bytes]:
        """What the pages of these filters show, the oldest first, as a file of `csv` or `xml`; closing it ends it."""
        filters = {"search": search or "", "state": state or "", "stage": stage or ""}
        return export.pieces(self._client, "carts", export.Wanted(shop=shop or "", filters=filters), format_=format_)

    def detail(self, abandonment_id: str) -> CartDetail | None:
        """One abandonment in full, or None when there is none of that id."""
        found = self._rows("one", abandonment_id=abandonment_id)
        if not found:
            return None
        row = CartRow(**found[0])
        return full.detail(self._client, row, lines(row.items))

    def counts(self, shop: str | None = None) -> tuple[Count, ...]:
        """Abandonments by shop, state and currency; withdrawn ones too, under their own state."""
        return tuple(Count(**x) for x in self._rows("counts", shop=shop or ""))

    def alarms(self) -> tuple[OpenAlarm, ...]:
        """Alarms about checkouts that are open, the newest first."""
        return tuple(OpenAlarm(**x) for x in self._rows("alarms"))

    def request_result(self, request_id: str) -> tuple[str, str] | None:
        """(status, words) of the message that staff asked for with this id, or None while there is none yet.

        Asked four times a second while a page waits, so it looks only at the last day of `messages_log`.
        """
        return self.request_results([request_id]).get(request_id)

    def request_results(self, request_ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """The same of several; those without a message are left out."""
        found = self._rows("request", requests=list(request_ids)) if request_ids else []
        return {x["request_id"]: (x["type"].removeprefix("message."), x["words"]) for x in found}

    def own_words(self, shop_id: str, subscriber_id: str, request_id: str) -> str:
        """The own words that this person's reminder was asked for with; empty when there were none, or not yet."""
        found = self._rows("asked", shop_id=shop_id, subscriber_id=subscriber_id, request_id=request_id)
        return str(found[0]["message"]) if found else ""

    def chosen(self, abandonment_ids: Collection[str]) -> dict[str, CartRow]:
        """These abandonments, by their ids; those that are no longer kept are left out."""
        ids = list(abandonment_ids)
        places = self._rows("find", abandonments=ids) if ids else []
        return {row.abandonment_id: row for row in self._of(places, {"state": "", "search": ""})}

    def standings(self, people: Collection[tuple[str, str]], *, since: datetime) -> dict[tuple[str, str], Standing]:
        """What is known of these (shop_id, subscriber_id), mails counted from `since` on; strangers are left out."""
        if not people:
            return {}
        shops, persons = sorted({x[0] for x in people}), sorted({x[1] for x in people})
        found = [Standing(**x) for x in self._rows("standing", shops=shops, people=persons, since=to_ms(since))]
        return {key: x for x in found if (key := (x.shop_id, x.subscriber_id)) in people}

    def _rows(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        return self._client.query(sql.read(f"console/{name}.sql"), parameters)


def lines(items: str) -> tuple[CartLine, ...]:
    """The lines of a cart, of the JSON array in `CartRow.items`; what is no line is left out."""
    try:
        found = msgspec.json.decode(items or "[]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(_line(x) for x in found if isinstance(x, dict)) if isinstance(found, list) else ()


def cursor_of(abandoned_at: datetime, abandonment_id: str) -> str:
    """What `read_cursor` understands, fit for a URL."""
    return _encode_cursor(to_ms(abandoned_at), abandonment_id)


def _encode_cursor(at: int, abandonment_id: str) -> str:
    return base64.urlsafe_b64encode(f"{at}/{abandonment_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """(epoch milliseconds, abandonment_id) of a cursor; raises Rejected for what is none."""
    try:
        at, _, abandonment_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("/")
        if not abandonment_id or not -(2**62) < int(at) < 2**62:
            raise ValueError(cursor)
        return int(at), abandonment_id
    except ValueError as exc:
        raise Rejected(f"{cursor[:80]!r} is no place in the list; start from its first page") from exc


def _line(line: Mapping[str, Any]) -> CartLine:
    texts = {name: _text(line, name) for name in ("sku", "name", "url", "image", "category")}
    quantity = line.get("quantity", 1)
    try:
        price = Decimal(str(line["price"])) if line.get("price") is not None else None
    except ArithmeticError:
        price = None
    return CartLine(**texts, quantity=quantity if isinstance(quantity, int) else 1, price=price)


def _text(line: Mapping[str, Any], name: str) -> str:
    value = line.get(name)
    return value if isinstance(value, str) else ""
