"""Files to topics: order, bounds, damage, progress."""

import gzip
import tracemalloc
from pathlib import Path

import pytest

from cartwake.errors import ConfigurationError, KafkaUnavailable
from ingest.line import MAX_LINE
from ingest.replay import calendar_order, feed, open_lines
from tests.ingest.shop_events import AT_MS, RecordingPublisher, raw

HEADER = "event_time,event_type,product_id,price,user_id,user_session\n"


def month(path: Path, day: str, *kinds: str) -> Path:
    path.write_text(HEADER + "".join(f"{day} 00:00:0{n} UTC,{k},1,2.50,4,s-1\n" for n, k in enumerate(kinds)))
    return path


def lines_of(path: Path) -> list[bytes]:
    return [line for _, lines in open_lines([path]) for line in lines]


def test_records_go_out_in_file_order_under_their_keys(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_bytes(raw(event_id="1") + b"\n\n" + raw(event_id="2", cart_id="c-2"))
    second.write_bytes(raw(event_id="3") + b"\n")
    publisher = RecordingPublisher()
    result = feed([second, first], "cartwake", "main", publisher)
    assert publisher.records == [
        ("cart-events", "c-81", raw(event_id="3")),
        ("cart-events", "c-81", raw(event_id="1")),
        ("cart-events", "c-2", raw(event_id="2", cart_id="c-2")),
    ]
    assert (result.lines, result.rejected, result.records) == (3, 0, 3)
    assert result.first_occurred_at == result.max_occurred_at == AT_MS
    assert publisher.flushed == 1


def test_lines_rejected_and_records_are_counted_and_a_view_moves_the_largest_time(tmp_path: Path) -> None:
    file = month(tmp_path / "oct.csv", "2022-10-01", "cart", "click", "purchase", "view")
    rejected: list[tuple[Path, int, str]] = []
    result = feed(
        [file], "rees46", "main", RecordingPublisher(), on_rejected=lambda path, n, why: rejected.append((path, n, why))
    )
    assert (result.lines, result.rejected, result.records) == (4, 1, 2)
    assert (result.first_occurred_at, result.max_occurred_at) == (1_664_582_400_000, 1_664_582_403_000)
    ((path, number, why),) = rejected
    assert (path, number) == (file, 3)
    assert "click" in why


def test_nothing_read_has_no_times(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    result = feed([empty], "cartwake", "main", RecordingPublisher())
    assert (result.lines, result.first_occurred_at, result.max_occurred_at) == (0, None, None)


def test_a_gzip_file_is_the_same_events_as_its_plain_one(tmp_path: Path) -> None:
    plain = month(tmp_path / "oct.csv", "2022-10-01", "cart", "purchase")
    packed = tmp_path / "oct.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    sent = []
    for path in (plain, packed):
        publisher = RecordingPublisher()
        feed([path], "rees46", "main", publisher)
        sent.append(publisher.records)
    assert sent[0] == sent[1] != []


def test_a_damaged_gzip_file_is_one_rejection_and_the_next_file_is_read(tmp_path: Path) -> None:
    damaged, no_gzip, sound = tmp_path / "d.gz", tmp_path / "n.gz", tmp_path / "s"
    damaged.write_bytes(gzip.compress(raw() + b"\n")[:-12])
    no_gzip.write_bytes(raw())
    sound.write_bytes(raw(event_id="s"))
    publisher = RecordingPublisher()
    reasons: list[str] = []
    paths = [damaged, no_gzip, sound]
    result = feed(paths, "cartwake", "main", publisher, on_rejected=lambda _p, _n, why: reasons.append(why))
    assert result.rejected == 2
    assert all("can't be read further" in why for why in reasons)
    assert publisher.values[-1] == raw(event_id="s")


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE + 7])
def test_lines_up_to_the_bound_come_whole_and_longer_ones_cut_off(tmp_path: Path, length: int) -> None:
    file = tmp_path / "f"
    for around in (b"first\n", b"", b"y" * (MAX_LINE - 3) + b"\n"):
        file.write_bytes(around + b"x" * length + b"\nlast")
        read = lines_of(file)
        assert [len(line) for line in read[-2:]] == [min(length, MAX_LINE + 1), 4]
        assert read[-1] == b"last"
        assert b"".join(read[:-2]) == around.rstrip(b"\n")


def test_an_endless_line_takes_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "f.gz"
    file.write_bytes(gzip.compress(b"x" * 64 * MAX_LINE, 1))
    tracemalloc.start()
    assert sum(1 for _ in lines_of(file)) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MAX_LINE


def test_months_are_put_in_the_order_of_the_calendar(tmp_path: Path) -> None:
    december, february, october = (
        month(tmp_path / f"data_{name}.csv", day, "click", "view")
        for name, day in (("2022_dec", "2022-12-01"), ("2023_feb", "2023-02-01"), ("2022_oct", "2022-10-01"))
    )
    timeless = tmp_path / "a.csv"
    timeless.write_text(HEADER)
    given = [timeless, december, february, october]
    assert calendar_order(given, "rees46") == [october, december, february, timeless]


def test_a_missing_file_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_bytes(raw())
    publisher = RecordingPublisher()
    with pytest.raises(ConfigurationError, match=r"gone\.csv can't be read"):
        feed([there, tmp_path / "gone.csv"], "cartwake", "main", publisher)
    assert publisher.records == []


def test_an_unknown_format_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cartwake \| rees46"):
        feed([], "csv", "main", RecordingPublisher())


def test_records_that_kafka_did_not_take_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(raw())
    publisher = RecordingPublisher()
    publisher.failing = True
    with pytest.raises(KafkaUnavailable):
        feed([file], "cartwake", "main", publisher)


def test_progress_is_told_on_the_way_and_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes((raw() + b"\n") * 20_001)
    told: list[int] = []
    feed([file], "cartwake", "main", RecordingPublisher(), on_progress=told.append)
    assert told == [20_000, 20_001]
