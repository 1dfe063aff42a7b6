"""Watches the far end of the pipeline: how far time has come there, and which abandonments have ended how."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

import confluent_kafka

from cartwake import topics
from cartwake.clock import to_ms
from cartwake.errors import CartwakeError
from cartwake.model import decode_message, decode_subscriber_cart
from cartwake.settings import Settings

_ENDED: Final = frozenset(
    "message." + end for end in ("sent", "suppressed", "recovered", "expired", "failed", "uncertain")
)


class Watch:
    """Reads `subscriber-carts` and `messages` from their beginning."""

    def __init__(self, settings: Settings, counts: Mapping[str, int], *, patience_s: float) -> None:
        self.left: dict[str, int] = {}  # when each abandonment with a person became one, epoch ms
        self.planned: set[str] = set()  # abandonments that are planned for
        self.due: dict[str, int] = {}  # when each plan is due, epoch ms
        self.ended: set[str] = set()  # plans that have ended
        self.answered: set[str] = set()  # requests that were answered
        self.first_mail_at: float | None = None  # time.monotonic()
        self._prefix = settings.topic_prefix
        self._logs = settings.data_dir / "logs"
        self._patience = patience_s
        names = (topics.SUBSCRIBER_CARTS.name, topics.MESSAGES.name)
        sources = counts[topics.SUBSCRIBER_CARTS.name]
        self._marks = {(n, f"reminders/{s}"): 0 for n in range(counts[topics.MESSAGES.name]) for s in range(sources)}
        self._consumer: Any = confluent_kafka.Consumer(
            {"bootstrap.servers": settings.bootstrap, "group.id": "demo", "enable.auto.commit": False, "log_level": 2}
        )
        places = [(self._prefix + name, n) for name in names for n in range(counts[name])]
        self._consumer.assign([confluent_kafka.TopicPartition(topic, n, 0) for topic, n in places])

    def wait_until(self, what: Callable[[], bool]) -> None:
        """Read on until `what` holds; raises CartwakeError when it does not within the patience."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > self._patience:
                raise CartwakeError(
                    f"the story did not go on for {self._patience:.0f} s ({len(self.left)} abandonments with a person, "
                    f"{len(self.ended)} plans ended). Look into {self._logs}"
                )
            for message in self._consumer.consume(1_000, timeout=0.05):
                if not message.error():  # else the consumer goes on by itself; the patience bounds it
                    self._take(message)

    def reached(self, at: int) -> bool:
        """Whether time has come to `at` (epoch ms) in all of stage 3."""
        return min(self._marks.values()) >= at

    def _take(self, message: Any) -> None:
        mark = dict(message.headers() or ()).get(topics.WATERMARK)
        if mark is not None:
            source, _, at = mark.decode().partition("|")
            place = (message.partition(), source)
            if place in self._marks and message.topic() == self._prefix + topics.MESSAGES.name:
                self._marks[place] = int(at)
        elif message.topic() == self._prefix + topics.SUBSCRIBER_CARTS.name:
            match = decode_subscriber_cart(message.value())
            left = match.outcome
            if match.type == "cart.abandoned" and left.abandonment_id and left.abandoned_at:
                self.left[left.abandonment_id] = to_ms(datetime.fromisoformat(left.abandoned_at))
        else:
            said = decode_message(message.value())
            if said.type in _ENDED and said.request_id:
                self.answered.add(said.request_id)
            if said.type in _ENDED:
                self.ended.add(said.plan_id)
            elif said.due_at and said.abandonment_id:
                self.planned.add(said.abandonment_id)
                self.due[said.plan_id] = to_ms(datetime.fromisoformat(said.due_at))
            if said.type == "message.sent" and self.first_mail_at is None:
                self.first_mail_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()
