"""`cartwake export`: lists on the command line; what is in the files is told by tests/sinks/test_lists_as_files.py."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from sinks import lists
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.sinks.records import match, message, outcome, put

pytestmark = pytest.mark.stack


@pytest.fixture
def shop(store: ClickHouse) -> Iterator[ClickHouse]:
    names = ("=1+1", "Blue shirt", "<b>Grün</b>")
    for number, name in enumerate(names):
        items = [{"sku": f"S{number}", "name": name, "quantity": 1, "price": "1.50"}]
        stage = "payment" if number else "cart"
        put(store, "cart-outcomes", outcome(number=number, items=items, stage=stage))
    put(store, "subscriber-carts", match(number=1))
    put(store, "messages", message("planned"), message("sent", 2, to="p-ana@example.com"))
    put(
        store,
        "order-events",
        {"event_id": "e1", "type": "order.placed", "order_id": "o-1", "occurred_at": 1_795_435_200_000, "total": "5"},
    )
    return store


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", lists.names())
def test_every_list_comes_as_csv_and_xml(shop: ClickHouse, run: Run, name: str) -> None:
    table, document = run("export", name), run("export", name, "--format", "xml")
    assert (table.exit_code, document.exit_code) == (0, 0), (table.exception, document.exception)
    root = etree.fromstring(document.stdout.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    found = rows(table.stdout)
    assert (root.tag, {x.tag for x in root}) == (name, {lists.load(name).element})
    assert len(root) == len(found) == (3 if name == "carts" else 1)
    assert tuple(found[0]) == lists.load(name).usual == tuple(x.tag for x in root[0])


def test_columns_filters_and_days(shop: ClickHouse, run: Run) -> None:
    asked = ("--columns", "cart_id, products", "--stage", "payment", "--from", "2026-11-23", "--to", "2026-11-23")
    assert rows(run("export", "carts", *asked).stdout) == [
        {"cart_id": "c1", "products": "Blue shirt"},
        {"cart_id": "c2", "products": "<b>Grün</b>"},
    ]
    assert len(rows(run("export", "carts", "--search", "GRÜN").stdout)) == 1
    assert [x["status"] for x in rows(run("export", "messages", "--status", "sent").stdout)] == ["sent"]
    assert rows(run("export", "messages", "--status", "planned").stdout) == []
    assert rows(run("export", "orders", "--from", "2026-11-24").stdout) == []
    assert rows(run("export", "people", "--shop", "other").stdout) == []


def test_a_file_is_replaced_when_all_of_the_new_one_is_there(shop: ClickHouse, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "carts.csv"
    file.write_text("what was there before")
    assert run("export", "carts", "--output", str(file), "--columns", "nonsense").exit_code != 0
    assert file.read_text() == "what was there before"

    assert run("export", "carts", "--output", str(file)).exit_code == 0
    assert len(rows(file.read_text())) == 3
    assert [x.name for x in tmp_path.glob("carts*")] == ["carts.csv"]


def test_a_place_that_cannot_be_written_is_said(shop: ClickHouse, run: Run, tmp_path: Path) -> None:
    done = run("export", "carts", "--output", str(tmp_path / "none" / "carts.csv"))
    assert done.exit_code == 1
    assert "carts.csv" in done.stderr
    assert "No such file" in done.stderr


def test_whoever_reads_may_stop_reading(shop: ClickHouse, settings: Settings) -> None:
    name = "A shirt of many words. " * 400
    items = [{"sku": "S", "name": name, "quantity": 1, "price": "1.50"}]
    put(shop, "cart-outcomes", *(outcome(number=-n, items=items) for n in range(1, 200)))  # no pipe holds them all
    with subprocess.Popen(
        [sys.executable, "-m", "cartwake", "export", "carts"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=settings.environment() | {"PYTHONPATH": str(Path.cwd())},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"abandoned_at")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("carts", "--columns", "email,secret"), "no column 'secret'"),
        (("carts", "--columns", "email,emial"), "did you mean email"),
        (("carts", "--columns", "email,email"), "each column once"),
        (("carts", "--from", "2026-11-24", "--to", "2026-11-23"), "is after"),
        (("mesages",), "did you mean messages"),
        (("../reports/funnel",), "no list"),
    ],
)
def test_what_is_wrong_is_said(run: Run, words: tuple[str, ...], why: str) -> None:
    done = run("export", *words)
    assert done.exit_code != 0
    assert isinstance(done.exception, ConfigurationError)
    assert why in str(done.exception)


@pytest.mark.parametrize(
    "words", [("carts", "--state", "sent"), ("orders", "--stage", "cart"), ("people", "--to", "x")]
)
def test_a_filter_that_is_none_is_refused(run: Run, words: tuple[str, ...]) -> None:
    assert run("export", *words).exit_code == 2


@pytest.mark.parametrize("name", lists.names())
def test_a_list_says_its_columns_and_filters(run: Run, name: str) -> None:
    listed = lists.load(name)
    assert set(listed.usual) | set(listed.numbers) | set(listed.order) <= set(listed.columns)
    assert run("export", name, "--list").stdout.split() == [
        *listed.usual,
        *(x for x in listed.columns if x not in listed.usual),
    ]
    told = run("export", name, "--help").stdout
    assert all(f"--{x.name}" in told for x in listed.filters)
    assert name in run("export", "--help").stdout
