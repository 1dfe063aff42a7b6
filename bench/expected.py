"""What must come out: a second, plain reading of the rules, which shares no code with what it checks."""

import json
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

IDLE_MS: Final = 2 * 3600 * 1000
ABANDONED, REACTIVATED = "cart.abandoned", "cart.reactivated"
COMPLETED, RECOVERED = "cart.completed", "cart.recovered"
ALL_KINDS: Final = frozenset({ABANDONED, REACTIVATED, COMPLETED, RECOVERED})


class Outcome(NamedTuple):
    """One outcome as it is compared: what, which cart, when (epoch ms), worth what (cents)."""

    kind: str
    cart_id: str
    at: int
    cents: int


def millis(moment: str) -> int:
    """RFC 3339 as epoch milliseconds."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def outcome_of(record: dict[str, Any]) -> Outcome:
    """A record of an output topic; an abandonment is known by its `abandoned_at`, the rest by `occurred_at`."""
    kind = record["type"]
    moment = record["abandoned_at"] if kind == ABANDONED else record["occurred_at"]
    cents = 0 if kind == REACTIVATED else round(Decimal(str(record["value"])) * 100)
    return Outcome(kind, record["cart_id"], millis(moment), cents)


class _Cart:
    """Everything about one cart, told event by event."""

    def __init__(self, cart_id: str, out: Counter[Outcome]) -> None:
        self.cart_id, self.out = cart_id, out
        self.lines: dict[str, tuple[int, int]] = {}  # sku: quantity, price in cents
        self.seen: deque[str] = deque(maxlen=64)
        self.last = 0
        self.left = False  # abandoned, and not touched since
        self.owed = False  # abandoned, and not bought since

    def say(self, kind: str, at: int) -> None:
        cents = 0 if kind == REACTIVATED else sum(quantity * price for quantity, price in self.lines.values())
        self.out[Outcome(kind, self.cart_id, at, cents)] += 1

    def time_is(self, now: int) -> None:
        if self.lines and not self.left and now >= self.last + IDLE_MS:
            self.left = self.owed = True
            self.say(ABANDONED, self.last + IDLE_MS)

    def hear(self, event: dict[str, Any]) -> None:
        if event["event_id"] in self.seen:
            return
        self.seen.append(event["event_id"])
        at = millis(event["occurred_at"])
        self.time_is(at)
        if event["type"] == "order.placed":
            if self.lines:
                self.say(COMPLETED, at)
                if self.owed:
                    self.say(RECOVERED, at)
                self.lines, self.left, self.owed = {}, False, False
            return
        self.change(event["type"], event.get("items", ()))
        self.last = max(self.last, at)
        if self.left:
            self.left = False
            self.say(REACTIVATED, at)

    def change(self, kind: str, items: Iterable[dict[str, Any]]) -> None:
        if kind in {"cart.updated", "cart.cleared"}:
            self.lines = {}
        for item in items:
            quantity, price = self.lines.get(item["sku"], (0, 0))
            if kind == "cart.item_removed":
                quantity = quantity - item["quantity"] if "quantity" in item else 0
            else:
                quantity, price = quantity + item.get("quantity", 1), round(Decimal(item["price"]) * 100)
            if quantity > 0:
                self.lines[item["sku"]] = quantity, price
            else:
                self.lines.pop(item["sku"], None)


def expected(values: Iterable[bytes]) -> Counter[Outcome]:
    """Every outcome of the records, which end later than every deadline."""
    out: Counter[Outcome] = Counter()
    carts: dict[str, _Cart] = {}
    for value in values:
        event = json.loads(value)
        cart = carts.get(event["cart_id"])
        if cart is None:
            cart = carts[event["cart_id"]] = _Cart(event["cart_id"], out)
        cart.hear(event)
    for cart in carts.values():
        cart.time_is(cart.last + IDLE_MS)
    return out
