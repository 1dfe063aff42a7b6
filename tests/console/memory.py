"""A CartReader in memory with the promises of the real one, and builders with one interesting argument."""

import base64
import csv
import io
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from xml.sax.saxutils import escape

import msgspec

from cartwake.errors import Rejected
from cartwake.model import Item, encode
from cartwake.topics import Topic
from sinks.carts import CartDetail, CartLine, CartRow, Count, Mail, OpenAlarm, Page, Standing, TimelineEntry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHIRT = Item(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.99"), image="https://shop.example/a1.png")


def row(number: int = 1, *, items: Sequence[Item] = (SHIRT,), **changes: Any) -> CartRow:
    """An abandonment of a known person, `number` minutes before noon."""
    left = NOON - timedelta(minutes=number)
    facts: dict[str, Any] = {
        "abandonment_id": f"{number:032x}",
        "shop_id": "main",
        "cart_id": f"c-{number}",
        "episode": 1,
        "abandoned_at": left,
        "last_activity": left - timedelta(hours=2),
        "created_at": left - timedelta(hours=3),
        "stage": "cart",
        "currency": "EUR",
        "value": sum(((x.price or Decimal(0)) * (x.quantity or 1) for x in items), Decimal(0)),
        "units": sum(x.quantity or 1 for x in items),
        "items": encode(tuple(items)).decode(),
        "cart_url": f"https://shop.example/cart/c-{number}",
        "device_id": "d-9",
        "customer_id": "",
        "email": "ana@example.com",
        "subscriber_id": "p-ana",
        "evidence_how": "login",
        "evidence_words": "ana@example.com logged in on this device on 2026-11-20.",
        "state": "open",
        "order_id": "",
        "message_status": "",
        "message_reason": "",
        "message_words": "",
        "message_at": None,
        "plan_id": "",
    }
    return CartRow(**(facts | changes))


def nobody(number: int = 1) -> CartRow:
    """An abandonment that no person is known for."""
    return row(number, email="", subscriber_id="", evidence_how="", evidence_words="")


def mail(**changes: Any) -> Mail:
    """A mail as it was sent at noon."""
    facts: dict[str, Any] = {
        "plan_id": "plan-1",
        "shop_id": "main",
        "subscriber_id": "p-ana",
        "channel": "email",
        "cart_id": "c-1",
        "abandonment_id": f"{1:032x}",
        "request_id": "",
        "status": "sent",
        "reason": "",
        "words": "",
        "status_at": NOON,
        "to": "ana@example.com",
        "subject": "You left something",
        "text": "Your shirt is waiting.",
        "html": "<p>Your <b>shirt</b> is waiting.</p>",
        "due_at": NOON,
        "sent_at": NOON,
        "opened_at": None,
        "clicked_at": None,
        "bounced_at": None,
    }
    return Mail(**(facts | changes))


def happened(kind: str = "cart.item_added", words: str = "Added 2 × Blue shirt") -> TimelineEntry:
    """Something that happened at noon."""
    return TimelineEntry(at=NOON, source="cart-events", type=kind, id=f"e-{kind}", words=words, raw="{}")


class MemoryCarts:
    """Abandonments in a list; `outcomes` are what the reminder stage would answer."""

    def __init__(
        self, rows: Sequence[CartRow] = (), *, mails: Sequence[Mail] = (), timeline: Sequence[TimelineEntry] = ()
    ) -> None:
        self.rows = list(rows)
        self.mails = tuple(mails)
        self.timeline = tuple(timeline)
        self.outcomes: dict[str, tuple[str, str]] = {}
        self.said: dict[tuple[str, str, str], str] = {}
        self.people: list[Standing] = []
        self.open_alarms: tuple[OpenAlarm, ...] = ()
        self.broken: Exception | None = None
        self.files: list[Generator[bytes]] = []

    def page(
        self,
        *,
        shop: str | None = None,
        search: str | None = None,
        state: str | None = None,
        stage: str | None = None,
        sort: Literal["newest", "oldest"] = "newest",
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        self._fail()
        found = self._that_match(shop, search, state, stage)
        found.sort(key=_place, reverse=sort == "newest")
        if cursor is not None:
            last = _read(cursor)
            found = [x for x in found if (_place(x) < last if sort == "newest" else _place(x) > last)]
        more = len(found) > limit
        return Page(rows=tuple(found[:limit]), next=_cursor(found[limit - 1]) if more else None)

    def file(
        self,
        format_: str,
        *,
        shop: str | None = None,
        search: str | None = None,
        state: str | None = None,
        stage: str | None = None,
    ) -> Generator[bytes]:
        found = sorted(self._that_match(shop, search, state, stage), key=_place)
        self.files.append(self._csv(found) if format_ == "csv" else self._xml(found))
        return self.files[-1]

    def _csv(self, rows: Sequence[CartRow]) -> Generator[bytes]:
        self._fail()
        yield b"cart_id,shop_id,email\r\n"
        for x in rows:
            line = io.StringIO()
            csv.writer(line, quoting=csv.QUOTE_ALL).writerow([x.cart_id, x.shop_id, x.email])
            yield line.getvalue().encode()
            self._fail()

    def _xml(self, rows: Sequence[CartRow]) -> Generator[bytes]:
        self._fail()
        yield b'<?xml version="1.0" encoding="UTF-8"?>\n<carts>\n'
        for x in rows:
            yield f"<cart><cart_id>{escape(x.cart_id)}</cart_id></cart>\n".encode()
        yield b"</carts>\n"

    def _that_match(self, shop: str | None, search: str | None, state: str | None, stage: str | None) -> list[CartRow]:
        return [
            x
            for x in self.rows
            if shop in (None, x.shop_id)
            and state in (None, x.state)
            and stage in (None, x.stage)
            and (search is None or search.lower() in f"{x.email} {x.cart_id} {x.items}".lower())
        ]

    def detail(self, abandonment_id: str) -> CartDetail | None:
        self._fail()
        for x in self.rows:
            if x.abandonment_id == abandonment_id:
                return CartDetail(row=x, lines=_lines(x.items), timeline=self.timeline, mails=self.mails)
        return None

    def counts(self, shop: str | None = None) -> tuple[Count, ...]:
        self._fail()
        groups: dict[tuple[str, str, str], list[CartRow]] = {}
        for x in self.rows:
            if shop in (None, x.shop_id):
                groups.setdefault((x.shop_id, x.state, x.currency), []).append(x)
        return tuple(
            Count(
                shop_id=key[0],
                state=key[1],
                currency=key[2],
                carts=len(rows),
                value=sum((x.value for x in rows), Decimal(0)),
                identified=sum(bool(x.subscriber_id) for x in rows),
                written=sum(x.message_status == "sent" for x in rows),
            )
            for key, rows in sorted(groups.items())
        )

    def alarms(self) -> tuple[OpenAlarm, ...]:
        self._fail()
        return self.open_alarms

    def request_result(self, request_id: str) -> tuple[str, str] | None:
        self._fail()
        return self.outcomes.get(request_id) or self.outcomes.get("any")

    def request_results(self, request_ids: Collection[str]) -> dict[str, tuple[str, str]]:
        return {one: found for one in request_ids if (found := self.request_result(one))}

    def own_words(self, shop_id: str, subscriber_id: str, request_id: str) -> str:
        self._fail()
        return self.said.get((shop_id, subscriber_id, request_id), "")

    def chosen(self, abandonment_ids: Collection[str]) -> dict[str, CartRow]:
        self._fail()
        return {x.abandonment_id: x for x in self.rows if x.abandonment_id in abandonment_ids}

    def standings(self, people: Collection[tuple[str, str]], *, since: datetime) -> dict[tuple[str, str], Standing]:
        self._fail()
        return {
            key: x if x.written_at and x.written_at > since else replace(x, written=0, written_at=None)
            for x in self.people
            if (key := (x.shop_id, x.subscriber_id)) in people
        }

    def _fail(self) -> None:
        if self.broken is not None:
            raise self.broken


class Written:
    """An EventWriter that keeps what it was given."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, bytes | None]] = []
        self.broken: Exception | None = None

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None) -> None:
        if self.broken is not None:
            raise self.broken
        self.records.append((topic.name, key, value))


def _place(x: CartRow) -> tuple[str, str]:
    return x.abandoned_at.isoformat(timespec="milliseconds"), x.abandonment_id


def _cursor(x: CartRow) -> str:
    return base64.urlsafe_b64encode("|".join(_place(x)).encode()).decode()


def _read(cursor: str) -> tuple[str, str]:
    try:
        at, _, abandonment_id = base64.urlsafe_b64decode(cursor).decode().partition("|")
        datetime.fromisoformat(at)
    except ValueError as exc:
        raise Rejected("not one of ours") from exc
    return at, abandonment_id


def _lines(items: str) -> tuple[CartLine, ...]:
    return tuple(_line(x) for x in msgspec.json.decode(items, type=tuple[Item, ...]))


def _line(x: Item) -> CartLine:
    return CartLine(
        sku=x.sku,
        name=x.name or "",
        quantity=x.quantity or 1,
        price=x.price,
        url=x.url or "",
        image=x.image or "",
        category=x.category or "",
    )
