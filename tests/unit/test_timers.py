"""A table beside a plain dict: every state is found, every timer comes once and in time, whatever is evicted,
spilled to disk, put off, pulled forward, deleted or read back from the changelog in between."""

import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec import Struct

from streams.runtime import Table
from streams.runtime.spill import Spill
from streams.runtime.timers import NEVER, Timers

BUCKET = 1 << 16
keys = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
START = 20 * BUCKET  # before which no rule moves anything
moments = st.one_of(st.integers(START, START + 30), st.integers(START, START + 6 * BUCKET), st.just(NEVER))


class Head(Struct, array_like=True):
    at: int


class State(Head, array_like=True):
    text: str = ""


class Looking(RuleBasedStateMachine):
    """`model` is what the table should hold; `later` moves all timers, as a changed rule does."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model: dict[bytes, State] = {}
        self.changelog: dict[bytes, bytes] = {}
        self.later = 0
        self.made = 0
        self.table = self.make()

    def make(self) -> Table[bytes, State]:
        self.made += 1
        table = Table[bytes, State](bytes, State, spill=self.spill(), most_bytes=500, in_use=1)
        table.wake_by(self.wake, Head)
        return table

    def spill(self) -> Spill | None:
        return None

    def wake(self, state: Head) -> int:
        return state.at if state.at == NEVER else state.at + self.later

    @rule(key=keys, at=moments, text=st.text(max_size=3))
    def put(self, key: bytes, at: int, text: str) -> None:
        state = self.table.get(key) or State(0)
        state.at, state.text = at, text
        self.table.put(key, state)
        self.model[key] = State(at, text)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.table.delete(key)
        self.model.pop(key, None)

    @rule()
    def commit(self) -> None:
        for key, packed in self.table.take_dirty():
            if packed is None:
                self.changelog.pop(key, None)
            else:
                self.changelog[key] = packed
        self.table.cool()

    @rule()
    def restart(self) -> None:
        self.commit()
        self.table.close()
        self.table = self.make()
        for key, packed in self.changelog.items():
            self.table.load(key, packed)
        self.table.cool()
        self.table.index()

    @rule(later=st.sampled_from([-BUCKET, 0, 5, BUCKET]))
    def change_the_rule(self, later: int) -> None:
        self.later = later
        self.table.reindex()

    @rule(now=st.integers(START, START + 6 * BUCKET), put_off=st.sampled_from([1, BUCKET, 3 * BUCKET, None]))
    def look(self, now: int, put_off: int | None) -> None:
        due = {key: self.wake(state) for key, state in self.model.items() if self.wake(state) <= now}
        assert self.table.next_due <= min([*due.values(), NEVER])
        found = []
        for key in self.table.due(now):
            found.append((due[key], key))
            state = self.table.get(key)
            assert state == self.model[key]
            if put_off is None:
                self.delete(key)
            else:
                self.put(key, now + put_off - self.later, "put off")
        assert sorted(found) == sorted((at, key) for key, at in due.items())
        assert [at for at, _ in found] == sorted(due.values())
        assert self.table.next_due > now

    @invariant()
    def holds_what_it_should(self) -> None:
        assert len(self.table) == len(self.model)
        assert dict(self.table.items()) == self.model

    def teardown(self) -> None:
        self.table.close()
        shutil.rmtree(self.folder)


class Spilling(Looking):
    """With room for no more than one or two states in memory."""

    def spill(self) -> Spill | None:
        return Spill(self.folder / str(self.made))


TestInMemory = Looking.TestCase
TestInMemory.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestSpilling = Spilling.TestCase
TestSpilling.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_key_is_due_exactly_at_its_time() -> None:
    table = Table[bytes, State](bytes, State)
    table.wake_by(lambda state: int(state.at), Head)
    table.put(b"a", State(10))
    assert list(table.due(9)) == []
    assert list(table.due(10)) == [b"a"]


def test_later_time_of_a_key_costs_nothing_until_its_old_time_comes() -> None:
    table = Table[bytes, State](bytes, State)
    table.wake_by(lambda state: int(state.at), Head)
    for at in range(10, 10_000):
        table.put(b"a", State(at))
    assert table.next_due == 0, "of the bucket that it is in"
    assert list(table.due(10)) == []
    assert table.next_due == 9_999


def test_packed_states_wait_without_objects_of_their_own() -> None:
    table = Table[bytes, State](bytes, State, in_use=0)
    table.wake_by(lambda state: int(state.at), Head)
    for n in range(1_000):
        table.put(b"%d" % n, State(n))
        table.take_dirty()
    assert len(table._young) + len(table._old) < 10
    assert len(list(table.due(500))) == 501


def test_keys_may_be_any_type_that_packs() -> None:
    table = Table[tuple[str, int], State](tuple[str, int], State, in_use=0)
    table.put(("a", 1), State(1))
    assert table.take_dirty() == [(msgspec.msgpack.encode(("a", 1)), msgspec.msgpack.encode(State(1)))]
    assert list(table.items()) == [(("a", 1), State(1))]


@pytest.mark.parametrize("at", [0, BUCKET - 1, BUCKET, 2**62])
def test_timers_say_when_nothing_is_due(at: int) -> None:
    timers = Timers()
    timers.add(b"a", at)
    assert timers.next <= at
    timers.add(b"b", NEVER)
    assert timers.next <= at
