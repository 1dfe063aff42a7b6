"""The same statements for a cluster: where they run (`ON CLUSTER`), and tables whose replicas keep alike.

One shard with any number of replicas: each server has all of it, so every view and report is what it is on one server
(docs/decisions/0013-migrations-and-clusters.md).
"""

from itertools import islice, pairwise
from typing import Any, Final

import sql
from cartwake.errors import ConfigurationError
from sinks.clickhouse import ClickHouse
from sinks.statements import Subject, Token, subject, tokens

#: How long a batch is known again on a cluster, seconds: as long as Kafka keeps records unless told otherwise.
KNOWN_AGAIN_S: Final = 7 * 86_400
_WINDOW: Final = "NON_REPLICATED_DEDUPLICATION_WINDOW"
_FAMILY: Final = "MERGETREE"
#: Engines that hold no rows of their own.
_WITHOUT_ROWS: Final = frozenset({"NULL", "MERGE", "DISTRIBUTED", "BUFFER"})
#: Rows travel between replicas by themselves.
_OF_ROWS: Final = frozenset({"INSERT", "DELETE", "OPTIMIZE"})
_AT_THE_END: Final = frozenset({"RENAME", "EXCHANGE"})
_AFTER_THE_VERB: Final = frozenset({"GRANT", "REVOKE"})


def check(client: ClickHouse, cluster: str) -> None:
    """Raise ConfigurationError unless the server knows `cluster`, of one shard, and its own place in it."""
    answer: Any = client.command(sql.read("migrate/cluster.sql"), {"name": cluster})
    shards, known, macros = answer
    setting = "clickhouse_cluster (CARTWAKE_CLICKHOUSE_CLUSTER)"
    if int(shards) == 0:
        known = known or "none"
        raise ConfigurationError(
            f"{setting}: ClickHouse at {client.where} knows no cluster {cluster}; it knows {known}"
        )
    if int(shards) != 1:
        raise ConfigurationError(
            f"{setting}: {cluster} has {shards} shards. One shard with replicas is what the tables are made for: "
            "define such a cluster in remote_servers. See docs/operations.md, ClickHouse"
        )
    if missing := {"shard", "replica"} - set(macros.split(", ")):
        raise ConfigurationError(
            f"{setting}: ClickHouse at {client.where} has no macro {' and no '.join(sorted(missing))}. Each server "
            "needs, in <macros>, <shard>01</shard> and a <replica> of its own"
        )


def on_cluster(statement: str, cluster: str) -> str:
    """`statement` for every server of `cluster`; raises ConfigurationError for one that would not do the same there.

    CREATE, ALTER, DROP and the like get `ON CLUSTER`, engines of the MergeTree family become Replicated with the macros
    `{shard}` and `{replica}`, the deduplication window becomes that of replicated tables.
    """
    words = list(tokens(statement))
    about = subject(statement)
    outer = [x for x in words if x.depth == 0]
    if about.verb in _OF_ROWS:
        return statement
    if any(a.text == "ON" and b.text == "CLUSTER" for a, b in pairwise(outer)):
        raise _no(statement, "ON CLUSTER is added by the setting clickhouse_cluster: leave it out")
    if about.verb in _AFTER_THE_VERB:
        at = words[0].end
    elif about.verb in _AT_THE_END:
        at = words[-1].end
    elif about.name:
        at = about.end
    else:
        raise _no(statement, "it is not known how to run it on every server: see sinks/cluster.py")
    edits = [(at, at, f" ON CLUSTER '{cluster}'")]
    if about.verb == "CREATE" and about.kind in {"TABLE", "MATERIALIZED VIEW"}:
        edits += _engine(statement, about, outer)
    edits += [
        (x.start, value.end, _window(statement[value.start : value.end]))
        for x, value in zip(outer, outer[2:], strict=False)
        if x.text == _WINDOW
    ]
    for start, end, text in sorted(edits, reverse=True):
        statement = statement[:start] + text + statement[end:]
    return statement


def _engine(statement: str, about: Subject, outer: list[Token]) -> list[tuple[int, int, str]]:
    """What changes at the engine of a table that is made."""
    says = {x.text for x in outer if x.start >= about.end}
    if about.kind == "MATERIALIZED VIEW":
        kept_for_all = {"TO", "APPEND"} if "REFRESH" in says else {"POPULATE"}
        if bad := says & kept_for_all:
            raise _no(statement, f"{bad.pop()} would be done by every replica, for the rows of all")
        if says & {"TO", "REFRESH"}:  # what is made anew as a whole, each server makes for itself
            return []
    elif "AS" in says or outer[1].text == "OR":
        raise _no(statement, "a replicated table is made with its columns: without AS and without OR REPLACE")
    at = next((i for i, x in enumerate(outer) if x.text == "ENGINE" and x.start >= about.end), None)
    if at is None:
        raise _no(statement, "it names no engine")
    at += 2 if outer[at + 1].text == "=" else 1
    name = outer[at]
    if name.text in _WITHOUT_ROWS:
        return []
    if not name.text.endswith(_FAMILY) or name.text.startswith("REPLICATED"):
        raise _no(statement, f"engine {statement[name.start : name.end]} is none that replicas can keep alike")
    path = f"'/clickhouse/tables/{{shard}}/{about.database}/{about.name}', '{{replica}}'"
    edits = [(name.start, name.start, "Replicated")]
    if outer[at + 1 : at + 2] and outer[at + 1].text == "(":
        given = statement[outer[at + 1].end : outer[at + 2].start].strip()
        return [*edits, (outer[at + 1].end, outer[at + 1].end, path + (", " if given else ""))]
    return [*edits, (name.end, name.end, f"({path})")]


def _window(blocks: str) -> str:
    return f"replicated_deduplication_window = {blocks}, replicated_deduplication_window_seconds = {KNOWN_AGAIN_S}"


def _no(statement: str, why: str) -> ConfigurationError:
    head = " ".join(x.text for x in islice(tokens(statement), 6))
    return ConfigurationError(f"{head} … cannot run on a cluster: {why}")
