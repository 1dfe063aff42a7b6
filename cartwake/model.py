"""The records on the topics: what each says, and what makes one invalid.

Times are epoch milliseconds inside and RFC 3339 on the wire of what we write; money is Decimal; unknown fields
are ignored. `decode_…` raise InvalidEvent with a reason for the shop's developer.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from cartwake.clock import to_ms
from cartwake.errors import InvalidEvent
from cartwake.money import CURRENCIES, check_amount, check_currency, is_plain

MAX_BYTES: Final = 256 * 1024
MAX_ITEMS: Final = 1_000
LATEST: Final = 253_402_300_799_999  # the last millisecond of the year 9999
DEFAULT_SHOP: Final = "main"

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=2_000)]
Url = Annotated[str, Meta(max_length=2_000)]
Code = Annotated[str, Meta(max_length=100)]
Email = Annotated[str, Meta(max_length=254)]
Moment = int | Annotated[datetime, Meta(tz=True)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
Channel = Literal["email", "sms", "push"]


class Item(Struct, frozen=True, omit_defaults=True, gc=False):
    """A line of a cart, or a change to one. No quantity: one when added, the whole line when removed."""

    sku: Id
    name: Text | None = None
    quantity: Quantity | None = None
    price: Decimal | None = None
    url: Url | None = None
    image: Url | None = None
    category: Text | None = None


class Consent(Struct, frozen=True, omit_defaults=True, gc=False):
    """Whether the person agreed to reminders by these channels, on what basis, to which text."""

    granted: bool = True
    basis: Text | None = None
    text: Text | None = None
    channels: Annotated[tuple[Channel, ...], Meta(max_length=3)] = ("email",)


class PushTarget(Struct, frozen=True, omit_defaults=True, gc=False):
    """A browser that takes push messages: what `PushSubscription.toJSON()` says (keys in base64url, RFC 8291)."""

    endpoint: Url
    p256dh: Annotated[str, Meta(min_length=80, max_length=100)]
    auth: Annotated[str, Meta(min_length=20, max_length=30)]


# -- what a shop sends ---------------------------------------------------------------------------------------
class Event(Struct, frozen=True, kw_only=True, gc=False):
    """What every record of a shop has."""

    event_id: Id
    type: Id
    shop_id: Id = DEFAULT_SHOP
    occurred_at: Moment

    @property
    def at(self) -> int:
        """`occurred_at` in epoch milliseconds."""
        moment = self.occurred_at
        return moment if isinstance(moment, int) else to_ms(moment)


class CartEvent(Event, frozen=True, kw_only=True, gc=False):
    """A record of `cart-events`: something happened to one cart."""

    cart_id: Id
    session_id: Id | None = None
    device_id: Id | None = None
    customer_id: Id | None = None
    email: Email | None = None
    consent: bool | Consent | None = None
    currency: str | None = None
    items: Annotated[tuple[Item, ...], Meta(max_length=MAX_ITEMS)] = ()
    cart_url: Url | None = None
    step: Literal["contact", "address", "shipping", "payment", "review"] | None = None
    order_id: Id | None = None
    total: Decimal | None = None
    into_cart_id: Id | None = None
    code: Code | None = None  # of the discount that was used


class DeviceEvent(Event, frozen=True, kw_only=True, gc=False):
    """A record of `device-events`: a device was seen with a person, or was not that person's."""

    device_id: Id
    subscriber_id: Id | None = None
    customer_id: Id | None = None
    email: Email | None = None
    how: Literal["login", "checkout", "subscription", "link", "push"] | None = None
    session_id: Id | None = None
    consent: bool | Consent | None = None


