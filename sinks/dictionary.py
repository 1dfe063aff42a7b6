"""The data dictionary: every public table and view and what its columns mean, as the comments in sql/schema say.

in   the comments, through system.columns of a migrated database
out  docs/dictionary.md, by `cartwake migrate --dictionary`
"""

from itertools import groupby
from typing import Final

import sql
from cartwake.errors import ConfigurationError
from sinks.clickhouse import ClickHouse

_HEAD: Final = """# Data dictionary

Every view and what its columns mean. Made of the comments in `sql/schema/` by `cartwake migrate --dictionary`; do not
change it by hand. How to ask: [analysts.md](analysts.md).
"""


def markdown(client: ClickHouse) -> str:
    """The dictionary of the client's database as Markdown; raises ConfigurationError when it is not migrated."""
    rows = client.query(sql.read("dictionary/columns.sql"))
    if not rows:
        raise ConfigurationError(f"database {client.database} has no views to explain: run `cartwake migrate` first")
    tables = [(name, list(columns)) for name, columns in groupby(rows, key=lambda row: str(row["name"]))]
    lines = [_HEAD, "| view | what it holds |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {_cell(columns[0]['words'])} |" for name, columns in tables]
    for name, columns in tables:
        lines += ["", f"## {name}", "", f"{columns[0]['words']}.", "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{row['column']}` | {_cell(row['type'])} | {_cell(row['meaning'])} |" for row in columns]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
