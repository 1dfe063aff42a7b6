"""`cartwake export`: every value of a cart comes back from the file, and nothing in it runs or breaks."""

import csv
import io
from decimal import Decimal

import pytest
from lxml import etree

from cartwake.errors import ConfigurationError
from sinks import export
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.sinks.records import match, outcome, put

pytestmark = pytest.mark.stack
HOSTILE = [
    '=HYPERLINK("http://x.example.com")', "+1", "-2", "@SUM(A1)", "\tx", "\rx", 'a "quoted", one', "two\nlines",
    "<b>&amp;</b>",
    "]]>", "nul\x00l", "\x0b", "\ufffe", "\U0001f6d2 Gr\u00fcn", "\u202ertl", "", "'",
]  # fmt: skip


@pytest.fixture
def shop(store: ClickHouse) -> ClickHouse:
    for number, name in enumerate(HOSTILE):
        items = [{"sku": f"S{number}", "name": name, "quantity": 1, "price": "1.50"}]
        facts = {"outcome_id": f"o{number}", "cart_id": f"c{number}", "abandonment_id": f"a{number:02}"}
        put(store, "cart-outcomes", outcome(items=items, **facts, stage="payment" if number % 2 else "cart"))
    put(store, "subscriber-carts", match("p-ana", outcome=outcome(abandonment_id="a01"), cart_id="c1"))
    return store


def _xml(name: str) -> str:
    """A text as an XML 1.0 document has it."""
    return "".join(x if x in "\t\n\r" or (x >= " " and x not in "\ufffe\uffff") else "\ufffd" for x in name)


def test_csv_has_every_value_and_no_formula(shop: ClickHouse, run: Run) -> None:
    done = run("export", "carts", "--columns", "abandonment_id,products,value,email")
    assert done.exit_code == 0, done.exception
    rows = list(csv.reader(io.StringIO(done.stdout, newline="")))
    assert rows[0] == ["abandonment_id", "products", "value", "email"]
    for row, name in zip(rows[1:], HOSTILE, strict=True):
        quoted = f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else name
        assert (row[1], Decimal(row[2])) == (quoted, Decimal("39.98")), row
    assert rows[2][3] == "p-ana@example.com"


def test_xml_is_xml(shop: ClickHouse, run: Run) -> None:
    done = run("export", "carts", "--format", "xml", "--columns", "products,items")
    assert done.exit_code == 0, done.exception
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    root = etree.fromstring(done.stdout.encode(), parser)
    assert [x.findtext("products") or "" for x in root] == [_xml(name) for name in HOSTILE]


def test_filters_and_days(shop: ClickHouse, run: Run) -> None:
    rows = run(
        "export", "carts", "--stage", "payment", "--from", "2026-11-23", "--to", "2026-11-23"
    ).stdout.splitlines()
    assert rows[0].split(",") == list(export.USUAL)
    assert b"".join(export.carts(shop, export.Wanted(stage="payment"))).count(b"payment") == len(HOSTILE) // 2
    assert b"".join(export.carts(shop, export.Wanted(search="quoted"))).count(b"\r\n") == 2
    assert b"".join(export.carts(shop, export.Wanted(shop="other"))).count(b"\r\n") == 1
    assert run("export", "carts", "--from", "2026-11-24").stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--columns", "email,secret"), "no column 'secret'"),
        (("--columns", "email,email"), "each once"),
        (("--from", "2026-11-24", "--to", "2026-11-23"), "is after"),
    ],
)
def test_what_is_wrong_is_said(shop: ClickHouse, run: Run, words: tuple[str, ...], why: str) -> None:
    done = run("export", "carts", *words)
    assert done.exit_code != 0
    assert isinstance(done.exception, ConfigurationError)
    assert why in str(done.exception)


def test_a_list_of_columns(run: Run) -> None:
    assert run("export", "carts", "--list").stdout.split() == [*export.USUAL, *sorted(
        set(export.COLUMNS) - set(export.USUAL), key=export.COLUMNS.index
    )]  # fmt: skip
