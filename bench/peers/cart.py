"""The rules of a cart over plain dicts, as a user of the Python peers would write them. No state of its own."""

from datetime import UTC, datetime
from typing import Any

IDLE_MS = 2 * 3600 * 1000
SEEN = 64


def millis(moment: str) -> int:
    """RFC 3339 as epoch milliseconds."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def rfc3339(at: int) -> str:
    """Epoch milliseconds as RFC 3339."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new(cart_id: str) -> dict[str, Any]:
    """A cart nothing has happened to; JSON can say it."""
    return {"id": cart_id, "lines": {}, "seen": [], "last": 0, "left": False, "owed": False, "abandoned_at": None}


def waits(cart: dict[str, Any]) -> bool:
    """Whether it would become abandoned if nothing happened any more."""
    return bool(cart["lines"]) and not cart["left"]


def fire(cart: dict[str, Any]) -> dict[str, Any]:
    """The abandonment of a cart that waits and whose deadline has come."""
    cart["left"] = cart["owed"] = True
    at = cart["last"] + IDLE_MS
    cart["abandoned_at"] = rfc3339(at)
    return _outcome(cart, "cart.abandoned", at)


def fold(cart: dict[str, Any], event: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Take an event in: what follows from it, or None when the cart has seen it."""
    if event["event_id"] in cart["seen"]:
        return None
    cart["seen"] = [*cart["seen"][1 - SEEN :], event["event_id"]]
    at = millis(event["occurred_at"])
    out = [fire(cart)] if waits(cart) and at >= cart["last"] + IDLE_MS else []
    kind = event["type"]
    if kind == "order.placed":
        if cart["lines"]:
            out.append(_outcome(cart, "cart.completed", at))
            if cart["owed"]:
                out.append(_outcome(cart, "cart.recovered", at))
            cart["lines"], cart["left"], cart["owed"] = {}, False, False
        return out
    _change(cart, kind, event.get("items") or ())
    cart["last"] = max(cart["last"], at)
    if cart["left"]:
        cart["left"] = False
        out.append(_outcome(cart, "cart.reactivated", at))
    return out


def _change(cart: dict[str, Any], kind: str, items: Any) -> None:
    if kind in {"cart.updated", "cart.cleared"}:
        cart["lines"] = {}
    lines = cart["lines"]
    for item in items:
        line = lines.get(item["sku"])
        if kind == "cart.item_removed":
            if line is not None:
                line["quantity"] -= item.get("quantity") or line["quantity"]
                if line["quantity"] <= 0:
                    del lines[item["sku"]]
        elif line is None:
            lines[item["sku"]] = {**item, "quantity": item.get("quantity") or 1}
        else:
            line.update(item, quantity=line["quantity"] + (item.get("quantity") or 1))


def _outcome(cart: dict[str, Any], kind: str, at: int) -> dict[str, Any]:
    cents = sum(line["quantity"] * round(float(line["price"]) * 100) for line in cart["lines"].values())
    return {
        "type": kind,
        "cart_id": cart["id"],
        "occurred_at": rfc3339(at),
        "abandoned_at": cart["abandoned_at"],
        "value": f"{cents // 100}.{cents % 100:02}",
        "items": list(cart["lines"].values()),
    }
