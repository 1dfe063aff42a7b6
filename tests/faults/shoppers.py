"""Good carts that are filled and bought, so that what became of each event can be read from the outcomes."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from cartwake.clock import SystemClock
from cartwake.model import encode

now_ms = SystemClock().now_ms


class Shoppers:
    """Good carts, each with some items and an order, and what must be said about them."""

    def __init__(self, prefix: str, carts: int) -> None:
        self._prefix, self._carts = prefix, carts

    def fill(self) -> Iterator[tuple[str, bytes]]:
        """Key and value of what fills the carts: one item in each cart, then the next."""
        for n in range(8):
            for cart in range(self._carts):
                if n < self._units(cart):
                    items = [{"sku": f"s{n}", "quantity": 1, "price": "1.50"}]
                    yield self._event(cart, n, "cart.item_added", items=items)

    def buy(self) -> Iterator[tuple[str, bytes]]:
        """And of their orders."""
        for cart in range(self._carts):
            yield self._event(cart, 99, "order.placed", order_id=f"o-{self._prefix}-{cart}")

    def compare(self, outcomes: list[Any]) -> tuple[int, int, int]:
        """Units bought that were lost, units too many, and carts that were completed."""
        found: Counter[str] = Counter()
        completed: Counter[str] = Counter()
        told: set[str] = set()
        for record in outcomes:
            if record.value is None:
                continue
            said = msgspec.json.decode(record.value)
            if said["cart_id"].startswith(self._prefix) and said["outcome_id"] not in told:
                told.add(said["outcome_id"])  # the same outcome may be written again, a second one may not
                if said["type"] == "cart.completed":
                    found[said["cart_id"]] += said["units"]
                    completed[said["cart_id"]] += 1
        expected = Counter({f"{self._prefix}-{cart}": self._units(cart) for cart in range(self._carts)})
        return (expected - found).total(), (found - expected).total(), completed.total()

    def _units(self, cart: int) -> int:
        return 3 + cart % 6

    def _event(self, cart: int, number: int, kind: str, **fields: Any) -> tuple[str, bytes]:
        cart_id = f"{self._prefix}-{cart}"
        event = {"event_id": f"{cart_id}-{number}", "type": kind, "shop_id": "main", "cart_id": cart_id}
        return cart_id, encode(event | {"occurred_at": now_ms(), "currency": "EUR"} | fields)
