"""One partition of one stage at work: its context, its progress, and what its next commit needs."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from streams.runtime.changelog import Changelog
from streams.runtime.producer import Headers
from streams.runtime.progress import BrokerClock, Progress
from streams.runtime.table import IN_USE, Table

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")

MOST_HEADERS = 64 * 1024  # bytes of a stranger's headers that are forwarded
MOST_WAITING = 20_000  # records of an input that is held; then it is no longer fetched
INPUT = "input"  # the source name of watermarks that whoever feeds the pipeline sends


class Poisoned(Exception):
    """Too much of the input can't be used: something is wrong at its source, and going on would drain it."""


class Record(Protocol):
    """A record as aiokafka's parser gives it; which topic it is of, the partition knows."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Sender(Protocol):
    """Where records go; `room` is the bytes of key and value that one may have."""

    room: int

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int = -1, headers: Headers = ()
    ) -> None: ...


class Task(Protocol):
    """What a stage does on one partition; all calls come from one thread, one after the other."""

    def on_restored(self) -> None: ...
    def on_batch(self, records: Sequence[Any], progress: int) -> None: ...
    def on_progress(self, progress: int) -> None: ...
    async def perform(self, effect: Any) -> Any: ...
    def on_result(self, effect: Any, result: Any) -> None: ...


#: Records, the offset after the last of them, and the watermark (source, epoch ms) that ends the run, if one does.
Run = tuple[list[Record], int, tuple[str, int] | None]


@dataclass(frozen=True)
class Stage(Generic[K, S]):
    """A stage: topics it joins by key, topics it writes, the types of its table, and its task.

    A `state` of None says that there is no table.

    `upstream` has, by input, the stages that write it, each with the topic that it reads; `fed` are the inputs that
    somebody outside writes too. Both say whose watermarks arrive where (on event time).
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    key: Any
    state: Any
    task: Callable[["Partition[K, S]"], Task]
    upstream: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fed: tuple[str, ...] = ()
    in_use: int = IN_USE  # states of a partition that stay unpacked although nothing touches them


@dataclass
class Surroundings:
    """What the partitions of an app share."""

    prefix: str
    producer: Sender
    dead_letters: str
    partitioner: Callable[[bytes, int], int]
    forwarded_header: str
    watermark_header: str
    event_time: bool
    clock: BrokerClock
    wanted: asyncio.Event = field(default_factory=asyncio.Event)  # an effect waits for a commit
    counters: Counter[tuple[str, str]] = field(default_factory=Counter)
    partitions_of: dict[str, int] = field(default_factory=dict)  # by topic without prefix
    bad_in_row: int = 1_000
    bad_of_window: tuple[int, int] = (1_000, 100_000)


