"""When to look at what again: one entry a key, found in order of time.

An entry may be early, never late: whoever takes it decides anew and puts the key back. So a key whose time moves
on with each event costs nothing until its old time comes.
"""

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """A due-index; times are epoch milliseconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Any]] = []
        self._held: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, key: K, at: int) -> None:
        """Look at `key` when time has come to `at`, or before if it is already to be looked at earlier."""
        if at < self._held.get(key, at + 1):
            self._held[key] = at
            heappush(self._heap, (at, key))

    def rebuild(self, entries: Iterator[tuple[K, int]]) -> None:
        """Forget everything and start from `entries`."""
        self._held = dict(entries)
        self._heap = [(at, key) for key, at in self._held.items()]
        heapify(self._heap)

    def due(self, now: int) -> Iterator[K]:
        """Take out the keys whose time is at or before `now`, earliest first."""
        heap, held = self._heap, self._held
        while heap and heap[0][0] <= now:
            at, key = heappop(heap)
            if held.get(key) == at:  # else an earlier entry has taken its place
                del held[key]
                yield key
