"""When to look at which key again: found in order of time, at the cost of a pointer a key.

Far keys lie in buckets of about a minute; the bucket that time has reached is laid out in a heap, so keys come out
at their very millisecond. Moving a key away from the heap leaves its entry there: whoever takes it out asks whether
it still holds.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Final

NEVER: Final = 2**63 - 1
_SHIFT: Final = 16  # a bucket is 65.536 s wide


class Timers:
    """Keys by time (epoch milliseconds). Nothing is due before `next`."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[bytes]] = {}
        self._filled: dict[int, list[bytes]] = {}  # buckets as they were at first: a fifth of the size of a set
        self._order: list[int] = []  # a heap of the buckets' numbers
        self._near: list[tuple[int, bytes]] = []  # a heap of what the buckets before `_horizon` had
        self._horizon = -(2**63)
        self.next = NEVER

    def add(self, key: bytes, at: int) -> None:
        """Have `key` come out at `at`."""
        if at >= NEVER:
            return
        number = at >> _SHIFT
        if number < self._horizon:
            heappush(self._near, (at, key))
            self.next = min(self.next, at)
            return
        bucket = self._buckets.get(number)
        if bucket is None:
            self._buckets[number] = {key}
            if number not in self._filled:
                heappush(self._order, number)
                self.next = min(self.next, number << _SHIFT)
        else:
            bucket.add(key)

    def fill(self, entries: Iterable[tuple[bytes, int]]) -> None:
        """Add many keys, each at its time, before anything was taken out."""
        filled: defaultdict[int, list[bytes]] = defaultdict(list)
        for key, at in entries:
            filled[at >> _SHIFT].append(key)
        filled.pop(NEVER >> _SHIFT, None)
        self._filled, self._order = dict(filled), sorted(filled)
        self.settle()

    def discard(self, key: bytes, at: int) -> None:
        """Take `key` back from `at`; where it was filled in, or is in the heap already, it stays until that time."""
        bucket = self._buckets.get(at >> _SHIFT)
        if bucket is not None:
            bucket.discard(key)

    def reach(self, now: int) -> set[bytes] | None:
        """The keys of the next bucket that begins at or before `now`, to be laid out; None when there is none."""
        if not self._order or self._order[0] << _SHIFT > now:
            return None
        number = heappop(self._order)
        self._horizon = number + 1
        return self._buckets.pop(number, set()).union(self._filled.pop(number, ()))

    def lay_out(self, entries: list[tuple[int, bytes]]) -> None:
        """Keys of a bucket that was reached, with their exact times; what has moved on to a later one is left out."""
        self._near.extend(entry for entry in entries if entry[0] >> _SHIFT < self._horizon)
        heapify(self._near)

    def take(self, now: int) -> Iterator[tuple[int, bytes]]:
        """Take entries out of the heap that are at or before `now`, earliest first; some may not hold any more."""
        near = self._near
        while near and near[0][0] <= now:
            yield heappop(near)

    def settle(self, beyond: int = NEVER) -> None:
        """Set `next` after keys were taken out; nothing that is kept elsewhere is due before `beyond`."""
        near = self._near[0][0] if self._near else NEVER
        far = self._order[0] << _SHIFT if self._order else NEVER
        self.next = min(near, far, beyond)
