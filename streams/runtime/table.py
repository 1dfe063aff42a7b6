"""State of one partition: a dict, and a compacted changelog written once per dirty key and commit.

A state must say which input made it (the offset it was folded up to), because after a crash the input since the
last commit is read again, while the changelog may already hold newer states.
"""

import time
from collections.abc import Hashable, ItemsView, Iterator
from typing import Any, Generic, TypeVar

import confluent_kafka
import msgspec

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")

_encode = msgspec.msgpack.Encoder().encode


class Table(Generic[K, S]):
    """The states of one partition by key."""

    def __init__(self) -> None:
        self._states: dict[K, S] = {}
        self._dirty: set[K] = set()

    def __len__(self) -> int:
        return len(self._states)

    def get(self, key: K) -> S | None:
        """The state of `key`, or None."""
        return self._states.get(key)

    def put(self, key: K, state: S) -> None:
        """Keep `state` and have it written at the next commit."""
        self._states[key] = state
        self._dirty.add(key)

    def delete(self, key: K) -> None:
        """Forget `key`, on the broker too at the next commit."""
        if self._states.pop(key, None) is not None:
            self._dirty.add(key)

    def items(self) -> ItemsView[K, S]:
        """Every key with its state, in no order."""
        return self._states.items()

    def load(self, key: K, state: S) -> None:
        """Put a state back that the changelog has."""
        self._states[key] = state

    def unload(self, key: K) -> None:
        """Take back a state that the changelog deletes."""
        self._states.pop(key, None)

    def take_dirty(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What changed since the last call, encoded: (key, state), None for a deleted one."""
        dirty, self._dirty = self._dirty, set()
        states = self._states
        for key in dirty:
            state = states.get(key)
            yield _encode(key), None if state is None else _encode(state)


def _bounds(consumer: Any, place: Any) -> tuple[int, int]:
    """First and next offset; a topic just made has no leader for a moment, so a no is asked again for 60 s."""
    patience = time.monotonic() + 60
    while True:
        try:
            first, end = consumer.get_watermark_offsets(place, timeout=10)
        except confluent_kafka.KafkaException:
            if time.monotonic() > patience:
                raise
            time.sleep(0.2)
        else:
            return first, end


def restore(table: Table[Any, Any], *, bootstrap: str, topic: str, partition: int, key: Any, state: Any) -> int:
    """Fill `table` from its changelog up to its present end; returns the records read.

    Blocks; raises `confluent_kafka.KafkaException` when the broker stays away for 60 s.
    """
    decode_key = msgspec.msgpack.Decoder(key).decode
    decode_state = msgspec.msgpack.Decoder(state).decode
    consumer: Any = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "restore",  # never joined: the partition is assigned by hand
            "enable.auto.commit": False,
            "fetch.min.bytes": 1,
            "log_level": 2,
        }
    )
    try:
        place = confluent_kafka.TopicPartition(topic, partition)
        position, end = _bounds(consumer, place)
        consumer.assign([confluent_kafka.TopicPartition(topic, partition, position)])
        count = 0
        while position < end:
            for message in consumer.consume(10_000, timeout=0.5):
                if message.error():
                    raise confluent_kafka.KafkaException(message.error())
                value = message.value()
                if value is None:
                    table.unload(decode_key(message.key()))
                else:
                    table.load(decode_key(message.key()), decode_state(value))
                count += 1
            # compaction leaves gaps, so the position says when the end is reached, not the count
            place = consumer.position([place])[0]
            position = max(position, place.offset)
        return count
    finally:
        consumer.close()
