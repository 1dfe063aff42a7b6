"""The rules of one cart (design section 3): pure, without clock or I/O.

`fold` takes one event in and says what follows from it, `fire` makes the abandonment of a deadline that has come.
Both change the `Cart` they are given, which its caller owns. Times are epoch milliseconds.
"""

from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Struct
from xxhash import xxh3_64_digest

from cartwake.clock import DAY_MS, rfc3339
from cartwake.model import (
    CART_ACTIVITY,
    MAX_BYTES,
    CartEvent,
    CartOutcome,
    Consent,
    Item,
    consent_of,
    derived_id,
    encode,
)
from cartwake.money import total

SEEN: Final = 64
_SEEN_BYTES: Final = SEEN * 8
AHEAD_MS: Final = 5 * 60 * 1000
KEEP_MS: Final = 90 * DAY_MS
KEEP_ENDED_MS: Final = 7 * DAY_MS
#: A state and an outcome are records too: a cart holds no more lines than fit, in bytes of JSON.
MOST_BYTES: Final = 2 * MAX_BYTES
#: Outcomes that can follow from one record of a cart; revisions leave room for them.
_PER_RECORD: Final = 16

Kind = Literal["cart.abandoned", "cart.reactivated", "cart.withdrawn", "cart.completed", "cart.recovered"]


class Abandonment(Struct, array_like=True, gc=False):
    """The latest abandonment that is neither withdrawn nor completed."""

    id: str
    at: int
    basis: int  # last_activity when it fired
    open: bool = True  # until the cart is touched again


#: What a cart waits for: its deadline, its end of life, or the same sooner because it was bought or merged.
WAITING, KEPT, ENDED = 0, 1, 2


# None of these can be part of a cycle, so the collector need not look at them (`gc`).
class Timer(Struct, array_like=True, gc=False):
    """The first fields of a cart: all that says when to look at it."""

    shop_id: str
    phase: int = KEPT
    last_activity: int = -1
    changed_at: int = -1  # newest change of contents applied


class Cart(Timer, array_like=True, gc=False):
    """What is known of one cart; `offset` is the record it was last folded with."""

    cart_id: str = ""
    offset: int = -1
    outcomes: int = 0  # since that record
    lines: dict[str, Item] = {}
    created_at: int = -1
    replaced_at: int = -1  # newest cart.updated, cart.cleared or order applied
    seen: bytes = b""  # the last event ids, eight bytes of hash each
    episode: int = 0
    abandonment: Abandonment | None = None
    stage: str | None = None
    stage_at: int = -1
    ended: bool = False  # completed or merged
    held: bool = False  # an item was in it once
    currency: str | None = None
    cart_url: str | None = None
    device_id: str | None = None
    session_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    consent: Consent | None = None
    weight: int = 0  # bytes of the events that filled the cart: its lines weigh at most that


def clamp(at: int, arrival: int) -> int:
    """`at`, unless it lies more than five minutes ahead of the arrival: then the arrival (rule 9)."""
    return arrival if at > arrival + AHEAD_MS else at


def waits(cart: Timer) -> bool:
    """Whether the cart would become abandoned if nothing happened any more."""
    return cart.phase == WAITING


def wake_at(cart: Timer, idle: int) -> int:
    """When to look at the cart again: its deadline, else the time to forget it."""
    last = cart.last_activity
    if cart.phase == WAITING:
        return last + idle
    return max(last, cart.changed_at) + (KEEP_ENDED_MS if cart.phase == ENDED else KEEP_MS)


def fire(cart: Cart, idle: int) -> CartOutcome:
    """The abandonment of a cart whose deadline has come; the caller has seen that it waits."""
    deadline = cart.last_activity + idle
    cart.episode += 1
    # the deadline is part of the id: a cart forgotten after 90 days may begin again at its first episode
    abandonment_id = derived_id(f"abandonment\x1f{cart.shop_id}\x1f{cart.cart_id}\x1f{cart.episode}\x1f{deadline}")
    cart.abandonment = Abandonment(abandonment_id, deadline, cart.last_activity)
    cart.phase = KEPT
    return _outcome(cart, "cart.abandoned", deadline)


