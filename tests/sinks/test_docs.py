"""docs/analysts.md: its queries run; docs/dictionary.md is what the comments of the schema say."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import sql
from cartwake.settings import Settings
from cartwake.topics import ALL
from local import reader, stack
from sinks.clickhouse import ClickHouse
from sinks.dictionary import markdown
from sinks.migrate import migrate_settings
from tests.conftest import free_port
from tests.sinks.demo_data import fill
from tests.sinks.records import outcome, put

pytestmark = pytest.mark.stack
DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "analysts.md").read_text(encoding="utf-8")
DICTIONARY = DOCS / "dictionary.md"
VIEWS = {x.name.replace("-", "_") for x in ALL} | {
    "abandonments",
    "decided_carts",
    "sent_messages",
    "plans",
    "orders",
    "recoveries",
}
VIEWS |= {"devices", "persons", "wishlists", "order_history", "customers", "current_carts"}
VIEWS |= {"abandonment_days", "reminder_days", "product_days", "recovery_days"}


def test_example_queries_run_and_find_something(client: ClickHouse) -> None:
    fill(client)
    queries = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    assert len(queries) >= 15
    for query in queries:
        reader.check(query.encode(), {"file", "url", "remote"})
        assert client.query(query), query


def test_every_view_is_named_where_to_begin() -> None:
    section = PAGE.partition("\n## Views and their columns\n")[2]
    assert [x for x in VIEWS if f"`{x}`" not in section] == []


def test_a_python_program_connects_as_it_is_written(settings: Settings, tmp_path: Path) -> None:
    port, database = free_port(), settings.clickhouse_database
    own = msgspec.structs.replace(settings, clickhouse_dsn="", data_dir=tmp_path / ".cartwake", clickhouse_port=port)
    with stack.embedded(own, clickhouse=True) as running:
        with ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store:
            migrate_settings(store, running)
            put(store, "cart-outcomes", outcome())
        [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
        [asked] = re.findall(r"```sh\n(curl.*?)```", PAGE, re.DOTALL)
        program = program.partition("frame =")[0].replace('host="127.0.0.1"', f'host="127.0.0.1", port={port}')
        program = program.replace('database="cartwake"', f'database="{database}"')
        asked = asked.replace("8123", str(port)).replace("database=cartwake", f"database={database}")
        for command in ([sys.executable, "-c", program], ["sh", "-c", asked]):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert "open" in done.stdout, done.stderr


def test_dictionary_is_that_of_the_schema(client: ClickHouse) -> None:
    assert DICTIONARY.read_text(encoding="utf-8") == markdown(client), (
        "cartwake migrate --dictionary > docs/dictionary.md"
    )


def test_every_view_and_every_column_of_the_interface_is_explained(client: ClickHouse) -> None:
    rows = client.query(sql.read("dictionary/columns.sql"))
    assert {x["name"] for x in rows} >= VIEWS
    unexplained = [f"{x['name']}.{x['column']}" for x in rows if not x["meaning"] or not x["words"]]
    assert unexplained == []
