"""Stage 1: notice the carts nobody touched.

in   cart-events, cart_id
out  cart-outcomes, device_id else cart_id
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from cartwake import topics
from cartwake.errors import InvalidEvent
from cartwake.model import CartOutcome, decode_cart_event, encode
from cartwake.shops import Shops
from cartwake.stage import Context, Record
from streams.carts import Cart, Timer, clamp, fire, fold, waits, wake_at

Key = bytes
_pack = msgspec.msgpack.Encoder().encode


def key_of(shop_id: str, cart_id: str) -> Key:
    """The key of a cart's state."""
    return _pack((shop_id, cart_id))


class CartStage:
    """Folds cart events and fires deadlines on one partition."""

    def __init__(self, context: Context[Key, Cart], shops: Shops) -> None:
        self._context = context
        self._shops = shops
        self._rules_version = shops.version
        context.table.wake_by(self._wake, Timer)

    def on_restored(self) -> None:
        """The table has set its timers."""

    def on_batch(self, records: Sequence[Record], _progress: int) -> None:
        """Take records in the order of the partition; deadlines that came before a record fire before it."""
        context, table = self._context, self._context.table
        arrived, saw, take = context.arrived, context.saw, self._take
        taken = 0
        for record in records:
            if (progress := arrived(record)) >= table.next_due:
                self.on_progress(progress)
            try:
                at = take(record)
            except InvalidEvent as exc:
                context.dead_letter(record, str(exc))
                continue
            taken += 1
            if (progress := saw(at)) >= table.next_due:
                self.on_progress(progress)
        context.count("events", taken)

    def on_progress(self, progress: int) -> None:
        """Fire what is due, and forget what is old."""
        table = self._context.table
        if self._rules_version != self._shops.version:
            self._rules_version = self._shops.version
            table.reindex()  # an idle time may have changed
        for key in table.due(progress):
            cart = table.get(key)
            if cart is None:
                continue
            if waits(cart):
                self._emit(fire(cart, self._shops.idle_ms(cart.shop_id)))
                table.put(key, cart)
            else:
                table.delete(key)
                self._context.count("forgotten")

    async def perform(self, effect: Any) -> Any:
        """This stage has no effects."""
        raise NotImplementedError(effect)

    def on_result(self, effect: Any, result: Any) -> None:
        """This stage has no effects."""

    def _take(self, record: Record) -> int:
        context, value = self._context, record.value
        event = decode_cart_event(value)
        at = event.at
        if (clamped := clamp(at, record.timestamp)) != at:
            at = clamped
            context.count("clamped")
        if event.type == "wishlist.updated":
            return at
        key = _pack((event.shop_id, event.cart_id))
        table = context.table
        cart = table.get(key)
        if cart is None:
            if context.misplaced(record, event.cart_id):
                return at
            cart = Cart(event.shop_id, cart_id=event.cart_id)
        elif record.offset <= cart.offset:
            return at  # folded before the last crash
        held = cart.held
        idle = self._shops.idle_ms(event.shop_id)
        outcomes = fold(cart, event, at=at, offset=record.offset, idle=idle, size=len(value or b""))
        if outcomes is None:
            context.count("duplicates")
            return at
        for outcome in outcomes:
            self._emit(outcome)
        if cart.held and not held:
            context.count("carts")
        table.put(key, cart)
        return at

    def _wake(self, cart: Timer) -> int:
        return wake_at(cart, self._shops.idle_ms(cart.shop_id))

    def _emit(self, outcome: CartOutcome) -> None:
        self._context.emit(topics.CART_OUTCOMES.name, outcome.device_id or outcome.cart_id, encode(outcome))
        self._context.count(outcome.type)
