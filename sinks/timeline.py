"""What happened to a cart, in sentences for staff: records in, words out, nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

_SHOWN: Final = 4  # products named in one sentence
_PLAIN: Final = {
    "cart.cleared": "Emptied the cart",
    "cart.viewed": "Looked at the cart",
    "cart.abandoned": "Left the cart",
    "cart.reactivated": "Came back to the cart",
    "cart.completed": "The cart is completed",
    "device.unlinked": "This device is not that person's after all",
    "cart.unmatched": "The cart is not this person's after all",
}
_WITHDRAWN: Final = {
    "late_activity": "The cart had not been left: something the shopper did arrived late",
    "late_order": "The cart had not been left: its order arrived late",
}
_MESSAGES: Final = {
    "message.planned": "Reminder planned",
    "message.held": "Reminder waits",
    "message.sending": "Reminder on its way",
    "message.sent": "Reminder sent",
    "message.suppressed": "No reminder",
    "message.recovered": "No reminder needed: bought before it was due",
    "message.expired": "Reminder not sent in time",
    "message.failed": "Reminder refused by the mail server",
    "message.uncertain": "Reminder perhaps sent",
    "message.opened": "Reminder opened",
    "message.clicked": "Link in the reminder clicked",
    "message.bounced": "Reminder came back",
    "message.complained": "Reminder reported as spam",
}


def words(source: str, kind: str, raw: str) -> str:
    """One sentence about the record `raw` of the topic `source`; its type when nothing better is known."""
    record = record_of(raw)
    if source == "cart-events":
        return _cart_event(kind, record)
    if source == "cart-outcomes":
        return _outcome(kind, record)
    if source == "subscriber-carts":
        return _match(kind, record)
    if source == "messages":
        said = _MESSAGES.get(kind, kind)
        return _with(f"{said} by a machine" if record.get("machine") is True else said, _text(record, "words"))
    if source == "device-events" and kind == "device.identified":
        who = _text(record, "email") or _text(record, "customer_id") or _text(record, "subscriber_id")
        return _with(f"The device was seen with {who or 'somebody'}", _text(record, "how"))
    return _PLAIN.get(kind, kind)


def products(items: object) -> str:
    """`2 × Blue shirt, Hat and 3 more` of the items of a record, whatever they are."""
    lines = [x for x in items if isinstance(x, Mapping)] if isinstance(items, Sequence) else []
    named = [_product(x) for x in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        return f"{', '.join(named)} and {len(lines) - _SHOWN} more"
    return ", ".join(named)


def _product(line: Mapping[str, Any]) -> str:
    name = _text(line, "name") or _text(line, "sku") or "?"
    quantity = line.get("quantity")
    return f"{quantity} × {name}" if isinstance(quantity, int) and quantity != 1 else name


def _cart_event(kind: str, record: Mapping[str, Any]) -> str:  # noqa: PLR0911 - one sentence for each type
    things = products(record.get("items"))
    match kind:
        case "cart.item_added":
            return f"Added {things or 'something'}"
        case "cart.item_removed":
            return f"Took out {things or 'something'}"
        case "cart.updated":
            return f"The cart is now {things}" if things else "The cart is now empty"
        case "wishlist.updated":
            return f"Saved for later: {things or 'nothing'}"
        case "cart.merged":
            return f"The cart went into {_text(record, 'into_cart_id') or 'another one'}"
        case "checkout.step":
            said = _with(f"Checkout: {_text(record, 'step') or 'a step'}", _text(record, "email"))
            return f"{said}, {things}" if things else said
        case "order.placed":
            total = f"{_text(record, 'total')} {_text(record, 'currency')}".strip()
            return _with(f"Bought, order {_text(record, 'order_id') or '?'}", total)
    return _PLAIN.get(kind, kind)


def _outcome(kind: str, record: Mapping[str, Any]) -> str:
    if kind == "cart.withdrawn":
        return _WITHDRAWN.get(_text(record, "reason"), "The cart had not been left")
    if kind == "cart.recovered":
        return _with("Bought after it had been left", _text(record, "order_id"))
    return _PLAIN.get(kind, kind)


def _match(kind: str, record: Mapping[str, Any]) -> str:
    if kind == "cart.unmatched":
        return _PLAIN[kind]
    evidence = record.get("evidence")
    said = _text(evidence, "words") if isinstance(evidence, Mapping) else ""
    who = _text(record, "email") or _text(record, "subscriber_id")
    return _with(f"Matched to {who or 'somebody'}", said)


def record_of(raw: str) -> Mapping[str, Any]:
    """The record, or nothing when it is none that can be read."""
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _with(said: str, more: str) -> str:
    return f"{said} ({more})" if more else said
