"""Which topic an event of a shop belongs to, and under which key; the same over HTTP and from a file.

in   the bytes of one event (docs/event-format.md)
out  cart-events by cart_id, device-events by device_id, order-events by order_id, subscriber-events by subscriber_id

One event is one record: `order.placed` with a cart_id is a cart-event, without one (by phone) an order-event.
The shop's own bytes go through untouched, unknown fields too, unless something must be added.
"""

import difflib
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from cartwake.errors import InvalidEvent
from cartwake.model import (
    CART_TYPES,
    DEFAULT_SHOP,
    DEVICE_TYPES,
    MAX_BYTES,
    ORDER_TYPES,
    SUBSCRIBER_TYPES,
    decode_cart_event,
    decode_device_event,
    decode_order_event,
    decode_subscriber_event,
    encode,
    subscriber_id_for,
)
from cartwake.topics import CART_EVENTS, DEVICE_EVENTS, ORDER_EVENTS, SUBSCRIBER_EVENTS, Topic
from ingest.jsontext import UNREADABLE, flaw, why_unreadable

Kind = Literal["size", "json", "type", "field"]


class Refused(InvalidEvent):
    """An event that can't be used; `kind` is one word for figures, `event_id` is there when it could be read."""

    def __init__(self, kind: Kind, reason: str, event_id: str | None = None) -> None:
        super().__init__(reason)
        self.kind: Kind = kind
        self.event_id = event_id


class Routed(Struct, frozen=True, gc=False):
    """One record for Kafka; `at` is the event's `occurred_at` in epoch milliseconds."""

    topic: Topic
    key: str
    value: bytes
    at: int


class _Head(Struct, gc=False):
    type: str


class _Named(Struct, gc=False):
    event_id: str | None = None


class _Cart(Struct, gc=False):
    cart_id: str | None = None


class _Person(Struct, gc=False):
    subscriber_id: str | None = None
    customer_id: str | None = None
    email: str | None = None


_Way = tuple[Topic, Callable[[bytes], Any], Callable[[Any], str]]


def _ways() -> dict[str, _Way]:
    ways: dict[str, _Way] = {}
    for topic, types, decode in (
        (ORDER_EVENTS, ORDER_TYPES, decode_order_event),
        (SUBSCRIBER_EVENTS, SUBSCRIBER_TYPES, decode_subscriber_event),
        (DEVICE_EVENTS, DEVICE_TYPES, decode_device_event),
        (CART_EVENTS, CART_TYPES, decode_cart_event),  # last: an order.placed is the cart's, when it has one
    ):
        ways |= dict.fromkeys(types, (topic, decode, attrgetter(topic.key)))
    return ways


_WAYS: Final = _ways()
_PHONE_ORDER: Final[_Way] = (ORDER_EVENTS, decode_order_event, attrgetter(ORDER_EVENTS.key))
_UNLIKE_OTHERS: Final = SUBSCRIBER_TYPES | {"order.placed"}

_ROOM: Final = 1_000  # for what is added to an event

_type_of: Final = msgspec.json.Decoder(_Head).decode
_name_of: Final = msgspec.json.Decoder(_Named).decode
_cart_in: Final = msgspec.json.Decoder(_Cart).decode
_person_in: Final = msgspec.json.Decoder(_Person).decode
_fields_of: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def route(raw: bytes, shop_id: str = DEFAULT_SHOP, device: str = "") -> Routed:
    """The record for one event, checked as its reader will check it; raises Refused.

    `shop_id` is given to an event that names no shop, `device` to one of a cart without `device_kind`. A subscriber
    event that names its person only by e-mail or customer_id gets the subscriber_id.
    """
    if len(raw) > MAX_BYTES:
        raise Refused("size", f"{len(raw)} bytes; an event may have {MAX_BYTES}")
    if problem := flaw(raw):
        raise Refused("json", problem)
    try:
        kind = _type_of(raw).type
    except UNREADABLE as exc:
        raise _unreadable(raw, exc) from exc
    way = _WAYS.get(kind)
    if way is None:
        raise Refused("type", _unknown(kind), event_id_of(raw))
    try:
        if kind in _UNLIKE_OTHERS:
            if kind != "order.placed":
                raw = _with_subscriber(raw)
            elif _cart_in(raw).cart_id is None:
                way = _PHONE_ORDER
        if shop_id != DEFAULT_SHOP and "shop_id" not in _fields_of(raw):
            raw = _with(raw, "shop_id", shop_id)
        topic, decode, key_of = way
        if device and topic is CART_EVENTS and b'"device_kind"' not in raw and len(raw) < MAX_BYTES - _ROOM:
            raw = _with(raw, "device_kind", device)
        event = decode(raw)
    except (InvalidEvent, *UNREADABLE) as exc:
        raise Refused("field", _advice(str(exc)), event_id_of(raw)) from exc
    return Routed(topic, key_of(event), raw, event.at)


def event_id_of(raw: bytes) -> str | None:
    """The event_id of an event that may be wrong in other ways, if it can be read."""
    try:
        name = _name_of(raw).event_id
    except UNREADABLE:
        return None
    return name[:200] if name else None


def _with_subscriber(raw: bytes) -> bytes:
    person = _person_in(raw)
    if person.subscriber_id is not None:
        return raw
    email = person.email if person.email and person.email.strip() else None
    subscriber_id = subscriber_id_for(email=email, customer_id=person.customer_id)
    if not subscriber_id:
        raise InvalidEvent("who? One of subscriber_id, email, customer_id is needed")
    return _with(raw, "subscriber_id", subscriber_id)


def _with(raw: bytes, name: str, value: str) -> bytes:
    return encode(_fields_of(raw) | {name: value})


def _unreadable(raw: bytes, exc: Exception) -> Refused:
    if isinstance(exc, msgspec.ValidationError):
        return Refused("field", _advice(str(exc)), event_id_of(raw))
    return Refused("json", why_unreadable(raw, exc))


def _unknown(kind: str) -> str:
    near = difflib.get_close_matches(kind[:60], _WAYS, n=1)
    return f"type: {kind[:60]!r} is not known" + (f"; did you mean {near[0]}?" if near else "")


def _advice(reason: str) -> str:
    if "missing required field `event_id`" in reason:
        return "event_id is missing: send one that stays the same when the event is sent again, a UUID for example"
    if "missing required field `occurred_at`" in reason:
        return "occurred_at is missing: RFC 3339 with an offset, or epoch milliseconds"
    return reason[:500]
