"""Progress: how far time has come on one partition. It never goes back.

Live: while records are waiting, the broker's time of the last one read; once every input has been read to its
end, the wall clock at the moment that was known. So a backlog delays timers and never fires them early, and a
silent input still fires them.

Event time: what the data says. A stage at the head reports each record's own time with `saw`; others are told by
watermarks ("nothing older will come from this source") and stand at the least of them.
"""

from collections.abc import Iterable


class LiveProgress:
    """Progress by the broker's clock, over the inputs that the stage joins."""

    def __init__(self, inputs: Iterable[str]) -> None:
        self._inputs = dict.fromkeys(inputs, 0)
        self.now = 0

    def read(self, topic: str, timestamp: int) -> int:
        """A record of `topic` with this broker time (epoch ms) is about to be taken, or its end was seen then."""
        if timestamp > self._inputs[topic]:
            self._inputs[topic] = timestamp
            least = min(self._inputs.values())
            self.now = max(self.now, least)
        return self.now

    def saw(self, _event_time: int) -> int:
        """Event time does not matter here."""
        return self.now

    def watermark(self, _source: str, _at: int) -> int:
        """Watermarks do not matter here."""
        return self.now


class EventProgress:
    """Progress by the data's own time; `sources` are those whose watermarks all have to arrive."""

    def __init__(self, sources: Iterable[str]) -> None:
        self._sources = dict.fromkeys(sources, 0)
        self.now = 0

    def read(self, _topic: str, _timestamp: int) -> int:
        """The broker's clock does not matter here."""
        return self.now

    def saw(self, event_time: int) -> int:
        """A record of this time (epoch ms) has been taken."""
        self.now = max(self.now, event_time)
        return self.now

    def watermark(self, source: str, at: int) -> int:
        """`source` promises that nothing older than `at` will come from it."""
        if source in self._sources:
            self._sources[source] = max(self._sources[source], at)
            self.now = max(self.now, min(self._sources.values()))
        return self.now


Progress = LiveProgress | EventProgress