def fold(cart: Cart, event: CartEvent, *, at: int, offset: int, idle: int, size: int = 0) -> list[CartOutcome] | None:
    """Take one event in; what follows from it, in order, or None when the cart has already seen it.

    `at` is the event's time after `clamp`, `offset` its place in the partition, `size` its length in bytes.
    """
    mark = xxh3_64_digest(event.event_id.encode())
    seen = cart.seen
    if seen.find(mark) >= 0:  # `in` would first try it as a number, and raise inside
        return None
    outcomes: list[CartOutcome] = []
    if cart.phase == WAITING and at >= cart.last_activity + idle:
        outcomes.append(fire(cart, idle))
    cart.seen = (seen if len(seen) < _SEEN_BYTES else seen[len(mark) :]) + mark
    cart.offset = offset
    # what is so already is not set again: that costs more than to look
    if cart.outcomes:
        cart.outcomes = 0
    if cart.created_at < 0:
        cart.created_at = at
    if (
        event.session_id != cart.session_id
        or event.device_id != cart.device_id
        or event.cart_url != cart.cart_url
        or event.customer_id != cart.customer_id
        or event.email != cart.email
        or event.consent is not None
    ):
        _note_person(cart, event)
    if event.type in CART_ACTIVITY:
        _act(cart, event, at, size, outcomes)
    elif event.type == "order.placed":
        _order(cart, event, at, outcomes)
    elif event.type == "cart.merged":
        _merge(cart, at, outcomes)
    if cart.lines:
        left = cart.abandonment
        phase = KEPT if left is not None and left.open else WAITING
        if not cart.held:
            cart.held = True
    else:
        phase = ENDED if cart.ended else KEPT
    if phase != cart.phase:
        cart.phase = phase
    return outcomes


def _act(cart: Cart, event: CartEvent, at: int, size: int, outcomes: list[CartOutcome]) -> None:
    kind = event.type
    change = _CHANGES.get(kind)
    if change is not None:
        cart.weight += size
        fits = at >= cart.replaced_at and (cart.weight <= MOST_BYTES or _fits(cart, event))
        if fits and change(cart, event, at) and at > cart.changed_at:
            cart.changed_at = at
    elif kind == "checkout.step" and at >= cart.stage_at:
        cart.stage, cart.stage_at = event.step, at
    if at > cart.last_activity:
        cart.last_activity = at
    left = cart.abandonment
    if left is None:
        return
    if at >= left.at:
        if left.open:
            left.open = False
            outcomes.append(_outcome(cart, "cart.reactivated", at))
    elif at > left.basis or (left.open and not cart.lines):
        _withdraw(cart, at, "late_activity", outcomes)


def _order(cart: Cart, event: CartEvent, at: int, outcomes: list[CartOutcome]) -> None:
    left = cart.abandonment
    if cart.lines:
        if left is not None and at < left.at:
            _withdraw(cart, at, "late_order", outcomes)
            left = None
        outcomes.append(_outcome(cart, "cart.completed", at, order_id=event.order_id))
        if left is not None:
            outcomes.append(_outcome(cart, "cart.recovered", at, order_id=event.order_id))
        cart.lines, cart.abandonment, cart.stage, cart.stage_at = {}, None, None, at
        cart.ended = True
    # an order is also what `cart.cleared` is: what is older must not fill a bought cart again
    cart.replaced_at = max(cart.replaced_at, at)
    cart.changed_at = max(cart.changed_at, at)


def _merge(cart: Cart, at: int, outcomes: list[CartOutcome]) -> None:
    left = cart.abandonment
    if left is not None and left.open:
        if at < left.at:
            _withdraw(cart, at, "late_activity", outcomes)
        else:
            left.open = False
            outcomes.append(_outcome(cart, "cart.reactivated", at, reason="merged"))
    cart.lines, cart.ended = {}, True
    cart.replaced_at = max(cart.replaced_at, at)
    cart.changed_at = max(cart.changed_at, at)


