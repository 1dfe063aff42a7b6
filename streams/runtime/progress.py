"""Progress: how far time has come on one partition. It never goes back.

Live: while records are waiting, the broker's time of the last one read; once every input has been read to its
end, the broker's clock at the moment that was asked for. So a backlog delays timers and never fires them early, and a
silent input still fires them.

Event time: what the data says. A stage at the head reports each record's own time with `saw`; others are told by
watermarks ("nothing older will come from this source") and stand at the least of them. An input that is ahead of
the others, or of the stage's other partitions in this worker, is held: so a stage meets the records of its inputs
in the order of their time, as finely as watermarks come.
"""

import time
from collections.abc import Callable, Iterable, Mapping


def monotonic_ms() -> int:
    """Milliseconds since some moment, by a clock that nobody sets."""
    return time.monotonic_ns() // 1_000_000


class BrokerClock:
    """The broker's time, as it stood in its last answer to a write of ours, carried on by a clock that nobody sets.

    So a worker's own clock may be wrong, or be put right while it runs: timers follow the broker's. It never runs
    ahead: the answer was given before it was heard.
    """

    def __init__(self, monotonic: Callable[[], int] = monotonic_ms) -> None:
        self._monotonic = monotonic
        self._ahead: int | None = None

    def heard(self, timestamp: int) -> None:
        """A record of ours was given this time (epoch ms) by the broker."""
        self._ahead = timestamp - self._monotonic()

    def at(self, monotonic: int) -> int:
        """The broker's time (epoch ms) at this moment; 0 before anything was heard."""
        return 0 if self._ahead is None else monotonic + self._ahead

    def now(self) -> int:
        """The broker's time (epoch ms)."""
        return self.at(self._monotonic())


class LiveProgress:
    """Progress by the broker's clock, over the inputs that the stage joins.

    It does not run ahead of `wall`, the broker's clock: on a topic that keeps its writers' times one of them may lie
    in the far future, and progress cannot go back.
    """

    def __init__(self, inputs: Iterable[str], wall: Callable[[], int]) -> None:
        self._inputs = dict.fromkeys(inputs, 0)
        self._wall = wall
        self.now = 0

    def read(self, topic: str, timestamp: int) -> int:
        """A record of `topic` with this broker time (epoch ms) is about to be taken, or its end was seen then."""
        if timestamp > self._inputs[topic]:
            self._inputs[topic] = min(timestamp, self._wall())
            self.now = max(self.now, min(self._inputs.values()))
        return self.now

    def saw(self, _event_time: int) -> int:
        """Event time does not matter here."""
        return self.now

    def watermark(self, _topic: str, _source: str, _at: int) -> int:
        """Watermarks do not matter here."""
        return self.now

    def is_ahead(self, _topic: str) -> bool:
        """Records are taken as they come."""
        return False

    def leave(self) -> None:
        """Nobody waits for it."""


class EventProgress:
    """Progress by the data's own time; `sources` are, by input, those whose watermarks have to arrive on it.

    `siblings` is a list that the partitions of one stage share; each enters itself.
    """

    def __init__(self, sources: Mapping[str, Iterable[str]], siblings: list["EventProgress"]) -> None:
        self._times = {topic: dict.fromkeys(names, 0) for topic, names in sources.items()}
        self._siblings = siblings
        siblings.append(self)
        self.now = 0

    def read(self, _topic: str, _timestamp: int) -> int:
        """The broker's clock does not matter here."""
        return self.now

    def saw(self, event_time: int) -> int:
        """A record of this time (epoch ms) has been taken, by a stage at the head."""
        if event_time > self.now:
            self.now = event_time
        return self.now

    def watermark(self, topic: str, source: str, at: int) -> int:
        """`source` promises that nothing older than `at` will come from it on `topic`."""
        times = self._times[topic]
        if source in times:
            times[source] = max(times[source], at)
            self.now = max(self.now, self.held_at())
        return self.now

    def is_ahead(self, topic: str) -> bool:
        """Whether the next records of `topic` must wait for other inputs or partitions."""
        return self._time_of(topic) > min(sibling.held_at() for sibling in self._siblings)

    def leave(self) -> None:
        """The others need not wait for it any more."""
        if self in self._siblings:
            self._siblings.remove(self)

    def held_at(self) -> int:
        """The least time that an input stands at."""
        return min(map(self._time_of, self._times))

    def _time_of(self, topic: str) -> int:
        return min(self._times[topic].values())


class GivenProgress:
    """Progress as whoever drives the partition says it: `now` is theirs to set, and must not go back."""

    def __init__(self) -> None:
        self.now = 0

    def read(self, _topic: str, _timestamp: int) -> int:
        """The broker's clock does not matter here."""
        return self.now

    def saw(self, _event_time: int) -> int:
        """Event time does not matter here."""
        return self.now

    def watermark(self, _topic: str, _source: str, _at: int) -> int:
        """Watermarks do not matter here."""
        return self.now

    def is_ahead(self, _topic: str) -> bool:
        """Records are taken as they are given."""
        return False

    def leave(self) -> None:
        """Nobody waits for it."""


Progress = LiveProgress | EventProgress | GivenProgress
