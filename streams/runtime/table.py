"""State of one partition: packed bytes by key as the changelog has them, unpacked while in use, and its timers.

What changes is packed once per key and commit. A state that nobody touches costs its bytes and no objects, so
millions of them fit, and a restore puts the changelog's bytes in place as they are. Past a limit the states that
changed longest ago go to disk (spill.py).

A state must say which input made it (the offset it was folded up to), because after a crash the input since the
last commit is read again, while the changelog may already hold newer states.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

import msgspec

from streams.runtime.spill import Spill
from streams.runtime.timers import NEVER, Timers

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")

IN_USE: Final = 20_000  # states that stay unpacked although nothing touches them
COST: Final = 200  # bytes beside key and state: two objects, a place in a dict, a place among the timers

_pack = msgspec.msgpack.Encoder().encode


class Table(Generic[K, S]):
    """The states of one partition by key. A key of type bytes is taken as it is, others are packed."""

    def __init__(
        self,
        key: Any = Any,
        state: Any = Any,
        *,
        spill: Spill | None = None,
        most_bytes: int = 0,
        in_use: int = IN_USE,
    ) -> None:
        self._plain = key is bytes
        self._unpack_key: Callable[[bytes], K] = msgspec.msgpack.Decoder(key).decode
        self._unpack: Callable[[bytes], S] = msgspec.msgpack.Decoder(state).decode
        self._packed: dict[bytes, bytes] = {}  # with a spill, in the order of their last change
        self._young: dict[bytes, S | None] = {}  # unpacked, used since the last turn; None: deleted, not yet written
        self._old: dict[bytes, S] = {}  # unpacked, used before that
        self._dirty: set[bytes] = set()  # all of them are young
        self._wake: Callable[[Any], int] | None = None
        self._head: Callable[[bytes], Any] = self._unpack
        self._timers = Timers()
        self._places: dict[bytes, int] = {}  # where the timer of an unpacked state is: at its wake or before
        self._spill = spill
        self._most_bytes = most_bytes
        self._in_use = in_use
        self.on_due: Callable[[int], None] = lambda _at: None  # told of each timer that is looked at
        self.bytes = 0  # of keys and packed states in memory

    def __len__(self) -> int:
        new = sum(raw not in self._packed and self._young[raw] is not None for raw in self._dirty)
        gone = sum(raw in self._packed and self._young[raw] is None for raw in self._dirty)
        return len(self._packed) + new - gone + (0 if self._spill is None else len(self._spill))

    # -- states ------------------------------------------------------------------------------------------------
    def get(self, key: K) -> S | None:
        """The state of `key`, or None. Whoever changes it puts it back."""
        raw: Any = key if self._plain else _pack(key)
        state = self._young.get(raw)
        return self._bring(raw) if state is None else state

    def put(self, key: K, state: S, wake: int | None = None) -> None:
        """Keep `state` and have it written at the next commit; `wake` saves asking when it wants to be looked at."""
        raw: Any = key if self._plain else _pack(key)
        self._young[raw] = state
        self._dirty.add(raw)
        if self._wake is not None:
            at = self._wake(state) if wake is None else wake
            place = self._places.get(raw)
            if place is None or at < place:
                self._move(raw, place, at)

    def delete(self, key: K) -> None:
        """Forget `key`, on the broker too at the next commit."""
        raw: Any = key if self._plain else _pack(key)
        if self._bring(raw) is None:
            return
        self._young[raw] = None
        self._dirty.add(raw)
        place = self._places.pop(raw, None)
        if place is not None:
            self._timers.discard(raw, place)

    def items(self) -> Iterator[tuple[K, S]]:
        """Every key with its state, in no order; what is changed meanwhile may come as it was or as it is."""
        new = [raw for raw in self._dirty if raw not in self._packed]
        for raw in [*self._packed, *new]:
            if (state := self._look(raw)) is not None:
                yield self._key(raw), state
        for raw, packed in self._spill or ():
            yield self._key(raw), self._unpack(packed)

    # -- timers ------------------------------------------------------------------------------------------------
    def wake_by(self, wake: Callable[[Any], int], head: Any = None) -> None:
        """Have `due` find each key when time has come to `wake(state)` (epoch ms, NEVER for never).

        `head` is a type of the first fields of the state, with all that `wake` reads: so the timers of packed states
        are set without unpacking them. When `wake` begins to answer differently, call `reindex`.
        """
        self._wake = wake
        self._head = self._unpack if head is None else msgspec.msgpack.Decoder(head).decode

    @property
    def next_due(self) -> int:
        """Nothing is due before (epoch ms)."""
        return self._timers.next

    def due(self, now: int) -> Iterator[K]:
        """The keys whose time is at or before `now`, earliest first. Each must be put again or deleted.

        What is put again for a time that has also come is found again.
        """
        timers = self._timers
        while timers.next <= now:
            for at, raw in timers.take(now):
                if self._is_due(raw, at):
                    self.on_due(at)
                    yield self._key(raw)
            if (bucket := timers.reach(now)) is not None:
                timers.lay_out([(self._place(raw), raw) for raw in bucket])
            if self._spill is not None:
                for raw, packed in self._spill.take_due(now):
                    self._admit(raw, packed)
            self._settle_timers()

    def reindex(self) -> None:
        """Set all timers anew."""
        self.index()
        if self._spill is not None and self._wake is not None:
            wake, head = self._wake, self._head
            self._spill.reindex(lambda packed: wake(head(packed)))
            self._settle_timers()

    # -- what the runtime uses -----------------------------------------------------------------------------------
    def load_all(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Take in states as the changelog has them; None deletes. `index` comes when all have been loaded."""
        if self._spill is not None:
            for raw, packed in changes:
                self.load(raw, packed)
            self.cool()
            return
        held = self._packed
        for raw, packed in changes:
            if packed is None:
                held.pop(raw, None)
            else:
                held[raw] = packed

    def load(self, raw: bytes, packed: bytes | None) -> None:
        """Take in one state as the changelog has it; None deletes."""
        before = self._packed.pop(raw, None)  # a change moves it behind all others
        if before is not None:
            self.bytes -= len(raw) + len(before)
        elif self._spill is not None:
            self._spill.take(raw)
        if packed is not None:
            self._packed[raw] = packed
            self.bytes += len(raw) + len(packed)

    def index(self) -> None:
        """Set the timers of all that is in memory."""
        self.bytes = sum(map(len, self._packed)) + sum(map(len, self._packed.values()))
        self._timers, self._places = Timers(), {}
        if self._wake is None:
            return
        wake, head, unpacked = self._wake, self._head, self._old | self._young
        self._timers.fill(
            (raw, wake(head(packed))) for raw, packed in self._packed.items() if not unpacked or raw not in unpacked
        )
        for raw, state in unpacked.items():
            if state is not None:
                self._places[raw] = at = wake(state)
                self._timers.add(raw, at)
        self._settle_timers()

    def take_dirty(self) -> list[tuple[bytes, bytes | None]]:
        """What changed since the last call, packed: (key, state), None for a deleted one."""
        dirty, self._dirty = self._dirty, set()
        changes: list[tuple[bytes, bytes | None]] = []
        for raw in dirty:
            state = self._young[raw]
            packed = None if state is None else _pack(state)
            self.load(raw, packed)
            changes.append((raw, packed))
            if state is None:
                del self._young[raw]
            elif self._wake is not None:
                at, place = self._wake(state), self._places.get(raw)
                if at != place:
                    self._move(raw, place, at)
        if len(self._young) > self._in_use:
            for raw in self._old:
                if raw not in self._young:
                    self._places.pop(raw, None)
            self._old, self._young = self._young, {}  # type: ignore[assignment]  # all that was deleted is gone
        return changes

    def cool(self) -> None:
        """Send what is beyond the limit to disk, what changed longest ago first."""
        if self._spill is None:
            return
        excess = self.bytes + COST * len(self._packed) - self._most_bytes
        cold: list[tuple[bytes, bytes, int]] = []
        for raw, packed in self._packed.items():
            if excess <= 0:
                break
            if raw not in self._young and raw not in self._old:
                cold.append((raw, packed, NEVER if self._wake is None else self._wake(self._head(packed))))
                excess -= len(raw) + len(packed) + COST
        for raw, packed, at in cold:
            del self._packed[raw]
            self.bytes -= len(raw) + len(packed)
            self._timers.discard(raw, at)
        if cold:
            self._spill.put(cold)
            self._settle_timers()

    def close(self) -> None:
        """Let go of the disk."""
        if self._spill is not None:
            self._spill.close()

    # -- inside --------------------------------------------------------------------------------------------------
    def _key(self, raw: bytes) -> Any:
        return raw if self._plain else self._unpack_key(raw)

    def _look(self, raw: bytes) -> S | None:
        """The state of `raw`, which stays as it is."""
        if raw in self._young:
            return self._young[raw]
        if raw in self._old:
            return self._old[raw]
        packed = self._packed.get(raw)
        return None if packed is None else self._unpack(packed)

    def _bring(self, raw: bytes) -> S | None:
        """The state of `raw`, unpacked and young from now on."""
        if raw in self._young:
            return self._young[raw]
        state = self._old.pop(raw, None)
        if state is None:
            packed = self._packed.get(raw)
            if packed is None and self._spill is not None and (packed := self._spill.take(raw)) is not None:
                self._admit(raw, packed)
            if packed is None:
                return None
            state = self._unpack(packed)
            if self._wake is not None:
                self._places[raw] = self._wake(state)
        self._young[raw] = state
        return state

    def _admit(self, raw: bytes, packed: bytes) -> None:
        """Back from disk."""
        self._packed[raw] = packed
        self.bytes += len(raw) + len(packed)
        self._timers.add(raw, self._place(raw))

    def _place(self, raw: bytes) -> int:
        """Where the timer of `raw` is."""
        place = self._places.get(raw)
        if place is None:
            place = NEVER if self._wake is None else self._wake(self._head(self._packed[raw]))
        return place

    def _move(self, raw: bytes, place: int | None, at: int) -> None:
        if place is not None:
            self._timers.discard(raw, place)
        self._timers.add(raw, at)
        self._places[raw] = at

    def _is_due(self, raw: bytes, at: int) -> bool:
        """Whether the timer of `raw` at `at` still holds; one that has been put off is moved."""
        state = self._bring(raw)
        if state is None or self._places.get(raw) != at or self._wake is None:
            return False
        del self._places[raw]  # `put` sets it again
        if (wake := self._wake(state)) > at:
            self._move(raw, None, wake)
            return False
        return True

    def _settle_timers(self) -> None:
        self._timers.settle(NEVER if self._spill is None else self._spill.next_due)
