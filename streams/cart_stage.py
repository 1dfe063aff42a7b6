"""Stage 1: notice the carts nobody touched.

in   cart-events, cart_id
out  cart-outcomes, device_id else cart_id
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from cartwake import topics
from cartwake.errors import InvalidEvent
from cartwake.model import CartEvent, CartOutcome, decode_cart, encode
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
        context, table, take = self._context, self._context.table, self._take
        saw, count = context.saw, context.count
        timestamp = latest = progress = -1
        for record in records:
            if record.timestamp != timestamp:  # one of a whole batch, where the broker's clock says it
                timestamp = record.timestamp
                progress = context.arrived(timestamp)
                if progress >= table.next_due:
                    self.on_progress(progress)
            try:
                event, at = decode_cart(record.value)
            except InvalidEvent as exc:
                context.dead_letter(record, str(exc))
                continue
            if at > timestamp and (clamped := clamp(at, timestamp)) != at:
                at = clamped
                count("clamped")
            take(record, event, at)
            if at > latest:
                latest = at
                progress = saw(at)
            if progress >= table.next_due:  # a late event's deadline may have passed already
                self.on_progress(progress)
        count("events", len(records))

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

    def _take(self, record: Record, event: CartEvent, at: int) -> None:
        if event.type == "wishlist.updated":
            return
        shop_id, cart_id, offset = event.shop_id, event.cart_id, record.offset
        table = self._context.table
        key = _pack((shop_id, cart_id))
        cart = table.get(key)
        if cart is None:
            if self._context.misplaced(record, cart_id):
                return
            cart = Cart(shop_id, cart_id=cart_id)
        elif offset <= cart.offset:
            return  # folded before the last crash
        held, idle = cart.held, self._shops.idle_ms(shop_id)
        outcomes = fold(cart, event, at=at, offset=offset, idle=idle, size=len(record.value or b""))
        if outcomes is None:
            self._context.count("duplicates")
            return
        for outcome in outcomes:
            self._emit(outcome)
        if cart.held and not held:
            self._context.count("carts")
        table.put(key, cart, wake_at(cart, idle))

    def _wake(self, cart: Timer) -> int:
        return wake_at(cart, self._shops.idle_ms(cart.shop_id))

    def _emit(self, outcome: CartOutcome) -> None:
        self._context.emit(topics.CART_OUTCOMES.name, outcome.device_id or outcome.cart_id, encode(outcome))
        self._context.count(outcome.type)
