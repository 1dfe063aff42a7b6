"""What a stage sees of the runtime that runs it: batches in, state, records and effects out.

A stage is written against these protocols and knows neither Faust nor Kafka; `streams/runtime` keeps their
promises and `cartwake/pipeline.py` brings the two together.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeVar

NEVER: Final = 2**63 - 1  # a time that does not come

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class Record(Protocol):
    """A record as the broker gave it; `timestamp` is the broker's, in epoch milliseconds.

    Its topic is the context's.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Table(Protocol[K, S]):
    """The state of one partition: it is restored before the first batch and written once per commit."""

    def get(self, key: K) -> S | None:
        """The state of `key`, or None."""
        ...

    def put(self, key: K, state: S, wake: int | None = None) -> None:
        """Keep `state`; it is on the broker before the offsets that made it are committed.

        `wake` is what the function given to `wake_by` answers, where that is known already.
        """
        ...

    def delete(self, key: K) -> None:
        """Forget `key`; a key that is not there changes nothing."""
        ...

    def items(self) -> Iterator[tuple[K, S]]:
        """Every key with its state, in no order."""
        ...

    def wake_by(self, wake: Callable[[Any], int], head: Any = None) -> None:
        """Have `due` find each key when time has come to `wake(state)` (epoch ms).

        `head` is a type of the state's first fields, with all that `wake` reads.
        """
        ...

    @property
    def next_due(self) -> int:
        """Nothing is due before (epoch ms)."""
        ...

    def due(self, now: int) -> Iterator[K]:
        """The keys whose time has come, earliest first; each must be put again or deleted."""
        ...

    def reindex(self) -> None:
        """`wake` answers differently from now on: set the timers anew."""
        ...


class Context(Protocol[K, S]):
    """What the runtime lends to the stage for one partition, from assignment to revocation."""

    partition: int
    topic: str  # of the records being taken, without the prefix

    @property
    def table(self) -> Table[K, S]:
        """The state of this partition."""
        ...

    @property
    def progress(self) -> int:
        """How far time has come on this partition, in epoch milliseconds; it never goes back."""
        ...

    def arrived(self, timestamp: int) -> int:
        """Progress with a record of this broker time about to be taken."""
        ...

    def saw(self, event_time: int) -> int:
        """Progress after a record that happened at `event_time` (it matters on event time, for a stage at the head)."""
        ...

    def emit(self, topic: str, key: str, value: bytes) -> None:
        """Send a record; it is on the broker before the offsets that caused it are committed.

        It may be sent again after a crash, so its content must follow from its input alone.
        """
        ...

    def effect(self, effect: Any) -> None:
        """Have `Task.perform` run once the state up to here is on the broker.

        One whose attribute `at_once` is true needs nothing but that: it comes back to `Task.on_result` unperformed.
        """
        ...

    def dead_letter(self, record: Record, reason: str) -> None:
        """Put a record that can't be used aside, with its reason, and count it."""
        ...

    def misplaced(self, record: Record, key: str) -> bool:
        """Whether `key` belongs to another partition; if so the record has been sent there, once, and counted."""
        ...

    def count(self, name: str, n: int = 1) -> None:
        """Add `n` to the counter `name` of this stage."""
        ...


class Task(Protocol):
    """A stage at work on one partition. All calls come one after the other, from one thread."""

    def on_restored(self) -> None:
        """The table is complete: build what is derived from it."""
        ...

    def on_batch(self, records: Sequence[Record], progress: int) -> None:
        """Take the next records of one topic, in order. `progress` is what holds after the last of them."""
        ...

    def on_progress(self, progress: int) -> None:
        """Time has come to `progress`: do what is due."""
        ...

    async def perform(self, effect: Any) -> Any:
        """Carry an effect out. Its result comes back through `on_result`; raising ends the process."""
        ...

    def on_result(self, effect: Any, result: Any) -> None:
        """Take in what `perform` returned."""
        ...
