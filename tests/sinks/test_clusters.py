"""The same files on a cluster: every statement, rewritten, is one the engine understands and keeps replicas alike.

No cluster runs here. What is real: the engine's parser; and an engine that has macros, a cluster of one server and a
keeper within its process, which makes every replicated table as it would on a cluster.
"""

import os
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

import sql
from cartwake.errors import ConfigurationError
from sinks import cluster
from sinks.clickhouse import ClickHouse
from sinks.migrate import Schema, fill, statements
from sinks.retention import Retention
from sinks.statements import subject
from tests.conftest import free_port
from tests.patience import until

VALUES = {"database": "shop", "retention_days": "90"}
MADE_ON_A_CLUSTER = [
    fill(statement, VALUES)
    for text in [
        *(sql.read(f"schema/{name}") for name in sql.names("schema")),
        *(sql.read(f"migrate/{name}.sql") for name in ("make_database", "make_table", "make_log", "add_version")),
        fill(
            sql.read("migrate/set_retention.sql"), VALUES | {"table": "t", "ttl": "toDateTime(at) + toIntervalDay(7)"}
        ),
    ]
    for statement in statements(text)
]


@pytest.mark.stack
def test_every_statement_parses_when_rewritten_and_runs_everywhere(empty: ClickHouse) -> None:
    def parsed(statement: str) -> str:
        said = empty.command("SELECT base64Encode(formatQuerySingleLine({q:String}))", {"q": statement})
        return b64decode(str(said)).decode()

    for statement in MADE_ON_A_CLUSTER:
        rewritten = cluster.on_cluster(statement, "replicas")
        about = subject(statement)
        said = parsed(rewritten)
        if about.verb in {"INSERT", "OPTIMIZE", "DELETE"}:
            assert rewritten == statement
        else:
            assert said.count(" ON CLUSTER replicas ") + said.endswith(" ON CLUSTER replicas") == 1, said
        if (about.verb, about.kind) == ("CREATE", "TABLE") and "ENGINE = Null" not in statement:
            assert f"MergeTree('/clickhouse/tables/{{shard}}/shop/{about.name}', '{{replica}}'" in said, said
            assert " ENGINE = Replicated" in said
        assert "non_replicated_deduplication_window" not in said
        # and nothing else is another statement now
        back = said.replace(" ON CLUSTER replicas", "").replace("Replicated", "")
        back = back.replace(f"('/clickhouse/tables/{{shard}}/shop/{about.name}', '{{replica}}', ", "(")
        back = back.replace(f"('/clickhouse/tables/{{shard}}/shop/{about.name}', '{{replica}}')", "")
        back = back.replace("replicated_deduplication_window_seconds = 604800, ", "")
        back = back.replace(", replicated_deduplication_window_seconds = 604800", "")
        back = back.replace("replicated_deduplication_window", "non_replicated_deduplication_window")
        assert back == parsed(statement)


