"""Stage 1: notice the carts nobody touched.

in   cart-events, cart_id
out  cart-outcomes, device_id else cart_id
"""

from collections.abc import Sequence
from typing import Any

from cartwake import topics
from cartwake.errors import InvalidEvent
from cartwake.model import CartOutcome, decode_cart_event, encode
from cartwake.shops import Shops
from cartwake.stage import Context, Record
from streams.carts import Cart, clamp, fire, fold, waits, wake_at
from streams.deadlines import Deadlines

Key = tuple[str, str]  # shop_id, cart_id


class CartStage:
    """Folds cart events and fires deadlines on one partition."""

    def __init__(self, context: Context[Key, Cart], shops: Shops) -> None:
        self._context = context
        self._shops = shops
        self._deadlines: Deadlines[Key] = Deadlines()
        self._rules_version = shops.version

    def on_restored(self) -> None:
        """Build the deadlines from the carts."""
        self._rules_version = self._shops.version
        self._deadlines.rebuild((key, wake_at(cart, self._idle(key))) for key, cart in self._context.table.items())

    def on_batch(self, records: Sequence[Record], _progress: int) -> None:
        """Take records in the order of the partition; deadlines that came before a record fire before it."""
        context = self._context
        for record in records:
            self.on_progress(context.arrived(record))
            try:
                at = self._take(record)
            except InvalidEvent as exc:
                context.dead_letter(record, str(exc))
            else:
                self.on_progress(context.saw(at))

    def on_progress(self, progress: int) -> None:
        """Fire what is due, and forget what is old."""
        if self._rules_version != self._shops.version:
            self.on_restored()  # an idle time has changed
        table = self._context.table
        for key in self._deadlines.due(progress):
            cart = table.get(key)
            if cart is None:
                continue
            idle = self._idle(key)
            wake = wake_at(cart, idle)
            if wake > progress:
                self._deadlines.add(key, wake)
            elif waits(cart):
                self._emit(fire(cart, idle))
                table.put(key, cart)
                self._deadlines.add(key, wake_at(cart, idle))
            else:
                table.delete(key)
                self._context.count("forgotten")

    async def perform(self, effect: Any) -> Any:
        """This stage has no effects."""
        raise NotImplementedError(effect)

    def on_result(self, effect: Any, result: Any) -> None:
        """This stage has no effects."""

    def _take(self, record: Record) -> int:
        context = self._context
        event = decode_cart_event(record.value)
        at = event.at
        context.count("events")
        if (clamped := clamp(at, record.timestamp)) != at:
            at = clamped
            context.count("clamped")
        if event.type == "wishlist.updated":
            return at
        key = (event.shop_id, event.cart_id)
        cart = context.table.get(key)
        if cart is None:
            if context.misplaced(record, event.cart_id):
                return at
            cart = Cart(*key)
        elif record.offset <= cart.offset:
            return at  # folded before the last crash
        held = cart.held
        size = len(record.value or b"")
        outcomes = fold(cart, event, at=at, offset=record.offset, idle=self._idle(key), size=size)
        if outcomes is None:
            context.count("duplicates")
            return at
        for outcome in outcomes:
            self._emit(outcome)
        if cart.held and not held:
            context.count("carts")
        context.table.put(key, cart)
        self._deadlines.add(key, wake_at(cart, self._idle(key)))
        return at

    def _idle(self, key: Key) -> int:
        return self._shops.of(key[0]).idle_ms

    def _emit(self, outcome: CartOutcome) -> None:
        self._context.emit(topics.CART_OUTCOMES.name, outcome.device_id or outcome.cart_id, encode(outcome))
        self._context.count(outcome.type)
