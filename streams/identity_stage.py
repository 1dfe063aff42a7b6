"""Stage 2: recognise whose cart was left, also when that is known only later, and undo it when it was wrong.

in   cart-outcomes, device_id else cart_id; device-events, device_id
out  subscriber-carts, subscriber_id
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from cartwake import topics
from cartwake.clock import to_ms
from cartwake.errors import InvalidEvent
from cartwake.model import SubscriberCart, decode_device_event, decode_outcome, encode
from cartwake.stage import NEVER, Context, Record
from streams.carts import clamp
from streams.identity import Device, identify, prune, take, unlink

Key = tuple[str, str, str]  # shop_id, "device" or "cart", its id


class IdentityStage:
    """Matches outcomes to people on one partition."""

    def __init__(self, context: Context[Key, Device]) -> None:
        self._context = context
        context.table.wake_by(_wake)

    def on_restored(self) -> None:
        """The table has set its timers."""

    def on_batch(self, records: Sequence[Record], _progress: int) -> None:
        """Take outcomes or device events."""
        for record in records:
            try:
                if self._context.topic == topics.CART_OUTCOMES.name:
                    self._take_outcome(record)
                else:
                    self._take_device_event(record)
            except InvalidEvent as exc:
                self._context.dead_letter(record, str(exc))

    def on_progress(self, progress: int) -> None:
        """Forget sightings after 180 days, waiting carts after 7, matched ones after 90."""
        table = self._context.table
        for key in table.due(progress):
            device = table.get(key)
            if device is None:
                continue
            if prune(device, progress) is None:
                table.delete(key)
            else:
                table.put(key, device)

    async def perform(self, effect: Any) -> Any:
        """This stage has no effects."""
        raise NotImplementedError(effect)

    def on_result(self, effect: Any, result: Any) -> None:
        """This stage has no effects."""

    def _take_outcome(self, record: Record) -> None:
        try:
            outcome = decode_outcome(record.value or b"")
            at = to_ms(msgspec.convert(outcome.occurred_at, Annotated[datetime, msgspec.Meta(tz=True)]))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, ArithmeticError) as exc:
            raise InvalidEvent(f"not an outcome of stage 1: {exc}") from exc
        kind, name = ("device", outcome.device_id) if outcome.device_id else ("cart", outcome.cart_id)
        key = (outcome.shop_id, kind, name)
        device = self._device(key, record)
        if device is not None:
            self._keep(key, device, record, take(device, outcome, at))

    def _take_device_event(self, record: Record) -> None:
        event = decode_device_event(record.value)
        key = (event.shop_id, "device", event.device_id)
        if self._context.table.get(key) is None and self._context.misplaced(record, event.device_id):
            return
        device = self._device(key, record)
        if device is not None:
            act = identify if event.type == "device.identified" else unlink
            self._keep(key, device, record, act(device, event, clamp(event.at, record.timestamp)))

    def _device(self, key: Key, record: Record) -> Device | None:
        """The device, or None when it was folded with this record before the last crash."""
        device = self._context.table.get(key) or Device()
        return device if record.offset > device.offsets.get(self._context.topic, -1) else None

    def _keep(self, key: Key, device: Device, record: Record, told: Iterable[SubscriberCart]) -> None:
        device.offsets[self._context.topic] = record.offset
        for match in told:
            self._context.emit(topics.SUBSCRIBER_CARTS.name, match.subscriber_id, encode(match))
            self._context.count(match.type)
        self._context.table.put(key, device)


def _wake(device: Device) -> int:
    return prune(device, 0) or NEVER
