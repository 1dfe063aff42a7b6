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
        context, table, idle_ms = self._context, self._context.table, self._shops.idle_ms
        saw, get, put, count = context.saw, table.get, table.put, context.count
        timestamp = latest = progress = -1
        due = table.next_due
        for record in records:
            if record.timestamp != timestamp:  # one of a whole batch, where the broker's clock says it
                timestamp = record.timestamp
                progress = context.arrived(timestamp)
                if progress >= due:
                    due = self._reach(progress)
            value = record.value
            try:
                event, at = decode_cart(value)
            except InvalidEvent as exc:
                context.dead_letter(record, str(exc))
                continue
            if at > timestamp and (clamped := clamp(at, timestamp)) != at:
                at = clamped
                count("clamped")
            shop_id, offset = event.shop_id, record.offset
            key = _pack((shop_id, event.cart_id))
            cart = None if event.type == "wishlist.updated" else get(key) or self._begin(record, event)
            if cart is not None and offset > cart.offset:  # else it was folded before the last crash
                held, idle = cart.held, idle_ms(shop_id)
                outcomes = fold(cart, event, at=at, offset=offset, idle=idle, size=len(value or b""))
                if outcomes is None:
                    count("duplicates")
                else:
                    for outcome in outcomes:
                        self._emit(outcome)
                    if cart.held and not held:
                        count("carts")
                    wake = wake_at(cart, idle)
                    put(key, cart, wake)
                    due = wake if wake < due else due
            if at > latest:
                latest = at
                progress = saw(at)
            if progress >= due:  # a late event's deadline may have passed already
                due = self._reach(progress)
        count("events", len(records))

    def on_progress(self, progress: int) -> None:
        """Fire what is due, and forget what is old."""
        self._reach(progress)

    def _reach(self, progress: int) -> int:
        """Do what is due at `progress`; nothing more is due before the time it returns."""
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
        return table.next_due

    async def perform(self, effect: Any) -> Any:
        """This stage has no effects."""
        raise NotImplementedError(effect)

    def on_result(self, effect: Any, result: Any) -> None:
        """This stage has no effects."""

    def _begin(self, record: Record, event: CartEvent) -> Cart | None:
        """A cart that is not known yet; None when the record belongs to another partition."""
        if self._context.misplaced(record, event.cart_id):
            return None
        return Cart(event.shop_id, cart_id=event.cart_id)

    def _wake(self, cart: Timer) -> int:
        return wake_at(cart, self._shops.idle_ms(cart.shop_id))

    def _emit(self, outcome: CartOutcome) -> None:
        self._context.emit(topics.CART_OUTCOMES.name, outcome.device_id or outcome.cart_id, encode(outcome))
        self._context.count(outcome.type)