def _withdraw(cart: Cart, at: int, reason: str, outcomes: list[CartOutcome]) -> None:
    outcomes.append(_outcome(cart, "cart.withdrawn", at, reason=reason))
    cart.abandonment = None


def _fits(cart: Cart, event: CartEvent) -> bool:
    """Whether a cart that looks heavy may grow by this; what is too much changes nothing but is still activity."""
    cart.weight = len(encode(cart.lines)) + len(encode(event.items))
    return cart.weight <= MOST_BYTES or event.type != "cart.item_added"


# -- changes of contents: each says whether it changed anything ------------------------------------------------
def _add(cart: Cart, event: CartEvent, _at: int) -> bool:
    lines = cart.lines
    for item in event.items:
        old = lines.get(item.sku)
        if old is None:
            lines[item.sku] = item if item.quantity else msgspec.structs.replace(item, quantity=1)
            continue
        lines[item.sku] = Item(
            sku=item.sku,
            name=item.name or old.name,
            quantity=(old.quantity or 0) + (item.quantity or 1),
            price=old.price if item.price is None else item.price,
            url=item.url or old.url,
            image=item.image or old.image,
            category=item.category or old.category,
        )
    if event.currency is not None and event.currency != cart.currency:
        cart.currency = event.currency
    return True


def _remove(cart: Cart, event: CartEvent, _at: int) -> bool:
    changed = False
    for item in event.items:
        old = cart.lines.get(item.sku)
        if old is None:
            continue
        changed = True
        left = (old.quantity or 0) - item.quantity if item.quantity else 0
        if left > 0:
            cart.lines[item.sku] = msgspec.structs.replace(old, quantity=left)
        else:
            del cart.lines[item.sku]
    return changed


def _replace(cart: Cart, event: CartEvent, at: int) -> bool:
    if at < cart.changed_at:
        return False
    cart.lines = {}
    cart.replaced_at = at
    return _add(cart, event, at)


def _clear(cart: Cart, _event: CartEvent, at: int) -> bool:
    cart.lines, cart.replaced_at = {}, at
    return True


_CHANGES: Final[dict[str, Callable[[Cart, CartEvent, int], bool]]] = {
    "cart.item_added": _add,
    "cart.item_removed": _remove,
    "cart.updated": _replace,
    "cart.cleared": _clear,
}


def _note_person(cart: Cart, event: CartEvent) -> None:
    if event.device_id is not None:
        cart.device_id = event.device_id
    if event.session_id is not None:
        cart.session_id = event.session_id
    if event.customer_id is not None:
        cart.customer_id = event.customer_id
    if event.email:
        cart.email = event.email
    if event.cart_url:
        cart.cart_url = event.cart_url
    if event.consent is not None:
        cart.consent = consent_of(event.consent)


def _outcome(cart: Cart, kind: Kind, at: int, *, reason: str | None = None, order_id: str | None = None) -> CartOutcome:
    left = cart.abandonment
    cart.outcomes += 1
    revision = (cart.offset + 1) * _PER_RECORD + cart.outcomes
    items = tuple(cart.lines.values())
    units = 0
    for item in items:
        units += item.quantity or 0
    occurred_at = rfc3339(at)
    return CartOutcome(
        outcome_id=derived_id(f"outcome\x1f{cart.shop_id}\x1f{cart.cart_id}\x1f{revision}\x1f{kind}"),
        type=kind,
        shop_id=cart.shop_id,
        cart_id=cart.cart_id,
        revision=revision,
        occurred_at=occurred_at,
        episode=cart.episode,
        abandonment_id=left.id if left else None,
        abandoned_at=(occurred_at if left.at == at else rfc3339(left.at)) if left else None,
        last_activity=rfc3339(cart.last_activity) if cart.last_activity >= 0 else None,
        created_at=rfc3339(cart.created_at),
        reason=reason,
        stage=cart.stage or "cart",
        currency=cart.currency,
        value=total(items),
        units=units,
        items=items,
        cart_url=cart.cart_url,
        order_id=order_id,
        device_id=cart.device_id,
        session_id=cart.session_id,
        customer_id=cart.customer_id,
        email=cart.email,
        consent=cart.consent,
    )