class SubscriberEvent(Event, frozen=True, kw_only=True, gc=False):
    """A record of `subscriber-events`: consent, profile, purchase, and what silences an address."""

    subscriber_id: Id
    customer_id: Id | None = None
    email: Email | None = None
    name: Text | None = None
    locale: Annotated[str, Meta(max_length=35)] | None = None
    consent: bool | Consent | None = None
    reason: Text | None = None
    order_id: Id | None = None
    cart_id: Id | None = None
    request_id: Id | None = None
    requested_by: Text | None = None
    forwarded_from: Id | None = None
    phone: Annotated[str, Meta(max_length=40)] | None = None
    time_zone: Annotated[str, Meta(max_length=64)] | None = None
    groups: Annotated[tuple[Id, ...], Meta(max_length=50)] | None = None  # None: not said; (): in none any more
    channels: Annotated[tuple[Channel, ...], Meta(max_length=3)] | None = None  # None: all of them
    push: PushTarget | None = None
    push_gone: Url | None = None
    message: Text | None = None  # own words of a reminder that was asked for; the subject of an order notice


class OrderEvent(Event, frozen=True, kw_only=True, gc=False):
    """A record of `order-events`: the life of an order, also of one that came by phone."""

    order_id: Id
    cart_id: Id | None = None
    customer_id: Id | None = None
    subscriber_id: Id | None = None
    email: Email | None = None
    currency: str | None = None
    total: Decimal | None = None
    text: Text | None = None
    code: Code | None = None  # of the discount that was used


