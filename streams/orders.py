"""An order of a known person is a purchase of that person, also one that came by phone and never had a cart.

in   order-events, order_id
out  subscriber-events, subscriber_id
"""

from collections.abc import Sequence
from typing import Any

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.errors import InvalidEvent
from cartwake.model import decode_order_event, derived_id, encode, subscriber_id_for
from cartwake.stage import Context, Record
from streams.carts import clamp


class OrderStage:
    """Stateless: each placed order with a person gives one purchase."""

    def __init__(self, context: Context[str, None]) -> None:
        self._context = context

    def on_restored(self) -> None:
        """There is no state."""

    def on_batch(self, records: Sequence[Record], _progress: int) -> None:
        """Turn placed orders into purchases."""
        for record in records:
            try:
                self._take(record)
            except InvalidEvent as exc:
                self._context.dead_letter(record, str(exc))

    def on_progress(self, progress: int) -> None:
        """Nothing waits here."""

    async def perform(self, effect: Any) -> Any:
        """This stage has no effects."""
        raise NotImplementedError(effect)

    def on_result(self, effect: Any, result: Any) -> None:
        """This stage has no effects."""

    def _take(self, record: Record) -> None:
        order = decode_order_event(record.value)
        subscriber_id = subscriber_id_for(
            email=order.email, customer_id=order.customer_id, subscriber_id=order.subscriber_id
        )
        if order.type != "order.placed" or subscriber_id is None:
            return
        purchase = {
            "event_id": derived_id("purchase", order.event_id),
            "type": "subscriber.purchased",
            "shop_id": order.shop_id,
            "subscriber_id": subscriber_id,
            "customer_id": order.customer_id,
            "email": order.email,
            "order_id": order.order_id,
            "cart_id": order.cart_id,
            "occurred_at": rfc3339(clamp(order.at, record.timestamp)),
        }
        self._context.emit(topics.SUBSCRIBER_EVENTS.name, subscriber_id, encode(purchase))
