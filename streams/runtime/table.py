"""State of one partition: packed bytes by key as the changelog has them, unpacked while in use, and its timers.

What changes is packed once per key and commit. A state that nobody touches costs its bytes and no objects, so
millions of them fit, and a restore puts the changelog's bytes in place as they are. Past a limit the states that
changed longest ago go to disk (spill.py).

A state must say which input made it (the offset it was folded up to), because after a crash the input since the
last commit is read again, while the changelog may already hold newer states.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, MutableMapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from streams.runtime.shards import Shards
from streams.runtime.spill import Spill
from streams.runtime.timers import NEVER, Timers

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")

IN_USE: Final = 20_000  # states that stay unpacked although nothing touches them
COST: Final = 200  # bytes beside key and state: two objects, a place in a dict, a place among the timers

_pack_into = msgspec.msgpack.Encoder().encode_into
_buffer = bytearray()


def _pack(value: Any) -> bytes:
    """In a place of its very size: what `encode` returns was shrunk and leaves a gap, a third of all memory."""
    _pack_into(value, _buffer)
    return bytes(_buffer)


class _Used(Generic[S]):
    """A state in use."""

    __slots__ = ("changed", "place", "state")

    def __init__(self, state: S | None, place: int) -> None:
        self.state = state  # None: deleted, not yet written
        self.place = place  # where its timer is: at its wake or before
        self.changed = False  # since the last commit


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
        # with a spill, in the order of their last change: then it is not so large that its growth is felt
        self._packed: MutableMapping[bytes, bytes] = Shards() if spill is None else {}
        self._young: dict[bytes, _Used[S]] = {}  # used since the last turn
        self._old: dict[bytes, _Used[S]] = {}  # used before that
        self._changed: list[bytes] = []  # all of them are young
        self._wake: Callable[[Any], int] | None = None
        self._head: Callable[[bytes], Any] = self._unpack
        self._timers = Timers()
        self._spill = spill
        self._most_bytes = most_bytes
        self._in_use = in_use
        self.on_due: Callable[[int], None] = lambda _at: None  # told of each timer that is looked at
        self.bytes = 0  # of keys and packed states in memory

    def __len__(self) -> int:
        new = sum(raw not in self._packed and self._young[raw].state is not None for raw in self._changed)
        gone = sum(raw in self._packed and self._young[raw].state is None for raw in self._changed)
        return len(self._packed) + new - gone + (0 if self._spill is None else len(self._spill))

    # -- states ------------------------------------------------------------------------------------------------
    def get(self, key: K) -> S | None:
        """The state of `key`, or None. Whoever changes it puts it back."""
        raw: Any = key if self._plain else _pack(key)
        used = self._young.get(raw) or self._bring(raw)
        return None if used is None else used.state

    def put(self, key: K, state: S, wake: int | None = None) -> None:
        """Keep `state` and have it written at the next commit; `wake` saves asking when it wants to be looked at."""
        raw: Any = key if self._plain else _pack(key)
        used = self._young.get(raw)
        if used is None:
            old = self._old.pop(raw, None)
            used = self._young[raw] = _Used(state, NEVER) if old is None else old
        used.state = state
        if not used.changed:
            used.changed = True
            self._changed.append(raw)
        if self._wake is not None:
            at = self._wake(state) if wake is None else wake
            if at < used.place:
                self._move(raw, used, at)

    def delete(self, key: K) -> None:
        """Forget `key`, on the broker too at the next commit."""
        raw: Any = key if self._plain else _pack(key)
        used = self._bring(raw)
        if used is None or used.state is None:
            return
        used.state = None
        if not used.changed:
            used.changed = True
            self._changed.append(raw)
        self._timers.discard(raw, used.place)
        used.place = NEVER

    def items(self) -> Iterator[tuple[K, S]]:
        """Every key with its state, in no order; what is changed meanwhile may come as it was or as it is."""
        new = [raw for raw in self._changed if raw not in self._packed]
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
        if not isinstance(self._packed, Shards):
            for raw, packed in changes:
                self.load(raw, packed)
            self.cool()
            return
        held = self._packed.first
        for raw, packed in changes:
            if packed is None:
                held.pop(raw, None)
            else:
                held[raw] = packed

    def load(self, raw: bytes, packed: bytes | None) -> None:
        """Take in one state as the changelog has it; None deletes."""
        held = self._packed
        # with a spill a change moves it behind all others
        before = held.pop(raw, None) if packed is None or self._spill is not None else held.get(raw)
        if before is not None:
            self.bytes -= len(raw) + len(before)
        elif self._spill is not None:
            self._spill.take(raw)
        if packed is not None:
            held[raw] = packed
            self.bytes += len(raw) + len(packed)

    def index(self) -> None:
        """Set the timers of all that is in memory."""
        self.bytes = sum(map(len, self._packed)) + sum(map(len, self._packed.values()))
        self._timers = Timers()
        if self._wake is None:
            return
        wake, head, used = self._wake, self._head, self._old | self._young
        self._timers.fill(
            (raw, wake(head(packed))) for raw, packed in self._packed.items() if not used or raw not in used
        )
        for raw, one in used.items():
            one.place = NEVER
            if one.state is not None:
                self._move(raw, one, wake(one.state))
        self._settle_timers()

    def take_dirty(self) -> list[tuple[bytes, bytes | None]]:
        """What changed since the last call, packed: (key, state), None for a deleted one."""
        changed, self._changed = self._changed, []
        changes: list[tuple[bytes, bytes | None]] = []
        young, wake = self._young, self._wake
        for raw in changed:
            used = young[raw]
            state = used.state
            if state is None:
                packed = None
                del young[raw]
            else:
                used.changed = False
                packed = _pack(state)
                if wake is not None and (at := wake(state)) != used.place:
                    self._move(raw, used, at)
            self.load(raw, packed)
            changes.append((raw, packed))
        if len(young) > self._in_use:
            self._old, self._young = young, {}
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
        used = self._young.get(raw) or self._old.get(raw)
        if used is not None:
            return used.state
        packed = self._packed.get(raw)
        return None if packed is None else self._unpack(packed)

    def _bring(self, raw: bytes) -> _Used[S] | None:
        """The state of `raw`, unpacked and young from now on."""
        used = self._young.get(raw) or self._old.pop(raw, None)
        if used is None:
            packed = self._packed.get(raw)
            if packed is None and self._spill is not None and (packed := self._spill.take(raw)) is not None:
                self._admit(raw, packed)
            if packed is None:
                return None
            state = self._unpack(packed)
            used = _Used(state, NEVER if self._wake is None else self._wake(state))
        self._young[raw] = used
        return used

    def _admit(self, raw: bytes, packed: bytes) -> None:
        """Back from disk."""
        self._packed[raw] = packed
        self.bytes += len(raw) + len(packed)
        self._timers.add(raw, self._place(raw))

    def _place(self, raw: bytes) -> int:
        """Where the timer of `raw` is; NEVER when there is none in memory."""
        used = self._young.get(raw) or self._old.get(raw)
        if used is not None:
            return used.place
        packed = self._packed.get(raw)
        return NEVER if packed is None or self._wake is None else self._wake(self._head(packed))

    def _move(self, raw: bytes, used: _Used[S], at: int) -> None:
        if used.place != NEVER:
            self._timers.discard(raw, used.place)
        self._timers.add(raw, at)
        used.place = at

    def _is_due(self, raw: bytes, at: int) -> bool:
        """Whether the timer of `raw` at `at` still holds; one that has been put off is moved."""
        used = self._bring(raw)
        if used is None or used.state is None or used.place != at or self._wake is None:
            return False
        used.place = NEVER  # `put` sets it again
        if (wake := self._wake(used.state)) > at:
            self._move(raw, used, wake)
            return False
        return True

    def _settle_timers(self) -> None:
        self._timers.settle(NEVER if self._spill is None else self._spill.next_due)
