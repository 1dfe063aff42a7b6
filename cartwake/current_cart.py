"""A cart as it is now: the events that ClickHouse has of it, folded by the rules of stage 1.

The wiring between two packages that do not know each other: `sinks.current` reads, `streams.carts` decides.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from cartwake.cart import CurrentCart, Over
from cartwake.errors import ConfigurationError, InvalidEvent, Rejected, SinkUnavailable
from cartwake.model import CartEvent, decode_cart
from cartwake.settings import Settings
from cartwake.shops import Shops
from sinks.clickhouse import ClickHouse
from sinks.current import MOST_EVENTS, Kept, events_of
from streams.carts import Cart, clamp, fold

#: Seconds to leave ClickHouse alone after it did not answer; a click must not wait for it again and again.
_PAUSE: Final = 5.0
_END: Final[dict[str, Over]] = {"order.placed": "bought", "cart.merged": "merged"}


def current(shop_id: str, cart_id: str, events: Iterable[Kept], *, idle: int) -> CurrentCart | None:
    """The cart after these events, in the order of the topic; None when none of them can be read."""
    cart, any_read = Cart(shop_id, cart_id=cart_id), False
    over: Over | None = None
    for offset, kept in enumerate(events):
        try:
            event, at = decode_cart(kept.raw)
        except InvalidEvent:  # it lies in dead-letters, and stage 1 has not taken it either
            continue
        if event.type == "wishlist.updated" or (event.shop_id, event.cart_id) != (shop_id, cart_id):
            continue
        any_read, had = True, bool(cart.lines)
        at = clamp(at, kept.received_at)
        if fold(cart, event, at=at, offset=offset, idle=idle, size=len(kept.raw)) is not None:
            over = _over(cart, event, over, had=had)
    if not any_read:
        return None
    return CurrentCart(
        shop_id=shop_id,
        cart_id=cart_id,
        over=over,
        items=tuple(cart.lines.values()),
        currency=cart.currency,
        stage=cart.stage or "cart",
        cart_url=cart.cart_url,
        changed_at=max(cart.changed_at, 0),
    )


def _over(cart: Cart, event: CartEvent, before: Over | None, *, had: bool) -> Over | None:
    """Why the cart is empty after this event."""
    if cart.lines:
        return None
    if event.type in _END and (had or event.type == "cart.merged"):
        return _END[event.type]
    return "emptied" if had or before is None else before


class CurrentCarts:
    """Reads carts of ClickHouse, opened when first asked; from any thread."""

    def __init__(
        self,
        settings: Settings,
        shops: Shops,
        *,
        open_: Callable[[], ClickHouse] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shops = shops
        self._now = now
        self._open = open_ or (
            lambda: ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database, timeout_s=5.0)
        )
        self._client: ClickHouse | None = None
        self._lock = threading.Lock()
        self._away: tuple[float, str] = (0.0, "")

    def read(self, shop_id: str, cart_id: str) -> CurrentCart | None:
        """The cart now, or None when no event of it is known.

        Raises SinkUnavailable, for five seconds without asking when ClickHouse has just not answered, and Rejected for
        a cart with more events than anybody's.
        """
        until, words = self._away
        if self._now() < until:
            raise SinkUnavailable(words)
        try:
            events = events_of(self._connected(), shop_id, cart_id)
        except (SinkUnavailable, ConfigurationError) as exc:
            self._away = (self._now() + _PAUSE, str(exc))
            raise SinkUnavailable(str(exc)) from exc
        if len(events) > MOST_EVENTS:
            raise Rejected(f"cart {cart_id} of shop {shop_id} has more than {MOST_EVENTS} events")
        return current(shop_id, cart_id, events, idle=self._shops.idle_ms(shop_id))

    def _connected(self) -> ClickHouse:
        with self._lock:
            if self._client is None:
                self._client = self._open()
            return self._client

    def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            self._client.close()
