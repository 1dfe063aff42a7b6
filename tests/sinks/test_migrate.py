"""Migrations: applied once, in order, also after a failure in the middle and by two at a time."""

import threading
from dataclasses import replace

import pytest

import sql
from cartwake.errors import ConfigurationError, Rejected
from cartwake.topics import ALL
from sinks import migrate as m
from sinks.clickhouse import ClickHouse

RECORDS = {"schema_migrations", "schema_migrations_log"}
TWO = (
    m.Migration(1, "001_a.sql", "-- why\nCREATE TABLE IF NOT EXISTS {database}.a (x Int8) ENGINE = Memory;\n"),
    m.Migration(
        2,
        "002_b.sql",
        "CREATE TABLE IF NOT EXISTS {database}.b (x Int8, t DateTime) ENGINE = MergeTree ORDER BY x\n"
        "TTL t + INTERVAL {retention_days} DAY;\nALTER TABLE {database}.a ADD COLUMN IF NOT EXISTS y String;\n",
    ),
)


def tables(client: ClickHouse) -> set[str]:
    found = client.query("SELECT name FROM system.tables WHERE database = {name:String}", {"name": client.database})
    return {x["name"] for x in found}


@pytest.mark.stack
def test_empty_server_gets_every_table_and_view_and_a_repetition_changes_nothing(empty: ClickHouse) -> None:
    assert all(x.applied_at is None for x in m.status(empty))
    assert m.migrate(empty, retention_days=90) == tuple(sql.names("schema"))
    assert m.migrate(empty, retention_days=90) == ()
    assert all(x.applied_at is not None for x in m.status(empty))
    names = {x.name.replace("-", "_") for x in ALL}
    views = {"abandonments", "decided_carts", "sent_messages", "plans", "orders", "recoveries"}
    views |= {"devices", "persons", "wishlists", "order_history", "customers", "current_carts"}
    views |= {"abandonment_days", "arrivals", "plan_times"}
    more = {"abandonments_log", "abandonment_days_log", "rollup_progress_log"}
    more |= {"checkout_steps_log", "checkout_steps_of_cart_events_log"}
    more |= {f"arrivals_of_{x}_log" for x in (*names, "arriving")} | {"arrivals_log", "arriving_log"}
    more |= {"plan_times_log", "plan_times_of_messages_log"}
    views |= {"reminder_days", "product_days", "recovery_days"}
    shown = {x for x in tables(empty) if not x.startswith(".")}
    assert shown == names | {f"{x}_log" for x in names} | views | RECORDS | more


@pytest.mark.stack
def test_failure_in_the_middle_is_continued(empty: ClickHouse) -> None:
    broken = replace(TWO[1], text=TWO[1].text + "ALTER TABLE {database}.a ADD COLUMN y Int8;\n")
    with pytest.raises(Rejected):
        m.migrate(empty, retention_days=90, files=(TWO[0], broken))
    assert [x.applied_at is not None for x in m.status(empty, files=TWO)] == [True, False]
    assert m.migrate(empty, retention_days=90, files=TWO) == ("002_b.sql",)
    assert tables(empty) == {"a", "b"} | RECORDS


@pytest.mark.stack
def test_applied_file_that_changed_is_refused(empty: ClickHouse) -> None:
    m.migrate(empty, retention_days=90, files=TWO)
    changed = (replace(TWO[0], text=TWO[0].text + "-- a word more\n"), TWO[1])
    with pytest.raises(ConfigurationError, match=r"001_a\.sql was applied .* and has changed since"):
        m.migrate(empty, retention_days=90, files=changed)
    assert [x.changed for x in m.status(empty, files=changed)] == [True, False]


@pytest.mark.stack
def test_database_of_a_newer_version_is_refused(empty: ClickHouse) -> None:
    m.migrate(empty, retention_days=90, files=TWO)
    with pytest.raises(ConfigurationError, match="does not know"):
        m.migrate(empty, retention_days=90, files=TWO[:1])


@pytest.mark.stack
def test_two_migrators_at_the_same_time_end_in_one_schema(empty: ClickHouse) -> None:
    failures: list[Exception] = []

    def go() -> None:
        try:
            m.migrate(empty, retention_days=90)
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(x.applied_at is not None for x in m.status(empty))
    assert m.migrate(empty, retention_days=90) == ()


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    text = "-- reason; with one\nA 'x;y' ;\n\n-- between\nB\n-- in it\nC;\n-- after\n"
    assert list(m.statements(text)) == ["-- reason; with one\nA 'x;y'", "-- between\nB\n-- in it\nC"]


def test_unknown_placeholder_is_refused_and_a_parameter_of_the_server_stays() -> None:
    assert m.fill("{database}.t {name:String}", {"database": "d"}) == "d.t {name:String}"
    with pytest.raises(ConfigurationError, match=r"\{databse\}"):
        m.fill("{databse}", {"database": "d"})


def test_every_file_says_why() -> None:
    for folder in (
        "schema",
        "ingest",
        "console",
        "reports",
        "migrate",
        "offers",
        "audit",
        "audit/checks",
        "dictionary",
        "alarms",
        "rollup",
    ):
        for name in sql.names(folder):
            assert sql.read(f"{folder}/{name}").startswith("-- "), name