# -- what the stages say -------------------------------------------------------------------------------------
class CartOutcome(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A record of `cart-outcomes`. `revision` grows with every outcome of a cart; a smaller one is a repeat."""

    outcome_id: str
    type: Literal["cart.abandoned", "cart.reactivated", "cart.withdrawn", "cart.completed", "cart.recovered"]
    shop_id: str
    cart_id: str
    revision: Annotated[int, Meta(ge=0, lt=2**62)]
    occurred_at: str
    episode: Annotated[int, Meta(ge=0, lt=2**62)] = 0
    abandonment_id: str | None = None
    abandoned_at: str | None = None
    last_activity: str | None = None
    created_at: str | None = None
    reason: str | None = None
    stage: str | None = None
    currency: str | None = None
    value: Decimal | None = None
    units: int | None = None
    items: tuple[Item, ...] = ()
    cart_url: str | None = None
    order_id: str | None = None
    device_id: str | None = None
    session_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    consent: Consent | None = None


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why we think a cart is somebody's: `how` they were seen, when, on which device, in words."""

    how: str
    words: str
    seen_at: str | None = None
    device_id: str | None = None
    event_id: str | None = None


class SubscriberCart(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A record of `subscriber-carts`: an outcome with its person. `cart.unmatched` takes one back."""

    record_id: str
    type: Literal[
        "cart.abandoned",
        "cart.reactivated",
        "cart.withdrawn",
        "cart.completed",
        "cart.recovered",
        "cart.unmatched",
    ]
    subscriber_id: str
    shop_id: str
    cart_id: str
    occurred_at: str
    evidence: Evidence
    outcome: CartOutcome
    customer_id: str | None = None
    email: str | None = None
    consent: Consent | None = None
    forwarded_from: str | None = None


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A record of `messages`: one step in the life of one plan to write to one person."""

    message_id: str
    type: Literal[
        "message.planned", "message.held", "message.sending", "message.sent", "message.suppressed", "message.recovered",
        "message.expired", "message.failed", "message.uncertain", "message.opened", "message.clicked",
        "message.bounced", "message.complained",
        "message.notice_sending", "message.notice_sent", "message.notice_suppressed", "message.notice_failed",
        "message.notice_uncertain",
    ]  # fmt: skip
    plan_id: str
    shop_id: str
    subscriber_id: str
    occurred_at: str
    channel: str = "email"
    cart_id: str | None = None
    abandonment_id: str | None = None
    request_id: str | None = None
    order_id: str | None = None  # of an order notice
    reason: str | None = None
    words: str | None = None
    to: str | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    due_at: str | None = None
    stage: str | None = None
    step: int | None = None
    template: str | None = None
    variant: str | None = None
    code: str | None = None  # of an offer
    url: str | None = None  # of a click
    machine: bool = False  # a scanner or a mail proxy, not the person


class Jump(Struct, frozen=True, kw_only=True, gc=False):
    """What fell: of `of` checkouts in so many minutes `passed` went on, where the share `usual` does.

    `signal` is a step of the checkout, `bought` or `orders`; of orders `of` and `usual` are the number that is usual.
    """

    signal: str
    minutes: int
    of: int
    passed: int
    share: float
    usual: float


class Alert(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A record of `alerts`: one step in the life of one alarm of a shop; `number` counts the shop's alarms."""

    record_id: str
    type: Literal["alert.opened", "alert.closed", "alert.mailed", "alert.mail_failed"]
    alert_id: str
    shop_id: str
    number: Annotated[int, Meta(ge=1, lt=2**31)]
    occurred_at: str
    signal: str | None = None  # what fell most
    since: str | None = None
    jumps: tuple[Jump, ...] = ()
    reason: str | None = None  # of a closing: back, no_data or disabled
    words: str | None = None
    about: str | None = None  # of a mail: the type of the record it told of
    to: str | None = None


class OfferCode(Struct, frozen=True, kw_only=True, gc=False):
    """A record of `offer-codes`, keyed by the code: one code of a pool that may be given to one person."""

    shop_id: Id = DEFAULT_SHOP
    pool: Id
    code: Annotated[str, Meta(min_length=1, max_length=100)]


class Setting(Struct, frozen=True, kw_only=True, gc=False):
    """A record of `settings`, keyed `shop_id/name`; the newest wins, a null value deletes it."""

    shop_id: Id
    name: Id
    value: Any


# -- types and their demands -----------------------------------------------------------------------------------
CART_ACTIVITY: Final = frozenset(
    {"cart.updated", "cart.item_added", "cart.item_removed", "cart.cleared", "cart.viewed", "checkout.step"}
)
CART_TYPES: Final = CART_ACTIVITY | {"cart.merged", "order.placed", "wishlist.updated"}
DEVICE_TYPES: Final = frozenset({"device.identified", "device.unlinked"})
SUBSCRIBER_TYPES: Final = frozenset(
    "subscriber." + x
    for x in (
        "consented",
        "withdrawn",
        "purchased",
        "bounced",
        "complained",
        "erased",
        "updated",
        "reminder_requested",
        "notice_requested",
        "notice_failed",
    )
)
ORDER_TYPES: Final = frozenset(
    "order." + x for x in ("placed", "paid", "shipped", "cancelled", "refunded", "message", "note", "reply")
)

E = TypeVar("E", bound=Event)


def _decoder(
    kind: type[E], types: frozenset[str], check: Callable[[E], None] | None = None
) -> Callable[[bytes | None], tuple[E, int]]:
    decoder = msgspec.json.Decoder(kind)

    def decode(value: bytes | None) -> tuple[E, int]:
        if value is None:
            raise InvalidEvent("no value: a record must be a JSON object")
        if len(value) > MAX_BYTES:
            raise InvalidEvent(f"{len(value)} bytes; at most {MAX_BYTES}")
        try:
            event = decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, ArithmeticError) as exc:
            raise InvalidEvent(str(exc)[:500]) from exc
        if event.type not in types:
            raise InvalidEvent(f"type: {event.type!r} is not known here")
        moment = event.occurred_at
        at = moment if isinstance(moment, int) else to_ms(moment)
        if not 0 <= at <= LATEST:
            raise InvalidEvent("occurred_at: outside 1970 … 9999")
        if check is not None:
            check(event)
        return event, at

    return decode


_NEEDED: Final = {
    "checkout.step": "step",
    "order.placed": "order_id",
    "cart.item_added": "items",
    "cart.item_removed": "items",
}


def _check_cart(event: CartEvent) -> None:
    check_currency(event.currency)
    check_amount(event.total, "total")
    for number, item in enumerate(event.items):
        check_amount(item.price, f"items[{number}].price")
    needed = _NEEDED.get(event.type)
    if needed is not None and not getattr(event, needed):
        raise InvalidEvent(f"{event.type} without `{needed}`")


def _check_device(event: DeviceEvent) -> None:
    if event.type == "device.identified" and not (event.subscriber_id or event.customer_id or event.email):
        raise InvalidEvent("device.identified needs one of subscriber_id, customer_id, email")


def _check_order(event: OrderEvent) -> None:
    check_currency(event.currency)
    check_amount(event.total, "total")


def _event(decode: Callable[[bytes | None], tuple[E, int]]) -> Callable[[bytes | None], E]:
    return lambda value: decode(value)[0]


_decode_cart_closely = _decoder(CartEvent, CART_TYPES, _check_cart)


class _PlainCart(CartEvent, frozen=True, kw_only=True, gc=False):
    """A cart event whose type and currency msgspec knows."""

    type: Literal[tuple(sorted(CART_TYPES))]  # type: ignore[valid-type]
    currency: Literal[tuple(sorted(CURRENCIES))] | None = None  # type: ignore[valid-type]


_decode_plain_cart: Final = msgspec.json.Decoder(_PlainCart).decode


def decode_cart(value: bytes | None) -> tuple[CartEvent, int]:
    """A record of `cart-events` and its time in epoch milliseconds.

    Every event of a shop passes here: what is plainly right is taken at once, anything else is looked at closely.
    """
    try:
        event: CartEvent = _decode_plain_cart(value)  # type: ignore[arg-type]  # None is looked at closely
    except (TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, ArithmeticError):
        return _decode_cart_closely(value)
    moment, needed = event.occurred_at, _NEEDED.get(event.type)
    at = moment if isinstance(moment, int) else to_ms(moment)
    if (
        not 0 <= at <= LATEST
        or event.total is not None
        or len(value) > MAX_BYTES  # type: ignore[arg-type]  # no None
        or (needed is not None and not getattr(event, needed))
    ):
        return _decode_cart_closely(value)
    for item in event.items:
        if (price := item.price) is not None and not is_plain(price):
            return _decode_cart_closely(value)
    return event, at


decode_cart_event = _event(decode_cart)
decode_device_event = _event(_decoder(DeviceEvent, DEVICE_TYPES, _check_device))
decode_subscriber_event = _event(_decoder(SubscriberEvent, SUBSCRIBER_TYPES))
decode_order_event = _event(_decoder(OrderEvent, ORDER_TYPES, _check_order))
decode_outcome: Final = msgspec.json.Decoder(CartOutcome).decode
decode_subscriber_cart: Final = msgspec.json.Decoder(SubscriberCart).decode
decode_message: Final = msgspec.json.Decoder(Message).decode
decode_alert: Final = msgspec.json.Decoder(Alert).decode
decode_offer_code: Final = msgspec.json.Decoder(OfferCode).decode
decode_setting: Final = msgspec.json.Decoder(Setting).decode
encode: Final = msgspec.json.Encoder().encode


def derived_id(*parts: object) -> str:
    """An id that is the same whenever it is made from the same parts: 128 bits of SHA-256 as hex.

    One part that has the others joined by U+001F is the same id, sooner.
    """
    return hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def normal_email(address: str) -> str:
    """The address as we compare it: trimmed, lower case."""
    return address.strip().lower()


def person_id(email: str) -> str:
    """The subscriber_id of whoever reads this mailbox; all aliases of a person end there."""
    return "p-" + derived_id("person", normal_email(email))[:24]


def subscriber_id_for(*, email: str | None, customer_id: str | None, subscriber_id: str | None = None) -> str | None:
    """The best id for a person by what is known: the mailbox, else the shop's own ids, else None."""
    if email:
        return person_id(email)
    return subscriber_id or customer_id


def consent_of(value: bool | Consent | None) -> Consent | None:
    """`true` and `false` are short for a consent without basis or text."""
    return Consent(granted=value) if isinstance(value, bool) else value
