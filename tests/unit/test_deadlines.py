"""When to look at what: never late, once, in order, whatever is added, moved or rebuilt in between."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.deadlines import Deadlines

keys = st.sampled_from("abcde")
moments = st.integers(0, 30)


class Looking(RuleBasedStateMachine):
    """The index beside a plain dict of the earliest time of each key."""

    def __init__(self) -> None:
        super().__init__()
        self.index: Deadlines[str] = Deadlines()
        self.model: dict[str, int] = {}
        self.now = 0

    @rule(key=keys, at=moments)
    def add(self, key: str, at: int) -> None:
        self.index.add(key, at)
        self.model[key] = min(at, self.model.get(key, at))

    @rule(entries=st.dictionaries(keys, moments))
    def rebuild(self, entries: dict[str, int]) -> None:
        self.index.rebuild(iter(entries.items()))
        self.model = dict(entries)

    @rule(now=moments)
    def due(self, now: int) -> None:
        found = list(self.index.due(now))
        expected = sorted((at, key) for key, at in self.model.items() if at <= now)
        assert found == [key for _, key in expected]
        for key in found:
            del self.model[key]

    @rule(now=moments, later=st.integers(1, 5))
    def put_back_while_looking(self, now: int, later: int) -> None:
        found = []
        for key in self.index.due(now):
            found.append(key)
            self.index.add(key, now + later)
        assert sorted(found) == sorted(key for key, at in self.model.items() if at <= now)
        self.model |= dict.fromkeys(found, now + later)

    @invariant()
    def holds_one_entry_a_key(self) -> None:
        assert len(self.index) == len(self.model)


TestDeadlines = Looking.TestCase
TestDeadlines.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_key_is_due_exactly_at_its_time() -> None:
    index: Deadlines[str] = Deadlines()
    index.add("a", 10)
    assert list(index.due(9)) == []
    assert list(index.due(10)) == ["a"]
    assert list(index.due(11)) == []


def test_later_time_of_a_key_costs_nothing_until_its_old_time_comes() -> None:
    index: Deadlines[str] = Deadlines()
    for at in range(10, 100_000):
        index.add("a", at)
    assert len(index._heap) == 1
    assert list(index.due(10)) == ["a"]


@given(st.lists(st.tuples(keys, moments)))
def test_index_holds_no_more_entries_than_were_needed(entries: list[tuple[str, int]]) -> None:
    index: Deadlines[str] = Deadlines()
    for key, at in entries:
        index.add(key, at)
    assert len(index._heap) <= len(entries)
    list(index.due(30))
    assert index._heap == []
