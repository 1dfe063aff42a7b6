"""The REES46 / Open CDP shop data sets: CSV with a header, one row for each thing a visitor did.

in   event_time, event_type, product_id, price, user_id, user_session; other columns are skipped but category_code
out  cart-events, user_session: cart → cart.item_added, remove_from_cart → cart.item_removed, purchase → order.placed

A cart is a `user_session`. `view` is no cart event, but its time counts. Rows carry no ids: they are derived from
the file's name, the line's number and its text, so the same file sent twice is the same events.
"""

import codecs
import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from cartwake.clock import to_ms
from cartwake.errors import InvalidEvent
from cartwake.model import derived_id, encode
from cartwake.money import check_amount
from ingest.line import MAX_LINE, Line
from ingest.routing import route

COLUMNS: Final = ("event_time", "event_type", "product_id", "price", "user_id", "user_session")
_TYPES: Final = {"cart": "cart.item_added", "remove_from_cart": "cart.item_removed", "purchase": "order.placed"}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", re.ASCII)
_PRICE: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def read(lines: Iterator[bytes], *, shop_id: str, file_name: str) -> Iterator[Line]:
    """A Line for each row; a header without the columns above is one error and ends the file."""
    columns: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            fields = _fields(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)
            if not columns:
                columns = _header(fields)
                continue
            if len(fields) != len(columns):
                raise InvalidEvent(f"{len(fields)} fields; the header has {len(columns)}")
            row = dict(zip(columns, fields, strict=True))
            at, event = _event(row)
            if event is None:
                yield Line(number, at)
                continue
            event["shop_id"] = shop_id
            event["event_id"] = derived_id("rees46", shop_id, file_name, number, *fields)
            record = route(encode(event))
        except InvalidEvent as exc:
            yield Line(number, error=str(exc) if columns else f"header: {exc}; nothing of this file can be read")
            if not columns:
                return
        else:
            yield Line(number, record.at, record.topic, record.key, record.value)


def _fields(line: bytes) -> list[str]:
    if len(line) > MAX_LINE:
        raise InvalidEvent(f"longer than {MAX_LINE} bytes")
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise InvalidEvent(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as exc:
        raise InvalidEvent(f"not CSV: {exc}") from exc


def _header(fields: list[str]) -> list[str]:
    missing = [name for name in COLUMNS if name not in fields]
    if missing:
        raise InvalidEvent(f"no column {', '.join(missing)}")
    return fields


def _event(row: dict[str, str]) -> tuple[int, dict[str, Any] | None]:
    at = _moment(row["event_time"])
    price = _price(row["price"])
    session, sku, kind = row["user_session"], row["product_id"], row["event_type"]
    if not session.strip():
        raise InvalidEvent("user_session: empty")
    if kind == "view":
        return at, None
    if kind not in _TYPES:
        raise InvalidEvent(f"event_type: {kind[:60]!r} is none of view, {', '.join(_TYPES)}")
    item: dict[str, Any] = {"sku": sku, "quantity": 1, "price": str(price)}
    if row.get("category_code"):
        item["category"] = row["category_code"]
    time = row["event_time"]
    event: dict[str, Any] = {
        "type": _TYPES[kind],
        "cart_id": session,
        "occurred_at": f"{time[:10]}T{time[11:19]}Z",
        "items": [item],
    }
    if row["user_id"]:
        event["customer_id"] = row["user_id"]
    if kind == "purchase":
        event["order_id"] = derived_id("rees46", session, time)  # the rows of one order share session and time
    return at, event


def _moment(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise InvalidEvent(f"event_time: {text[:60]!r} is not like 2022-10-01 00:00:00 UTC")
    try:
        return to_ms(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC))
    except ValueError as exc:
        raise InvalidEvent(f"event_time: {text!r}: {exc}") from exc


def _price(text: str) -> Decimal:
    if not _PRICE.fullmatch(text):
        raise InvalidEvent(f"price: {text[:60]!r} is no number")
    price = Decimal(text)
    check_amount(price, "price")
    return price