class Partition(Generic[K, S]):
    """The context a stage's task gets for one partition."""

    def __init__(
        self,
        stage: Stage[K, S],
        number: int,
        progress: Progress,
        shared: Surroundings,
        *,
        changelog: Changelog | None = None,
        table: Table[K, S] | None = None,
    ) -> None:
        self.stage = stage
        self.partition = number
        self.changelog = changelog
        self.table: Table[K, S] = Table(stage.key, stage.state) if table is None else table
        self.topic = stage.inputs[0]  # of the records being taken, without prefix
        self.positions: dict[str, int] = {}  # next offset to take, by topic without prefix
        self.effects: list[Any] = []
        self.ours = True  # until it is given to somebody else
        self._read: dict[str, int] = {}  # next offset to look at: what is held back has been read, not taken
        self._waiting: dict[str, deque[Run]] = {topic: deque() for topic in stage.inputs}
        self._progress = progress
        self.saw = progress.saw  # progress after a record that happened at some time (matters on event time only)
        self._told = 0
        self._shared = shared
        self._seen = self._bad = self._row = 0
        self._last_bad = -2
        self.task: Task = stage.task(self)

    # -- what the task uses (cartwake.stage.Context promises it) ----------------------------------------------
    @property
    def progress(self) -> int:
        """How far time has come, epoch milliseconds; never goes back."""
        return self._progress.now

    def arrived(self, timestamp: int) -> int:
        """Progress with a record of this broker time about to be taken."""
        return self._progress.read(self.topic, timestamp)

    def emit(self, topic: str, key: str, value: bytes) -> None:
        """Send a record; it is on the broker before the offsets that caused it are committed."""
        self._shared.producer.send(self._shared.prefix + topic, key.encode("utf-8"), value)

    def effect(self, effect: Any) -> None:
        """Have the task perform `effect` once the state up to here is on the broker; one `at_once` only comes back."""
        self.effects.append(effect)
        self._shared.wanted.set()

    def dead_letter(self, record: Record, reason: str) -> None:
        """Put a record aside with its reason; raises Poisoned when too many go there."""
        shared = self._shared
        topic = shared.prefix + self.topic
        headers = {"reason": reason, "topic": topic, "partition": self.partition, "offset": record.offset}
        headers["stage"] = self.stage.name
        key, value, room = record.key, record.value, shared.producer.room
        if (size := len(key or b"") + len(value or b"")) > room:  # brokers bound records as they are compressed
            headers["cut"] = size
            key, value = key and key[:1_000], value and value[: room - 1_000]
        shared.producer.send(
            shared.prefix + shared.dead_letters,
            key,
            value,
            headers=[(k, str(v).encode("utf-8", "replace")) for k, v in headers.items()],
        )
        self.count("dead_letters")
        self._bad += 1
        self._row = self._row + 1 if record.offset == self._last_bad + 1 else 1
        self._last_bad = record.offset
        most, _window = shared.bad_of_window
        if self._row >= shared.bad_in_row or self._bad > most:
            raise Poisoned(
                f"{self.stage.name}/{self.partition}: {self._row} unusable records in a row, {self._bad} of the last "
                f"{self._seen}; the last one ({self.topic} offset {record.offset}): {reason}. "
                "Look at what writes to this topic; nothing after the last commit is lost"
            )

    def misplaced(self, record: Record, key: str) -> bool:
        """Whether `key` lies on another partition; if so the record has been sent there, once, and counted."""
        shared = self._shared
        raw = key.encode("utf-8", "surrogatepass")
        right = shared.partitioner(raw, shared.partitions_of[self.topic])
        if right == self.partition or any(name == shared.forwarded_header for name, _ in record.headers):
            return False
        kept = record.headers if sum(len(v or b"") for _, v in record.headers) <= MOST_HEADERS else ()
        headers = [*kept, (shared.forwarded_header, b"1")]
        shared.producer.send(shared.prefix + self.topic, raw, record.value, partition=right, headers=headers)
        self.count("forwarded")
        return True

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter of this stage."""
        self._shared.counters[self.stage.name, name] += n

    # -- what the app uses ------------------------------------------------------------------------------------
    def take(self, topic: str, records: Sequence[Record]) -> None:
        """Have a batch of one topic wait for `release`; what was taken before is left out."""
        position = self._read.get(topic, self.positions.get(topic, 0))
        if records[0].offset < position:
            records = [r for r in records if r.offset >= position]
        if not records:
            return
        self._read[topic] = records[-1].offset + 1
        self._seen += len(records)
        if self._seen > self._shared.bad_of_window[1]:
            self._seen = self._bad = 0
        self._waiting[topic].extend(self._runs(records))

    def give(self, topic: str, records: list[Record]) -> None:
        """Hand records over at once: for whoever keeps time and order without an app."""
        self._hand_over(topic, records)

    def is_full(self, topic: str) -> bool:
        """Whether so much of `topic` waits here that no more should be fetched."""
        return sum(len(run) for run, _, _ in self._waiting[topic]) > MOST_WAITING

    def rewind(self) -> None:
        """Forget what waits: everything after `positions` is fetched again."""
        self._read.clear()
        for waiting in self._waiting.values():
            waiting.clear()

    def close(self) -> None:
        """Let go of it: somebody else has it now, or the worker ends."""
        self.ours = False
        self._progress.leave()
        self.table.close()
        if self.changelog is not None:
            self.changelog.close()

    def release(self) -> bool:
        """Hand over what need not wait; whether anything moved."""
        moved = False
        while any([self._release(topic) for topic in self.stage.inputs]):  # noqa: C419 - every input, each time
            moved = True
        self.advance()
        return moved

    def _release(self, topic: str) -> bool:
        """Hand over what `topic` has, up to the watermark that puts it ahead of the other inputs."""
        waiting, moved = self._waiting[topic], False
        while waiting and not self._progress.is_ahead(topic):
            run, end, watermark = waiting.popleft()
            if run:
                self._hand_over(topic, run)
            if watermark is not None:
                self._progress.watermark(topic, *watermark)
                self.advance()
            self.positions[topic] = end
            moved = True
        return moved

    def advance(self) -> None:
        """Tell the task how far time has come, and in event time those downstream as well."""
        now = self._progress.now
        if now <= self._told:
            return
        self._told = now
        self.task.on_progress(now)
        if self._shared.event_time:
            self._pass_on(now)

    def caught_up(self, topic: str, at: int) -> None:
        """The end of `topic` was seen `at` (epoch ms) with nothing left to take."""
        self._progress.read(topic, at)
        self.advance()

    def _hand_over(self, topic: str, records: list[Record]) -> None:
        self.topic = topic
        if len(self.stage.inputs) > 1:
            self._progress.read(topic, records[-1].timestamp)
        self.task.on_batch(records, self._progress.now)

    def _runs(self, records: Sequence[Record]) -> Iterator[Run]:
        """The records, cut at the watermarks."""
        marker = self._shared.watermark_header
        run: list[Record] = []
        for record in records:
            if record.headers and (watermark := _watermark(record, marker)) is not None:
                yield run, record.offset + 1, watermark
                run = []
            else:
                run.append(record)
        if run:
            yield run, run[-1].offset + 1, None

    def _pass_on(self, now: int) -> None:
        shared = self._shared
        mark = [(shared.watermark_header, f"{self.stage.name}/{self.partition}|{now}".encode())]
        for topic in self.stage.outputs:
            for number in range(shared.partitions_of[topic]):
                shared.producer.send(shared.prefix + topic, None, None, partition=number, headers=mark)


def _watermark(record: Record, header: str) -> tuple[str, int] | None:
    """What `_pass_on` has written; a record that says something is none, whatever its headers."""
    if record.value is not None:
        return None
    try:
        mark = next((value for key, value in record.headers if key == header), None) or b""
        source, _, at = mark.decode().rpartition("|")
        return source, int(at)
    except ValueError:
        return None


def sources(stage: Stage[Any, Any], partitions_of: Mapping[str, int]) -> dict[str, list[str]]:
    """Whose watermarks `stage` waits for, by input."""
    return {
        topic: [INPUT] * (topic in stage.fed)
        + [f"{name}/{n}" for name, read in stage.upstream.get(topic, {}).items() for n in range(partitions_of[read])]
        for topic in stage.inputs
    }