@pytest.mark.parametrize(
    ("statement", "rewritten"),
    [
        (
            "-- ENGINE = MergeTree\nCREATE TABLE d.t (x Int8 COMMENT 'ENGINE = Log') ENGINE MergeTree ORDER BY x",
            "-- ENGINE = MergeTree\nCREATE TABLE d.t ON CLUSTER 'c' (x Int8 COMMENT 'ENGINE = Log') ENGINE"
            " ReplicatedMergeTree('/clickhouse/tables/{shard}/d/t', '{replica}') ORDER BY x",
        ),
        (
            "CREATE TABLE d.`T x` (x Int8) ENGINE = SummingMergeTree() ORDER BY x",
            "CREATE TABLE d.`T x` ON CLUSTER 'c' (x Int8) ENGINE = ReplicatedSummingMergeTree("
            "'/clickhouse/tables/{shard}/d/T x', '{replica}') ORDER BY x",
        ),
        (
            "CREATE MATERIALIZED VIEW d.v REFRESH EVERY 1 HOUR (x Int8) ENGINE = MergeTree ORDER BY x AS SELECT 1 AS x",
            "CREATE MATERIALIZED VIEW d.v ON CLUSTER 'c' REFRESH EVERY 1 HOUR (x Int8) ENGINE = MergeTree ORDER BY x"
            " AS SELECT 1 AS x",
        ),
        (
            "CREATE MATERIALIZED VIEW IF NOT EXISTS d.v TO d.t AS SELECT 1 AS x",
            "CREATE MATERIALIZED VIEW IF NOT EXISTS d.v ON CLUSTER 'c' TO d.t AS SELECT 1 AS x",
        ),
        ("ALTER TABLE d.t ADD COLUMN y Int8 -- new", "ALTER TABLE d.t ON CLUSTER 'c' ADD COLUMN y Int8 -- new"),
        (
            "ALTER TABLE d.t MODIFY SETTING non_replicated_deduplication_window = 7",
            "ALTER TABLE d.t ON CLUSTER 'c' MODIFY SETTING replicated_deduplication_window = 7, "
            "replicated_deduplication_window_seconds = 604800",
        ),
        ("DROP VIEW IF EXISTS d.v", "DROP VIEW IF EXISTS d.v ON CLUSTER 'c'"),
        ("RENAME TABLE d.a TO d.b -- now", "RENAME TABLE d.a TO d.b ON CLUSTER 'c' -- now"),
        ("EXCHANGE TABLES d.a AND d.b", "EXCHANGE TABLES d.a AND d.b ON CLUSTER 'c'"),
        ("CREATE USER IF NOT EXISTS reader", "CREATE USER IF NOT EXISTS reader ON CLUSTER 'c'"),
        ("GRANT SELECT ON d.* TO reader", "GRANT ON CLUSTER 'c' SELECT ON d.* TO reader"),
        ("INSERT INTO d.t SELECT 1", "INSERT INTO d.t SELECT 1"),
    ],
)
def test_a_statement_is_read_and_not_searched(statement: str, rewritten: str) -> None:
    assert cluster.on_cluster(statement, "c") == rewritten


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("CREATE TABLE d.t ON CLUSTER x (x Int8) ENGINE = MergeTree ORDER BY x", "is added by the setting"),
        ("CREATE TABLE d.t (x Int8) ENGINE = Log", "engine Log is none that replicas can keep alike"),
        ("CREATE TABLE d.t (x Int8) ENGINE = ReplicatedMergeTree ORDER BY x", "ReplicatedMergeTree is none"),
        ("CREATE TABLE d.t (x Int8)", "names no engine"),
        ("CREATE TABLE d.t AS d.u", "without AS"),
        ("CREATE OR REPLACE TABLE d.t (x Int8) ENGINE = MergeTree ORDER BY x", "without OR REPLACE"),
        ("CREATE MATERIALIZED VIEW d.v REFRESH EVERY 1 MINUTE TO d.t AS SELECT 1", "done by every replica"),
        (
            "CREATE MATERIALIZED VIEW d.v REFRESH EVERY 1 MINUTE APPEND ENGINE = MergeTree ORDER BY x AS SELECT 1 AS x",
            "done by every replica",
        ),
        (
            "CREATE MATERIALIZED VIEW d.v ENGINE = MergeTree ORDER BY x POPULATE AS SELECT 1 AS x",
            "done by every replica",
        ),
        ("SYSTEM RELOAD DICTIONARIES", "not known how to run it"),
    ],
)
def test_what_would_not_be_the_same_on_a_cluster_is_refused(statement: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        cluster.on_cluster(statement, "c")


CONFIGURATION = """
<clickhouse>
  <macros><shard>01</shard><replica>one</replica></macros>
  <zookeeper><implementation>testkeeper</implementation></zookeeper>
  <remote_servers>
    <replicas><shard><replica><host>127.0.0.1</host><port>9</port></replica></shard></replicas>
    <shards>
      <shard><replica><host>127.0.0.1</host><port>9</port></replica></shard>
      <shard><replica><host>127.0.0.1</host><port>10</port></replica></shard>
    </shards>
  </remote_servers>
</clickhouse>
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ClickHouse]:
    """An engine that knows clusters and makes replicated tables; they take no rows, as nothing serves replicas."""
    configuration = tmp_path / "engine.xml"
    configuration.write_text(CONFIGURATION)
    port = free_port()
    script = (
        "import sys, uvicorn; from pathlib import Path; from local.clickhouse_http import Server\n"
        "server = Server(Path(sys.argv[1]), 'u', 'p', 'r')\n"
        "uvicorn.run(server.app, host='127.0.0.1', port=int(sys.argv[2]), log_level='error', lifespan='off')\n"
    )
    folder = f"{tmp_path / 'engine'}?config-file={configuration}"
    process = subprocess.Popen([sys.executable, "-c", script, folder, str(port)], start_new_session=True)
    try:

        def client() -> ClickHouse | None:
            try:
                return ClickHouse.open(f"clickhouse://u:p@127.0.0.1:{port}/shop", "shop")
            except Exception:
                assert process.poll() is None
                return None

        with until(client, "the engine answers") as found:
            yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.stack
def test_a_cluster_makes_every_table_replicated(server: ClickHouse) -> None:
    server.command("CREATE DATABASE shop")
    expected = set()
    for statement in MADE_ON_A_CLUSTER:
        about = subject(statement)
        if (about.verb, about.kind) == ("CREATE", "TABLE") and "ENGINE = Null" not in statement:
            # the queue of ON CLUSTER is a server's; all else is as there
            server.command(cluster.on_cluster(statement, "replicas").replace(" ON CLUSTER 'replicas'", ""))
            expected.add(about.name)
    rows = server.query("SELECT table, zookeeper_path, replica_name FROM system.replicas WHERE database = 'shop'")
    assert {x["table"] for x in rows} == expected
    for row in rows:
        assert (row["zookeeper_path"], row["replica_name"]) == (f"/clickhouse/tables/01/shop/{row['table']}", "one")
    shown = server.query("SELECT name, create_table_query AS made FROM system.tables WHERE database = 'shop'")
    for row in shown:  # as it is shown it makes a further replica
        assert f"MergeTree('/clickhouse/tables/{{shard}}/shop/{row['name']}', '{{replica}}'" in row["made"]
    retained = Schema(server, Retention(30), cluster="replicas").retained()
    assert {(x.days, wanted) for x, wanted in retained} == {(90, 30)}
    with pytest.raises(ConfigurationError, match="was made for a cluster"):
        Schema(server, Retention(90)).migrate()


@pytest.mark.stack
def test_a_cluster_that_cannot_be_used_is_named(server: ClickHouse, empty: ClickHouse) -> None:
    with pytest.raises(ConfigurationError, match="knows no cluster nowhere; it knows replicas, shards"):
        Schema(server, Retention(90), cluster="nowhere").migrate()
    with pytest.raises(ConfigurationError, match="shards has 2 shards"):
        Schema(server, Retention(90), cluster="shards").plan()
    with pytest.raises(ConfigurationError, match="knows no cluster replicas; it knows none"):
        Schema(empty, Retention(90), cluster="replicas").migrate()
    steps = Schema(server, Retention(90), cluster="replicas").plan()
    assert all(" ON CLUSTER 'replicas'" in x.statement for x in steps if not x.statement.startswith("INSERT"))
    Schema(empty, Retention(90)).migrate()
    cluster.check(server, "replicas")
