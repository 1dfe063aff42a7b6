"""A cart as it is now, for whoever asks: what is in it, or why nothing is. It names no person."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from cartwake.model import Item
from cartwake.money import total

#: Why a cart is empty: it was bought, went into another one, or everything was taken out.
Over = Literal["bought", "merged", "emptied"]


@dataclass(frozen=True, slots=True)
class CurrentCart:
    """What is in a cart; `over` is set when it is empty. `changed_at` is epoch milliseconds."""

    shop_id: str
    cart_id: str
    over: Over | None = None
    items: tuple[Item, ...] = ()
    currency: str | None = None
    stage: str = "cart"
    cart_url: str | None = None
    changed_at: int = 0

    @property
    def value(self) -> Decimal:
        """Sum of quantity times price."""
        return total(self.items)

    @property
    def units(self) -> int:
        """Sum of quantities."""
        return sum(item.quantity or 1 for item in self.items)


class CartReader(Protocol):
    """Reads carts from any thread; `cartwake.current_cart.CurrentCarts` is the real one."""

    def read(self, shop_id: str, cart_id: str) -> CurrentCart | None:
        """The cart now, or None when nothing is known of it; raises SinkUnavailable or Rejected."""
        ...
