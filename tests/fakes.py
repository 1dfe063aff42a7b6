"""A context that a stage can be run on without Kafka: it keeps what the stage says."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.runtime.progress import EventProgress, LiveProgress
from streams.runtime.table import Table

_pack = msgspec.msgpack.encode


@dataclass
class FakeRecord:
    """A record as the broker would give it."""

    value: bytes | None
    offset: int = 0
    timestamp: int = 0
    topic: str = "topic"
    partition: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass
class FakeContext:
    """Keeps emitted records, dead letters and effects in lists."""

    partition: int = 0
    topic: str = "topic"
    event_time: bool = False
    inputs: tuple[str, ...] = ("topic",)
    table: Any = field(default_factory=Table)
    emitted: list[tuple[str, str, bytes]] = field(default_factory=list)
    dead: list[tuple[Any, str]] = field(default_factory=list)
    effects: list[Any] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    place: Callable[[str], bool] = lambda _key: True

    def __post_init__(self) -> None:
        self.time: Any = (
            EventProgress({name: ["input"] for name in self.inputs}, [])
            if self.event_time
            else LiveProgress(self.inputs, lambda: 2**62)
        )

    @property
    def progress(self) -> int:
        return int(self.time.now)

    def arrived(self, timestamp: int) -> int:
        return int(self.time.read(self.inputs[0], timestamp))

    def saw(self, event_time: int) -> int:
        return int(self.time.saw(event_time))

    def emit(self, topic: str, key: str, value: bytes) -> None:
        self.emitted.append((topic, key, value))

    def effect(self, effect: Any) -> None:
        self.effects.append(effect)

    def dead_letter(self, record: Any, reason: str) -> None:
        self.dead.append((record, reason))

    def misplaced(self, record: Any, key: str) -> bool:
        return not self.place(key)

    def count(self, name: str, n: int = 1) -> None:
        self.counters[name] += n

    def crashed(self, key: Any, state: Any) -> "FakeContext":
        """A context after a restart that had just committed: the state as the changelog gives it back."""
        fresh = FakeContext(partition=self.partition, event_time=self.event_time, inputs=self.inputs)
        fresh.time, fresh.table = self.time, Table(key, state)
        for raw, packed in [(_pack(k) if key is not bytes else k, _pack(s)) for k, s in self.table.items()]:
            fresh.table.load(raw, packed)
        return fresh


def hand(context: FakeContext, stage: Any, *records: FakeRecord) -> None:
    """Hand records to a stage that joins topics, each as of its own topic."""
    for record in records:
        context.topic = record.topic
        stage.on_batch([record], 0)
