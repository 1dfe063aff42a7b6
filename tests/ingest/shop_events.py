"""Builders of events and the recording publisher, each with one interesting argument."""

import json
from collections.abc import Callable
from typing import Any

from cartwake.errors import KafkaUnavailable
from cartwake.topics import Topic

AT = "2026-11-23T10:15:00.120Z"
AT_MS = 1_795_428_900_120


def event(**changes: Any) -> dict[str, Any]:
    """A cart event; a field set to None is left out."""
    whole = {
        "event_id": "e-1",
        "type": "cart.item_added",
        "cart_id": "c-81",
        "occurred_at": AT,
        "items": [{"sku": "A1", "quantity": 2, "price": "19.99"}],
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def raw(**changes: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(event(**changes)).encode()


class RecordingPublisher:
    """Keeps what it is given, and answers on the next poll as the real one does.

    `away`: no answer comes. `failing`: every answer says so. `refusing`: takes nothing.
    """

    def __init__(self) -> None:
        self.records: list[tuple[str, str, bytes]] = []
        self.away = False
        self.failing = False
        self.refusing = False
        self.flushed = 0
        self._unanswered: list[Callable[[str | None], None]] = []

    def send(
        self,
        topic: Topic,
        key: str | bytes | None,
        value: bytes | None,
        *,
        partition: int = -1,
        headers: Any = None,
        on_delivery: Callable[[str | None], None] | None = None,
    ) -> None:
        if self.refusing:
            raise KafkaUnavailable("refused")
        assert isinstance(key, str)
        assert isinstance(value, bytes)
        self.records.append((topic.name, key, value))
        if on_delivery is not None:
            self._unanswered.append(on_delivery)

    def poll(self, timeout: float = 0) -> None:
        if self.away:
            return
        answering, self._unanswered = self._unanswered, []
        for answer in answering:
            answer("broker says no" if self.failing else None)

    def flush(self, timeout: float = 30) -> None:
        self.poll()
        self.flushed += 1
        if self.away or self.failing:
            raise KafkaUnavailable("not flushed")

    @property
    def values(self) -> list[bytes]:
        return [value for _, _, value in self.records]
