"""docs/analysts.md: its queries run; docs/dictionary.md is what the comments of the schema say."""

import re
from pathlib import Path

import pytest

import sql
from cartwake.topics import ALL
from sinks.clickhouse import ClickHouse
from sinks.dictionary import markdown
from tests.sinks.records import event, match, message, outcome, put

pytestmark = pytest.mark.stack
DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "analysts.md").read_text(encoding="utf-8")
DICTIONARY = DOCS / "dictionary.md"
VIEWS = {x.name.replace("-", "_") for x in ALL} | {"abandonments", "sent_messages", "plans", "orders", "recoveries"}


def test_example_queries_run_and_find_something(client: ClickHouse) -> None:
    put(client, "cart-events", event(1, campaign="autumn"))
    put(client, "cart-outcomes", outcome())
    put(client, "subscriber-carts", match())
    put(client, "messages", message("suppressed", reason="quiet_hours", words="It was night."))
    put(client, "messages", message("sent", plan="plan2", number=1), message("clicked", 2, plan="plan2"))
    put(client, "cart-events", event(9, type="order.placed", order_id="o-7", total="39.98"))
    queries = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert len(queries) >= 7
    for query in queries:
        assert client.query(query), query


def test_dictionary_is_that_of_the_schema(client: ClickHouse) -> None:
    assert DICTIONARY.read_text(encoding="utf-8") == markdown(client), (
        "cartwake migrate --dictionary > docs/dictionary.md"
    )


def test_every_view_and_every_column_of_the_interface_is_explained(client: ClickHouse) -> None:
    rows = client.query(sql.read("dictionary/columns.sql"))
    assert {x["name"] for x in rows} >= VIEWS
    unexplained = [f"{x['name']}.{x['column']}" for x in rows if not x["meaning"] or not x["words"]]
    assert unexplained == []
