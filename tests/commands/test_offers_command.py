"""`cartwake offers`: codes into pools, each once, and counts without the codes."""

import io
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.commands import offers
from cartwake.errors import ConfigurationError, InvalidEvent, Rejected
from cartwake.model import decode_offer_code
from cartwake.settings import Settings
from cartwake.topics import partition_of
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.commands.test_dlq import records
from tests.sinks.records import Kept, message, put


def sent(settings: Settings) -> list[tuple[str, str, str]]:
    found = []
    for partition, key, value in records(settings, "offer-codes"):
        code = decode_offer_code(value or b"")
        assert key == code.code.encode()
        assert partition == partition_of(key, 4)
        found.append((code.shop_id, code.pool, code.code))
    return sorted(found)


def written(settings: Settings, store: ClickHouse) -> None:
    """What the sink would do with the topic."""
    for partition, key, value in records(settings, "offer-codes"):
        put(store, "offer-codes", Kept(value, key, at=partition))


@pytest.mark.stack
def test_each_code_of_a_file_is_sent_once_and_the_second_time_it_is_known(
    run: Run, store: ClickHouse, settings: Settings
) -> None:
    lines = "\ufeffSAVE-1\r\nSAVE-2\n  SAVE-1  \nSÄVE-3\n\n\n"
    done = run("offers", "add", "spring", stdin=lines)
    assert (done.exit_code, done.stdout) == (0, "3 codes added to pool spring of shop main; 0 were there already\n")
    assert sent(settings) == [("main", "spring", x) for x in ("SAVE-1", "SAVE-2", "SÄVE-3")]
    written(settings, store)
    again = run("offers", "add", "spring", stdin=lines + "NEW\n")
    assert again.stdout == "1 codes added to pool spring of shop main; 3 were there already\n"
    other = run("offers", "add", "spring", "--shop", "other", stdin="SAVE-1\n")
    assert other.stdout == "1 codes added to pool spring of shop other; 0 were there already\n"


@pytest.mark.stack
def test_hostile_lines_are_named_by_number_and_the_others_go(run: Run, store: ClickHouse, settings: Settings) -> None:
    bad = [b"\xff\xfe", b"a b", b"nul\0nul", b"\x1b[31mred", b"x" * 101, b"y" * 70_000, b"", "\u202eevil".encode()]
    path = settings.data_dir.parent / "codes.txt"
    path.write_bytes(b"\n".join([b"GOOD-1", *bad, b"GOOD-2"]))
    done = run("offers", "add", "spring", str(path))
    assert isinstance(done.exception, Rejected)
    assert [x for x in range(1, 11) if f"line {x} is left out" in done.stderr] == list(range(2, 10))
    for secret in ("red", "evil", "xxx", "yyy", "\x1b"):
        assert secret not in done.stderr
    assert sent(settings) == [("main", "spring", "GOOD-1"), ("main", "spring", "GOOD-2")]


@pytest.mark.stack
def test_a_code_of_another_pool_is_not_given_away_twice(run: Run, store: ClickHouse, settings: Settings) -> None:
    put(store, "offer-codes", {"shop_id": "main", "pool": "summer", "code": "SAVE-1"})
    put(store, "offer-codes", {"shop_id": "other", "pool": "summer", "code": "SAVE-2"})
    done = run("offers", "add", "spring", stdin="SAVE-1\nSAVE-2\n")
    assert "line 1 is left out: it is in the pool summer already" in done.stderr
    assert sent(settings) == [("main", "spring", "SAVE-2")]


@pytest.mark.stack
def test_without_clickhouse_codes_go_all_the_same(run: Run, settings: Settings) -> None:
    done = run("offers", "add", "spring", stdin="SAVE-1\n", clickhouse_dsn="clickhouse://u:p@127.0.0.1:1/x")
    assert done.exit_code == 0
    assert done.stdout == "1 codes sent to pool spring of shop main; how many are new is not known\n"
    assert sent(settings) == [("main", "spring", "SAVE-1")]


@pytest.mark.stack
def test_pools_are_listed_with_what_is_left_of_them(run: Run, store: ClickHouse) -> None:
    for pool, shop, count in (("spring", "main", 3), ("summer", "main", 1), ("spring", "other", 2)):
        put(store, "offer-codes", *({"shop_id": shop, "pool": pool, "code": f"{pool}-{x}"} for x in range(count)))
    put(store, "messages", message("sent", code="spring-0"), message("sent", 2, code="spring-0"))
    put(store, "messages", message("failed", plan="p2", code="spring-1"), message("sent", plan="p3", code="none"))
    found = json.loads(run("offers", "list", "--json").stdout)
    assert [tuple(x.values()) for x in found] == [
        ("main", "spring", 3, 1, 2), ("main", "summer", 1, 0, 1), ("other", "spring", 2, 0, 2),
    ]  # fmt: skip
    said = run("offers", "list", "--shop", "main").stdout
    assert said.splitlines()[1].split() == ["main", "spring", "3", "1", "2"]
    assert "other" not in said


@pytest.mark.parametrize("pool", ["", "Spring", "a b", "a_b", "x" * 41, "../x", "\x1b"])
def test_a_wrong_pool_is_refused_before_anything_is_asked(run: Run, pool: str) -> None:
    done = run("offers", "add", pool, stdin="SAVE-1\n", kafka_bootstrap="127.0.0.1:1")
    assert isinstance(done.exception, ConfigurationError)
    assert "Example: spring-10" in str(done.exception)


@given(st.binary(max_size=200))
def test_whatever_a_line_holds_it_is_a_code_or_refused(line: bytes) -> None:
    with suppress(InvalidEvent):
        code = offers.code_of(line)
        assert 1 <= len(code) <= offers.MOST_CODE
        assert code.isprintable()
        assert " " not in code
        assert code in line.decode()


@given(st.lists(st.binary(max_size=5_000).map(lambda x: x.replace(b"\n", b"")), min_size=1))
def test_lines_keep_their_numbers_however_long_they_are(lines: list[bytes]) -> None:
    found = dict(offers._lines(io.BytesIO(b"\n".join(lines))))
    for number, line in enumerate(lines, 1):
        whole = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if whole.strip():
            assert found[number].rstrip(b"\n")[:1_000] == whole[:1_000]


def test_each_shop_has_a_secret_of_its_own_that_does_not_change(run: Run) -> None:
    own = {"secret": "a secret of the tests", "kafka_bootstrap": "127.0.0.1:1"}
    first = run("offers", "secret", **own).stdout.strip()
    assert len(first) == 64
    assert run("offers", "secret", **own).stdout.strip() == first
    assert run("offers", "secret", "--shop", "berlin", **own).stdout.strip() != first
