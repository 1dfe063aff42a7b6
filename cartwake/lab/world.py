"""Stages 1 to 3 in this process: the same stages, partitions and tables, without a broker and with a clock of our own.

Whoever drives it gives records and lets time pass. What is due on the way is done at its own millisecond, as a live
pipeline does it in a silent night. What a stage says lies in memory until the next stage takes it; effects are carried
out at once. Nothing here can reach Kafka: there is no client of it.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from cartwake import pipeline, topics
from cartwake.shops import Shops
from cartwake.stage import NEVER, Context
from reminders import person
from reminders.subscribers import Reminders
from streams.runtime import Partition, Table
from streams.runtime.partition import Surroundings
from streams.runtime.producer import Headers
from streams.runtime.progress import BrokerClock, GivenProgress

_COMMIT: Final = 5_000  # records after which states are packed again
_IN_USE: Final = 1_000  # states of a partition that stay unpacked


class Arrived(Struct, gc=False):
    """A record as a stage sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Wire:
    """Stands where the producer stands: what is sent waits in memory."""

    room = topics.DEAD_LETTER_BYTES

    def __init__(self, partitions: int, listen: Mapping[str, Callable[[bytes], None]]) -> None:
        self.waiting: deque[tuple[str, int, bytes | None, bytes, Headers]] = deque()
        self._partitions = partitions
        self._listen = listen

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int = -1, headers: Headers = ()
    ) -> None:
        """Have it wait, and tell who listens."""
        if value is None:
            return
        if (told := self._listen.get(topic)) is not None:
            told(value)
        if partition < 0:
            partition = topics.partition_of(key or b"", self._partitions)
        self.waiting.append((topic, partition, key, value, headers))


class World:
    """All partitions of the stages, with the rules of `shops`. `listen` is told what they say, by topic."""

    def __init__(
        self,
        shops: Shops,
        reminders: Callable[[Context[person.Key, person.State]], Reminders],
        *,
        partitions: int,
        listen: Mapping[str, Callable[[bytes], None]],
    ) -> None:
        self.counters: Counter[tuple[str, str]] = Counter()
        self._clock = GivenProgress()
        self._wire = Wire(partitions, listen)
        self._shared = Surroundings(
            prefix="",
            producer=self._wire,
            dead_letters=topics.DEAD_LETTERS.name,
            partitioner=topics.partition_of,
            forwarded_header=topics.FORWARDED,
            watermark_header=topics.WATERMARK,
            event_time=False,
            clock=BrokerClock(),
            counters=self.counters,
            partitions_of={topic.name: partitions for topic in topics.ALL},
            bad_in_row=NEVER,  # what was bad then is bad now, and has been judged
            bad_of_window=(NEVER, NEVER),
        )
        stages: list[Any] = [
            pipeline.left(shops),
            pipeline.recognised(),
            pipeline.purchased(),
            pipeline.written(reminders),
        ]
        self._parts = [self._part(stage, n) for stage in stages for n in range(partitions)]
        self._timed = [part for part in self._parts if part.stage.state is not None]
        self._writing = [part for part in self._parts if part.stage.name == pipeline.REMINDERS]
        self._readers: dict[tuple[str, int], list[Partition[Any, Any]]] = defaultdict(list)
        for part in self._parts:
            for topic in part.stage.inputs:
                self._readers[topic, part.partition].append(part)
        self._ends: Counter[tuple[str, int]] = Counter()
        self._due = 0  # nothing is due before: never later than what the tables say
        self._until_commit = _COMMIT

    async def hear(self, topic: str, partition: int, value: bytes, *, at: int, received: int) -> None:
        """A record comes from outside when time stands at `at`; it arrived `received` (epoch ms)."""
        if at >= self._due:
            await self.reach(at)
        self._clock.now = max(self._clock.now, at)
        self._hand_over(topic, partition, Arrived(self._next(topic, partition), received, None, value))
        if self._wire.waiting or self._shared.wanted.is_set():
            await self._settle()
        self._until_commit -= 1
        if not self._until_commit:
            self._until_commit = _COMMIT
            for part in self._timed:
                part.table.take_dirty()

    async def reach(self, at: int) -> None:
        """Let time come to `at` (epoch ms)."""
        while (due := self._next_due()) <= at:
            self._clock.now = now = max(self._clock.now, due)
            for part in self._timed:
                if part.table.next_due <= now:
                    part.task.on_progress(now)
            await self._settle()
        self._clock.now = max(self._clock.now, at)

    def _next_due(self) -> int:
        self._due = min(part.table.next_due for part in self._timed)
        return self._due

    def _part(self, stage: Any, number: int) -> Partition[Any, Any]:
        table = Table[Any, Any](stage.key, stage.state, in_use=min(stage.in_use, _IN_USE))
        part = Partition(stage, number, self._clock, self._shared, table=table)
        part.task.on_restored()
        return part

    def _next(self, topic: str, partition: int) -> int:
        offset = self._ends[topic, partition]
        self._ends[topic, partition] = offset + 1
        return offset

    def _hand_over(self, topic: str, partition: int, record: Arrived) -> None:
        for part in self._readers[topic, partition]:
            part.give(topic, [record])
            self._due = min(self._due, part.table.next_due)

    async def _settle(self) -> None:
        """Everything that was said is heard, and everything that was wanted is done."""
        wire, wanted = self._wire.waiting, self._shared.wanted
        while wire or wanted.is_set():
            while wire:
                topic, partition, key, value, headers = wire.popleft()
                if (topic, partition) in self._readers:
                    offset = self._next(topic, partition)
                    self._hand_over(topic, partition, Arrived(offset, self._clock.now, key, value, headers))
            wanted.clear()
            for part in self._writing:
                effects, part.effects = part.effects, []
                for effect in effects:
                    at_once = getattr(effect, "at_once", False)
                    part.task.on_result(effect, None if at_once else await part.task.perform(effect))
                    self._due = min(self._due, part.table.next_due)
