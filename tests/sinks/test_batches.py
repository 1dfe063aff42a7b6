"""Bounds of batches: the same after every crash, whatever the offsets."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.batches import Batch, Limits, Partition, intended_end, intent, token
from sinks.columns import gather
from tests.sinks.records import Kept

LIMITS = Limits(rows=3, size=1_000, age=timedelta(seconds=1))


def begin(start: int, *, end: int | None = None, limits: Limits = LIMITS) -> Partition:
    return Partition(start, end=end, limits=limits, gather=gather("cart-events"))


def record(offset: int, value: bytes | None = b"{}") -> Kept:
    return Kept(value, at=offset)


def seen(batch: Batch | None) -> tuple[int, int, list[int]] | None:
    return batch and (batch.start, batch.end, batch.rows.offsets)


def test_batch_closes_at_the_row_limit_and_starts_the_next_at_its_end() -> None:
    partition = begin(10)
    partition.add([record(x) for x in (10, 11, 15, 16)], now=0)
    assert seen(partition.take(now=0)) == (10, 16, [10, 11, 15])
    assert partition.take(now=0.999) is None
    assert seen(partition.take(now=1.0)) == (16, 17, [16])


def test_batch_closes_at_the_byte_limit() -> None:
    partition = begin(0, limits=Limits(size=120))
    partition.add([record(0, b"x" * 50)], now=0)
    assert partition.take(now=0) is None
    partition.add([record(1, b"x" * 50)], now=0)
    assert seen(partition.take(now=0)) == (0, 2, [0, 1])


def test_records_that_are_no_rows_move_the_end_only() -> None:
    partition = begin(0)
    partition.add([record(0, None)], now=0)
    assert seen(partition.take(now=1)) == (0, 1, [])


def test_batch_begun_before_a_crash_ends_where_it_was_meant_to_end() -> None:
    partition = begin(0, end=5)
    partition.add([record(x) for x in (0, 1, 2, 4)], now=0)
    assert partition.take(now=100) is None, "more rows and older than the limits, but not complete"
    partition.add([record(9)], now=0)
    assert seen(partition.take(now=0)) == (0, 5, [0, 1, 2, 4])
    assert seen(partition.take(now=1)) == (5, 10, [9])


def test_batch_begun_before_a_crash_is_found_among_what_came_with_it() -> None:
    partition = begin(0, end=5)
    partition.add([record(x) for x in range(20)], now=0)
    ends = [seen(partition.take(now=0)) for _ in range(7)]
    assert ends[0] == (0, 5, [0, 1, 2, 3, 4])
    assert [x[1] for x in ends if x] == [5, 8, 11, 14, 17, 20]


def test_end_of_the_partition_completes_what_compaction_took_away() -> None:
    partition = begin(0, end=5)
    partition.add([record(1)], now=0)
    partition.reached_end(5)
    assert seen(partition.take(now=0)) == (0, 5, [1])


@pytest.mark.parametrize("before", [[], [50, 51]])
def test_topic_made_anew_begins_anew(before: list[int]) -> None:
    partition = begin(50, end=60)
    partition.add([record(x) for x in [*before, 0]], now=0)
    assert seen(partition.take(now=1)) == (0, 1, [0])


def test_token_differs_by_place_bounds_and_content() -> None:
    others = [
        token("t", 0, (0, 3), b"a"),
        token("t", 0, (1, 2), b"a"),
        token("t", 0, (0, 2), b"b"),
        token("t", 1, (0, 2), b"a"),
        token("u", 0, (0, 2), b"a"),
    ]
    assert token("t", 0, (0, 2), b"a") not in others
    assert len(set(others)) == 5


def test_metadata_of_others_is_no_intent() -> None:
    assert intended_end(intent(7), 3) == 7
    for strange in (None, "", "end=", "end=x", "end=3", "end=2", "end=-9", "END=9", "end=9 ", "end=" + "9" * 30):
        assert intended_end(strange, 3) is None


@given(st.data())
def test_batch_is_the_same_however_often_it_is_begun_anew(data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=60))
    offsets = [sum(gaps[: i + 1]) - 1 for i in range(len(gaps))]
    start, end, rows = 0, None, list[int]()
    while start <= offsets[-1]:
        partition = begin(start, end=end)
        batch = None
        left = [x for x in offsets if x >= start]
        number = 0
        while left:
            size = data.draw(st.integers(1, 9), label="come together")
            some, left = left[:size], left[size:]
            partition.add([record(x) for x in some], now=number)
            if (batch := partition.take(now=number)) is not None:
                break
            number += 1
        if batch is None:
            partition.reached_end(offsets[-1] + 1)
            batch = partition.take(now=1_000)
        assert batch is not None
        assert end in (None, batch.end)
        if data.draw(st.booleans(), label="crash after the intent"):
            end = batch.end
            continue
        rows += batch.rows.offsets
        start, end = batch.end, None
    assert rows == offsets
