"""Progress never runs ahead of the wall clock, whatever a record's time says."""

from streams.runtime.progress import LiveProgress


def test_a_record_from_the_future_moves_time_to_now_and_no_further() -> None:
    progress = LiveProgress(["topic"], lambda: 1_000)
    assert progress.read("topic", 999) == 999
    assert progress.read("topic", 4_102_444_800_000) == 1_000
    assert progress.read("topic", 998) == 1_000


def test_of_several_inputs_the_slowest_counts() -> None:
    progress = LiveProgress(["a", "b"], lambda: 1_000)
    assert progress.read("a", 700) == 0
    assert progress.read("b", 500) == 500
    assert progress.read("b", 900) == 700
