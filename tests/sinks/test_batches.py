"""Bounds of batches: the same after every crash, whatever the offsets."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sinks.batches import Batch, Limits, Partition, intended_end, intent, token

LIMITS = Limits(rows=3, size=1_000, age=timedelta(seconds=1))


def row(offset: int) -> bytes:
    return f"<{offset}>".encode()


def test_batch_closes_at_the_row_limit_and_starts_the_next_at_its_end() -> None:
    partition = Partition(10, limits=LIMITS)
    for offset in (10, 11, 15, 16):
        partition.add(offset, row(offset), now=0)
    assert partition.take(now=0) == Batch(start=10, end=16, rows=3, body=b"<10><11><15>")
    assert partition.take(now=0.999) is None
    assert partition.take(now=1.0) == Batch(start=16, end=17, rows=1, body=b"<16>")


def test_batch_closes_at_the_byte_limit() -> None:
    partition = Partition(0, limits=Limits(size=6))
    partition.add(0, b"1234", now=0)
    assert partition.take(now=0) is None
    partition.add(1, b"56", now=0)
    assert partition.take(now=0) == Batch(start=0, end=2, rows=2, body=b"123456")


def test_records_that_are_no_rows_move_the_end_only() -> None:
    partition = Partition(0, limits=LIMITS)
    partition.add(0, None, now=0)
    assert partition.take(now=1) == Batch(start=0, end=1, rows=0, body=b"")


def test_batch_begun_before_a_crash_ends_where_it_was_meant_to_end() -> None:
    partition = Partition(0, end=5, limits=LIMITS)
    for offset in (0, 1, 2, 4):
        partition.add(offset, row(offset), now=0)
    assert partition.take(now=100) is None, "more rows and older than the limits, but not complete"
    partition.add(9, row(9), now=0)
    assert partition.take(now=0) == Batch(start=0, end=5, rows=4, body=b"<0><1><2><4>")
    assert partition.take(now=1) == Batch(start=5, end=10, rows=1, body=b"<9>")


def test_end_of_the_partition_completes_what_compaction_took_away() -> None:
    partition = Partition(0, end=5, limits=LIMITS)
    partition.add(1, row(1), now=0)
    partition.reached_end(5)
    assert partition.take(now=0) == Batch(start=0, end=5, rows=1, body=b"<1>")


def test_topic_made_anew_begins_anew() -> None:
    partition = Partition(50, end=60, limits=LIMITS)
    partition.add(0, row(0), now=0)
    assert partition.take(now=1) == Batch(start=0, end=1, rows=1, body=b"<0>")


def test_token_differs_by_place_bounds_and_content() -> None:
    batch = Batch(start=0, end=2, rows=1, body=b"a")
    others = [
        token("t", 0, Batch(start=0, end=3, rows=1, body=b"a")),
        token("t", 0, Batch(start=1, end=2, rows=1, body=b"a")),
        token("t", 0, Batch(start=0, end=2, rows=1, body=b"b")),
        token("t", 1, batch),
        token("u", 0, batch),
    ]
    assert token("t", 0, batch) not in others
    assert len(set(others)) == 5


def test_metadata_of_others_is_no_intent() -> None:
    assert intended_end(intent(7), 3) == 7
    for strange in (None, "", "end=", "end=x", "end=3", "end=2", "end=-9", "END=9", "end=9 ", "end=" + "9" * 30):
        assert intended_end(strange, 3) is None


@given(st.data())
def test_batch_is_the_same_however_often_it_is_begun_anew(data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=60))
    offsets = [sum(gaps[: i + 1]) - 1 for i in range(len(gaps))]
    start, end, seen = 0, None, b""
    while start <= offsets[-1]:
        partition = Partition(start, end=end, limits=LIMITS)
        batch = None
        for number, offset in enumerate(x for x in offsets if x >= start):
            partition.add(offset, row(offset), now=number)
            if (batch := partition.take(now=number)) is not None:
                break
        if batch is None:
            partition.reached_end(offsets[-1] + 1)
            batch = partition.take(now=1_000)
        assert batch is not None
        assert end in (None, batch.end)
        if data.draw(st.booleans(), label="crash after the intent"):
            end = batch.end
            continue
        seen += batch.body
        start, end = batch.end, None
    assert seen == b"".join(map(row, offsets))
