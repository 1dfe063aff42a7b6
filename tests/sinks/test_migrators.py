"""Migrators that come at once, are killed, stand still or lose their server: one at a time, and the next goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import sql
from cartwake.errors import ConfigurationError, SinkUnavailable, Unavailable
from cartwake.settings import Settings
from local import clickhouse as local_clickhouse
from sinks import migrate as m
from sinks.clickhouse import ClickHouse
from sinks.retention import Retention
from sinks.statements import subject
from sinks.turns import LEASE_S, last, turn
from tests.conftest import free_port
from tests.patience import until

pytestmark = pytest.mark.stack

#: Statements that must not run twice: two migrators at once would be seen.
ONCE = (
    m.Migration(1, "001_a.sql", "CREATE TABLE {database}.a (x Int8) ENGINE = MergeTree ORDER BY x;\n"),
    m.Migration(2, "002_b.sql", "INSERT INTO {database}.a VALUES (1);\nINSERT INTO {database}.a VALUES (2);\n"),
)
#: The second statement takes until it is killed, the first time.
SLOW = (
    m.Migration(1, "001_a.sql", "CREATE TABLE IF NOT EXISTS {database}.a (x Int8) ENGINE = MergeTree ORDER BY x;\n"),
    m.Migration(
        2,
        "002_b.sql",
        "ALTER TABLE {database}.a ADD COLUMN IF NOT EXISTS y Int8;\n"
        "SELECT sleepEachRow(if((SELECT count() FROM {database}.schema_migrations_log WHERE what = 'took') > 1, 0, 1)) "
        "FROM numbers(10) SETTINGS max_block_size = 1;\n"
        "ALTER TABLE {database}.a ADD COLUMN IF NOT EXISTS z Int8;\n",
    ),
)
ROUNDS, MIGRATORS = 20, 4


def compete(dsn: str, databases: list[str], start: Any, results: Any) -> None:
    for database in databases:
        with ClickHouse.open(dsn, database) as client:
            start.wait(60)
            try:
                results.put((database, m.migrate(client, retention_days=90, files=ONCE)))
            except Exception as exc:
                results.put((database, repr(exc)))


def test_several_processes_at_once_are_one_migration_twenty_times(settings: Settings) -> None:
    context = get_context("spawn")
    start, results = context.Barrier(MIGRATORS), context.Queue()
    databases = [f"{settings.clickhouse_database}_{n}" for n in range(ROUNDS)]
    arguments = (settings.clickhouse_dsn, databases, start, results)
    processes = [context.Process(target=compete, args=arguments, daemon=True) for _ in range(MIGRATORS)]
    for process in processes:
        process.start()
    told = [results.get(timeout=240) for _ in range(ROUNDS * MIGRATORS)]
    for process in processes:
        process.join(60)
    for database in databases:
        names = [x.name for x in ONCE]
        done = [applied for name, applied in told if name == database]
        assert sorted(done, key=str) == sorted([tuple(names), *[()] * (MIGRATORS - 1)], key=str)
        with ClickHouse.open(settings.clickhouse_dsn, database) as client:
            assert [x["x"] for x in client.query("SELECT x FROM a ORDER BY x")] == [1, 2]
            assert [x["name"] for x in client.query("SELECT name FROM schema_migrations ORDER BY number")] == names
            client.command(f"DROP DATABASE {database}")


def run_slowly(dsn: str, database: str, lease_s: float) -> None:
    with ClickHouse.open(dsn, database) as client:
        m.Schema(client, Retention(90), files=SLOW).migrate(lease_s=lease_s)


def begin(settings: Settings, lease_s: float = LEASE_S) -> Any:
    """A process that migrates and is in the middle of a file."""
    arguments = (settings.clickhouse_dsn, settings.clickhouse_database, lease_s)
    process = get_context("spawn").Process(target=run_slowly, args=arguments, daemon=True)
    process.start()
    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as client:

        def in_the_middle() -> bool:
            assert process.is_alive()
            query = "SELECT count() FROM system.columns WHERE database = {d:String} AND table = 'a' AND name = 'y'"
            return client.command(query, {"d": settings.clickhouse_database}) == 1

        until(in_the_middle, "the second file has begun")
    return process


def columns(client: ClickHouse) -> list[str]:
    rows = client.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'a' ORDER BY name"
    )
    return [x["name"] for x in rows]


def test_after_kill_9_in_the_middle_of_a_file_the_next_one_goes_on(settings: Settings, empty: ClickHouse) -> None:
    process = begin(settings)
    process.kill()
    process.join()
    schema = m.Schema(empty, Retention(90), files=SLOW)
    assert [x.applied_at is not None for x in schema.status()] == [True, False]
    stood = schema.last()
    assert stood is not None
    assert (stood.ended, stood.file) == (False, "002_b.sql")
    assert schema.migrate(lease_s=0.5) == ("002_b.sql",)
    assert columns(empty) == ["x", "y", "z"]
    assert (now := schema.last()) is not None
    assert now.ended


def test_a_migrator_that_lives_is_waited_for(settings: Settings, empty: ClickHouse) -> None:
    process = begin(settings, lease_s=2)
    stop = threading.Event()
    told: list[BaseException] = []

    def second() -> None:
        try:
            m.Schema(empty, Retention(90), files=SLOW).migrate(stop=stop)
        except SinkUnavailable as exc:
            told.append(exc)

    waiting = threading.Thread(target=second)
    waiting.start()
    first = last(empty, replicated=False)
    assert first is not None
    # it lets itself be heard while its statement goes on
    until(lambda: (now := last(empty, replicated=False)) and now.heard_at > first.heard_at, "another word of the first")
    assert waiting.is_alive()
    stop.set()
    waiting.join()
    assert "stopped while" in str(told[0])
    process.kill()
    process.join()


def test_a_migrator_that_stood_still_does_not_go_on_beside_another(settings: Settings, empty: ClickHouse) -> None:
    process = begin(settings, lease_s=0.5)
    os.kill(process.pid, signal.SIGSTOP)
    assert m.Schema(empty, Retention(90), files=SLOW).migrate(lease_s=0.5) == ("002_b.sql",)
    empty.command(f"ALTER TABLE {empty.database}.a DROP COLUMN z")  # a later one may have
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    assert process.exitcode == 1
    assert columns(empty) == ["x", "y"]
    assert empty.query("SELECT count() AS n FROM schema_migrations")[0]["n"] == 2


def test_an_older_version_that_waited_for_a_newer_one_is_refused(settings: Settings, empty: ClickHouse) -> None:
    process = begin(settings)
    told: list[BaseException] = []

    def older() -> None:
        other = m.Migration(2, "002_other.sql", "-- its own\nSELECT 1;\n")
        try:
            m.Schema(empty, Retention(90), files=(SLOW[0], other)).migrate(lease_s=60)
        except ConfigurationError as exc:
            told.append(exc)

    waiting = threading.Thread(target=older)
    waiting.start()
    process.join(60)
    assert process.exitcode == 0
    waiting.join()
    assert "has changed since" in str(told[0])


def test_a_turn_whose_row_never_came_to_be_is_left_out(empty: ClickHouse) -> None:
    """As when the server died between knowing a token and having its row."""
    m.Schema(empty, Retention(90), files=ONCE[:1]).migrate()
    one = {"turn": 2, "migrator": "gone", "what": "took", "file": "", "version": ""}
    empty.insert("INSERT INTO schema_migrations_log FORMAT JSONEachRow", json.dumps(one).encode(), token="turn 2")
    empty.execute("ALTER TABLE schema_migrations_log DELETE WHERE turn = 2 SETTINGS mutations_sync = 1")
    with turn(empty, version="1", replicated=False) as mine:
        assert mine.number == 3


class Failing(ClickHouse):
    """A client that lets so many statements through, then none."""

    left = 1_000

    def command(self, statement: str, parameters: Any = None) -> object:
        if subject(statement).verb in {"CREATE", "ALTER"}:
            self.left -= 1
            if self.left < 0:
                raise SinkUnavailable("the server went away")
        return super().command(statement, parameters)


def test_wherever_it_stops_the_next_one_ends_in_the_same_schema(settings: Settings, empty: ClickHouse) -> None:
    def made() -> list[str]:
        rows = empty.query(
            "SELECT create_table_query AS made FROM system.tables "
            "WHERE database = currentDatabase() AND NOT startsWith(name, '.') ORDER BY name"
        )
        return [x["made"] for x in rows]

    m.migrate(empty, retention_days=90)
    whole = made()
    empty.command(f"DROP DATABASE {empty.database} SYNC")
    with Failing.open(settings.clickhouse_dsn, settings.clickhouse_database) as failing:
        schema = m.Schema(failing, Retention(90))
        for after in range(len(schema.plan()) * 2):
            # each gets one statement further than the one before, from wherever that left it
            failing.left = after
            try:
                schema.migrate()
                break
            except SinkUnavailable:
                continue
        else:
            pytest.fail("it never came to an end")
    assert made() == whole


def test_every_statement_of_every_file_may_run_twice(empty: ClickHouse) -> None:
    m.migrate(empty, retention_days=90)
    query = (
        "SELECT name, create_table_query AS made FROM system.tables "
        "WHERE database = currentDatabase() AND NOT startsWith(name, '.') ORDER BY name"
    )
    before = empty.query(query)
    values = {"database": empty.database, "retention_days": "90"}
    for migration in m.migrations():
        for statement in m.statements(migration.text):
            empty.command(m.fill(statement, values))
            empty.command(m.fill(statement, values))
    assert empty.query(query) == before


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Settings, list[subprocess.Popen[bytes]]]]:
    """A ClickHouse of its own that may be killed."""
    settings = Settings(data_dir=tmp_path, clickhouse_port=free_port())
    started: list[subprocess.Popen[bytes]] = []
    yield settings, started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def start_server(settings: Settings) -> subprocess.Popen[bytes]:
    words = ["--data-dir", str(settings.data_dir), "--port", str(settings.clickhouse_port)]
    process = subprocess.Popen([sys.executable, "-m", "local.clickhouse", *words], stderr=subprocess.DEVNULL)
    until(lambda: local_clickhouse.answers(settings.clickhouse_port), "the engine answers")
    return process


def test_a_server_that_is_killed_in_the_middle_is_gone_on_with(
    own: tuple[Settings, list[subprocess.Popen[bytes]]],
) -> None:
    settings, started = own
    started.append(start_server(settings))
    dsn = local_clickhouse.dsn(settings.data_dir, settings.clickhouse_port, "shop")
    told: list[BaseException] = []

    def first() -> None:
        with ClickHouse.open(dsn, "shop") as client:
            try:
                m.migrate(client, retention_days=90)
            except Unavailable as exc:
                told.append(exc)

    migrator = threading.Thread(target=first)
    migrator.start()
    with ClickHouse.open(dsn, "shop") as client:
        query = "SELECT count() FROM system.tables WHERE database = 'shop'"
        until(lambda: int(str(client.command(query))) > 5, "some tables are there", pause=0.005)
    os.kill(started[0].pid, signal.SIGKILL)
    migrator.join()
    assert "is away" in str(told[0])
    assert "`cartwake migrate` begins this file again" in str(told[0])
    started.append(start_server(settings))
    with ClickHouse.open(dsn, "shop") as client:
        schema = m.Schema(client, Retention(90))
        done = schema.migrate(lease_s=0.5)
        assert done[-1] == sql.names("schema")[-1]
        assert all(x.applied_at for x in schema.status())
