"""Whether Kafka answers and has the topics that the collector writes to."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import confluent_kafka
from confluent_kafka.admin import AdminClient

from cartwake.errors import KafkaUnavailable
from cartwake.settings import Settings
from cartwake.topics import CART_EVENTS, DEVICE_EVENTS, ORDER_EVENTS, SUBSCRIBER_EVENTS

_TOPICS: Final = (CART_EVENTS, DEVICE_EVENTS, ORDER_EVENTS, SUBSCRIBER_EVENTS)
_KEEP_SECONDS: Final = 1.0


def probe(settings: Settings, *, timeout: float = 3) -> Callable[[], None]:
    """A function that returns when Kafka is ready and raises KafkaUnavailable when not; it blocks, in any thread.

    It asks Kafka at most once a second, however often it is called.
    """
    lock = threading.Lock()
    admin: Any = None
    asked, problem = -_KEEP_SECONDS, ""

    def ask() -> str:
        nonlocal admin
        if admin is None:
            admin = AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": 0})
        try:
            found = admin.list_topics(timeout=timeout).topics
        except confluent_kafka.KafkaException as exc:
            return f"Kafka at {settings.bootstrap} does not answer: {exc}"
        missing = [t.name for t in _TOPICS if settings.topic_prefix + t.name not in found]
        return f"Kafka at {settings.bootstrap} has no topic {', '.join(missing)}: cartwake topics" if missing else ""

    def ready() -> None:
        nonlocal asked, problem
        with lock:
            if time.monotonic() - asked >= _KEEP_SECONDS:
                problem = ask()
                asked = time.monotonic()
            if problem:
                raise KafkaUnavailable(problem)

    return ready
