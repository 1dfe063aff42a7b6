"""The analysts' user of the embedded ClickHouse reads the views and can do nothing else."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect  # noqa: TID251 - a client that analysts use
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError  # noqa: TID251
from local_probes import free_port

from local import clickhouse, reader
from tests.local.test_local_clickhouse import Service

TABLE_FUNCTIONS = ("file", "url", "s3", "remote", "numbers", "merge", "python", "executable", "format")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = Service(tmp_path_factory.mktemp("clickhouse"), free_port())
    for statement in (
        "CREATE TABLE cartwake.things_log (x UInt8) ENGINE = MergeTree ORDER BY x",
        "INSERT INTO cartwake.things_log VALUES (1), (2)",
        "CREATE VIEW cartwake.things AS SELECT x FROM cartwake.things_log",
    ):
        assert started.post(statement).status_code == 200
    yield started
    started.stop()


@pytest.fixture
def ask(service: Service) -> Any:
    """Asks as the analyst."""
    auth = (reader.USER, clickhouse.reader_password(service.data_dir))
    return lambda sql, **params: httpx.post(service.url, content=sql, params=params, auth=auth, timeout=90)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(x) FROM things",
        "select sum(x) from cartwake.things -- all;\n;",
        "WITH t AS (SELECT x FROM things) SELECT sum(x) FROM t FORMAT TabSeparated",
        "(SELECT sum(x) FROM `things`)",
        'FROM "things" SELECT sum(x)',
        "SELECT sum(x) /* ; file( */ FROM things WHERE 'file(#$\\'' != ''",
        "SELECT sum(number) FROM numbers(3)",
    ],
)
def test_queries_of_the_views_are_answered(ask: Any, sql: str) -> None:
    assert ask(sql).text == "3\n"


def test_what_clients_ask_when_they_connect_is_answered(ask: Any) -> None:
    for sql in (
        "SHOW TABLES", "SHOW DATABASES", "SHOW CREATE TABLE things", "DESCRIBE TABLE things", "EXISTS things",
        "EXPLAIN SELECT 1", "SELECT name FROM system.tables", "SELECT name, readonly FROM system.settings",
    ):  # fmt: skip
        assert ask(sql).status_code == 200, sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('{secret}')",
        "SELECT `file`('{secret}')",
        "SELECT file/**/('{secret}')",
        "SELECT FILE ('{secret}')",
        "SELECT arrayMap(file, ['{secret}'])",
        "SELECT * APPLY(file) FROM (SELECT '{secret}')",
        "SELECT `fi\\x6ce`('{secret}')",
        "SELECT 1 # '\n, file('{secret}') --'",
        "SELECT $$'$$, file('{secret}'), $$'$$",
        "SELECT ‘', file('{secret}'), '’",
        "EXPLAIN SELECT file('{secret}')",
        "DESCRIBE (SELECT file('{secret}'))",
        "SELECT * FROM file('{secret}', 'LineAsString')",
        "DESCRIBE TABLE file('{secret}', 'LineAsString')",
        "SELECT * FROM `{secret}`",
        "SELECT * FROM default.`{secret}`",
        "INSERT INTO FUNCTION file('{written}', 'CSV', 'a UInt8') VALUES (1)",
        "SELECT 1 INTO OUTFILE '{written}'",
        "SELECT * FROM url('{web}', 'LineAsString')",
        "SELECT * FROM s3('{web}bucket/key', 'CSV')",
        "SELECT * FROM remote('127.0.0.1:{port}', 'system.one')",
        "SELECT hasColumnInTable('127.0.0.1:{port}', 'system', 'one', 'dummy')",
        "SELECT * FROM executable('touch {written}', 'TSV', 'a UInt8')",
        "SELECT * FROM python('x')",
        "SELECT * FROM merge('cartwake', '.*')",
        "SELECT * FROM things_log",
        "SELECT * FROM cartwake.`things_log`",
        "SELECT 1 IN things_log",
        "SELECT query FROM system.processes",
        'SELECT query FROM `system` . "processes"',
        "SHOW PROCESSLIST",
        "INSERT INTO things_log VALUES (3)",
        "INSERT INTO things_log SELECT 3",
        "WITH 3 AS x INSERT INTO things_log SELECT x",
        "ALTER TABLE things_log DELETE WHERE 1",
        "TRUNCATE TABLE things_log",
        "DROP VIEW things",
        "CREATE TABLE t (x UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE t (x UInt8)",
        "SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "SELECT 1; SYSTEM STOP MERGES",
        "SELECT 1 # '\n; SYSTEM STOP MERGES --'",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "BACKUP DATABASE cartwake TO File('{written}')",
    ],
)
def test_everything_else_is_refused(service: Service, ask: Any, tmp_path: Path, sql: str) -> None:
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.write_text("sesame\n")
    words = {"secret": secret, "written": written, "web": service.url, "port": service.port}
    for name, value in words.items():
        sql = sql.replace(f"{{{name}}}", str(value))
    answer = ask(sql)
    assert answer.status_code >= 400
    assert answer.text.startswith("Code: ")
    assert "sesame" not in answer.text
    assert not written.exists()
    assert service.post("SELECT count() FROM cartwake.things_log").text == "2\n"


@pytest.mark.parametrize(
    "params",
    [
        {"readonly": "0", "max_memory_usage": "0"},
        {"max_memory_usage": "0"},
        {"format_template_resultset": "/etc/passwd"},
        {"param_t": "things_log"},
        {"param_t": "cartwake.`things_log`"},
    ],
)
def test_settings_and_parameters_are_no_way_round(ask: Any, params: dict[str, str]) -> None:
    answer = ask("SELECT count() FROM {t:Identifier}", **({"param_t": "things"} | params))
    assert answer.status_code >= 400
    assert answer.headers["X-ClickHouse-Exception-Code"] in ("164", "497")


def test_parameters_are_data(ask: Any) -> None:
    assert ask("SELECT count() FROM {t:Identifier} WHERE x = {x:UInt8}", param_t="things", param_x="1").text == "1\n"


def test_a_query_has_an_end(ask: Any) -> None:
    endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(number)"
    assert ask(endless, max_execution_time="1").headers["X-ClickHouse-Exception-Code"] == "159"
    for asked in ("0", "900", "x", "-1"):
        answer = ask("SELECT getSetting('max_execution_time')", max_execution_time=asked)
        assert answer.text == f"{reader.MOST_SECONDS}\n"


def test_a_query_that_wants_too_much_memory_is_ended(ask: Any) -> None:
    answer = ask("SELECT groupArray(repeat('x', 1000)) FROM numbers(100000000)")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "241"


def test_many_slow_questions_of_analysts_hold_up_nobody_else(service: Service, ask: Any) -> None:
    slow = [threading.Thread(target=ask, args=("SELECT sleepEachRow(0.5) FROM numbers(6)",)) for _ in range(20)]
    for thread in slow:
        thread.start()
    for _ in range(20):
        assert service.post("SELECT 1").text == "1\n"
    assert any(thread.is_alive() for thread in slow)
    for thread in slow:
        thread.join()


def test_clickhouse_connect_works_as_the_analyst(service: Service) -> None:
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=service.port,
        username=reader.USER,
        password=clickhouse.reader_password(service.data_dir),
        database="cartwake",
    )
    assert client.query("SELECT sum(x) FROM things WHERE x < {most:UInt8}", {"most": 9}).result_rows == [(3,)]
    with pytest.raises(DatabaseError, match="READONLY"):
        client.command("DROP VIEW things")


def test_the_passwords_are_two(service: Service) -> None:
    user, password = service.auth
    assert password != clickhouse.reader_password(service.data_dir)
    for auth in ((reader.USER, password), (user, clickhouse.reader_password(service.data_dir)), (reader.USER, "")):
        assert httpx.post(service.url, content="SELECT 1", auth=auth, timeout=60).status_code == 403


def test_names_are_known_however_they_are_written() -> None:
    for sql in (b"SELECT URL('x')", b"SELECT * FROM S3 ('x')", b'SELECT * FROM "remote"(1)', b"SELECT aiGenerate('x')"):
        with pytest.raises(reader.Refused):
            reader.check(sql, TABLE_FUNCTIONS)
    for sql in (b"SELECT url FROM messages", b"SELECT format('{}', remote) FROM x", b"SELECT countIf(aim) FROM x"):
        reader.check(sql, TABLE_FUNCTIONS)
