"""Whether what is in Kafka is in ClickHouse, too: what is not there yet must not look like something that broke."""

import time
from types import TracebackType
from typing import Any, Final, Self

import confluent_kafka

from cartwake.errors import KafkaUnavailable
from cartwake.settings import Settings
from cartwake.topics import CART_EVENTS, CART_OUTCOMES

_TOPICS: Final = (CART_EVENTS, CART_OUTCOMES)
_GLANCE_S: Final = 0.2


class Arrival:
    """Compares the ends of the topics with what the sink has committed."""

    def __init__(self, settings: Settings) -> None:
        self._bootstrap = settings.bootstrap
        self._topics = [settings.topic_prefix + topic.name for topic in _TOPICS]
        self._consumer: Any = confluent_kafka.Consumer(
            {
                "bootstrap.servers": settings.bootstrap,
                "group.id": settings.topic_prefix + "sink",  # asked about, never joined
                "enable.auto.commit": False,
                "log_level": 2,
            }
        )

    def wait(self, patience_s: float) -> bool:
        """Whether within that time the sink writes what is in Kafka now; raises KafkaUnavailable."""
        try:
            ends = self._ends()
            until = time.monotonic() + patience_s
            while not self._written(ends):
                if time.monotonic() >= until:
                    return False
                time.sleep(_GLANCE_S)
        except confluent_kafka.KafkaException as exc:
            raise KafkaUnavailable(f"Kafka at {self._bootstrap} does not say how far the sink is: {exc}") from exc
        return True

    def _ends(self) -> dict[tuple[str, int], int]:
        found = {}
        for topic in self._topics:
            metadata = self._consumer.list_topics(topic, timeout=10).topics[topic]
            for partition in metadata.partitions:
                low, high = self._consumer.get_watermark_offsets(
                    confluent_kafka.TopicPartition(topic, partition), timeout=10
                )
                if high > low:
                    found[topic, partition] = high
        return found

    def _written(self, ends: dict[tuple[str, int], int]) -> bool:
        places = [confluent_kafka.TopicPartition(*place) for place in ends]
        committed = self._consumer.committed(places, timeout=10) if places else []
        if failed := [x.error for x in committed if x.error]:
            raise confluent_kafka.KafkaException(failed[0])
        return all(x.offset >= ends[x.topic, x.partition] for x in committed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()
