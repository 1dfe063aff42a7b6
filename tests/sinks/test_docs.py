"""docs/analysts.md: its queries run, and it names every column of every view as the schema does."""

import re
from pathlib import Path

import pytest

from cartwake.topics import ALL
from sinks.clickhouse import ClickHouse
from tests.sinks.records import event, match, message, outcome, put

pytestmark = pytest.mark.stack
PAGE = (Path(__file__).parents[2] / "docs" / "analysts.md").read_text(encoding="utf-8")
VIEWS = {x.name.replace("-", "_") for x in ALL} | {
    "decided_carts",
    "abandonments",
    "sent_messages",
    "plans",
    "orders",
    "recoveries",
}


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
    rows = client.query(
        "SELECT table, name, type, comment FROM system.columns WHERE database = currentDatabase()"
        " AND NOT endsWith(table, '_log') AND table != 'schema_migrations' ORDER BY table, position"
    )
    assert {x["table"] for x in rows} == VIEWS
    for view in VIEWS:
        section = PAGE.partition(f"\n### {view}\n")[2].partition("\n### ")[0]
        said = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section, re.MULTILINE)
        assert said == [(x["name"], x["type"], x["comment"]) for x in rows if x["table"] == view], view
        assert all(meaning for _, _, meaning in said)
