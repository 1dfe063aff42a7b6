"""The embedded ClickHouse answers as a server would, to ClickHouse's own client."""

import gzip
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect  # noqa: TID251 - the client this server is for
import httpx
import lz4.frame
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError  # noqa: TID251
from clickhouse_connect.driver.external import ExternalData  # noqa: TID251
from local_probes import alive, free_port

from local import clickhouse, statement
from tests.patience import until

Run = Callable[..., "subprocess.Popen[str]"]


class Service:
    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir, self.port = data_dir, port
        self.url = f"http://127.0.0.1:{port}/"
        argv = ["-m", "local.clickhouse", "--data-dir", str(data_dir), "--port", str(port), "--database", "cartwake"]
        self.process = subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        until(lambda: clickhouse.answers(port) or self.process.poll() is not None, "ClickHouse")
        self.auth = ("cartwake", clickhouse.password(data_dir))

    def client(self, **more: Any) -> Any:
        user, password = self.auth
        return clickhouse_connect.get_client(host="127.0.0.1", port=self.port, username=user, password=password, **more)

    def post(self, sql: str | bytes, **params: str) -> httpx.Response:
        return httpx.post(self.url, content=sql, params=params, auth=self.auth, timeout=60)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = Service(tmp_path_factory.mktemp("clickhouse"), free_port())
    yield started
    started.stop()
    assert not alive(started.process.pid)


@pytest.fixture
def table(service: Service) -> str:
    """An empty table that drops repeated blocks."""
    service.post("DROP TABLE IF EXISTS t SYNC")
    made = service.post(
        "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    assert made.status_code == 200, made.text
    return "t"


@pytest.mark.parametrize("compress", [False, True, "lz4", "zstd", "gzip"])
def test_client_inserts_and_reads_every_type_with_every_compression(service: Service, compress: bool | str) -> None:
    client = service.client(compress=compress)
    client.command("CREATE OR REPLACE TABLE kinds (s String, d DateTime64(3, 'UTC'), m Decimal(18, 2)) ORDER BY s")
    row = ("it's\n\\", datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), Decimal("1.25"))
    client.insert("kinds", [row] * 1000, column_names=["s", "d", "m"])
    assert client.query("SELECT DISTINCT * FROM kinds", query_tz="UTC", tz_mode="aware").result_rows == [row]
    assert client.query("SELECT count() FROM kinds").result_rows == [(1000,)]
    with client.query_row_block_stream("SELECT number FROM numbers(300000)") as stream:
        assert sum(number for block in stream for (number,) in block) == 300000 * 299999 // 2


def test_server_side_parameters_are_data(service: Service) -> None:
    values = {"s": "x'); DROP TABLE t; --\\\n\t", "n": 7, "d": "system", "t": "one"}
    found = service.client().query(
        "SELECT {s:String}, {n:UInt8}, count() FROM {d:Identifier}.{t:Identifier}", parameters=values
    )
    assert found.result_rows == [(values["s"], 7, 1)]


def test_raw_insert_takes_rows_compressed_chunked_or_in_the_url(service: Service, table: str) -> None:
    client = service.client()
    rows = b'{"a": 1, "b": "x;y"}\n{"a": 2, "b": "SELECT"}\n'
    client.raw_insert(table, insert_block=rows, fmt="JSONEachRow")
    client.raw_insert(table, insert_block=iter([rows[:7], rows[7:]]), fmt="JSONEachRow")
    client.raw_insert(table, insert_block=gzip.compress(rows), fmt="JSONEachRow", compression="gzip")
    assert service.post(rows, query="INSERT INTO t FORMAT JSONEachRow").headers["X-ClickHouse-Summary"]
    assert service.post(b"INSERT INTO t VALUES (1, 'a;b'), (2, 'it''s')").status_code == 200
    assert service.post(b"(3, 'c')", query="INSERT INTO t VALUES").status_code == 200
    assert client.query("SELECT count(), uniqExact(b) FROM t").result_rows == [(2 + 3, 5)]  # repeats were dropped


def test_binary_rows_arrive_whole_whatever_bytes_they_hold(service: Service, table: str) -> None:
    rows = b"".join(struct.pack("<Q", i) + b"\x03a\n;" for i in range(100_000))
    client = service.client()
    client.raw_insert(table, insert_block=rows, fmt="RowBinary")
    assert client.query("SELECT count(), min(b), sum(a) FROM t").result_rows == [(100_000, "a\n;", 4999950000)]


def test_insert_select_from_input_reads_the_body(service: Service, table: str) -> None:
    rows = b"".join(struct.pack("<Q", i) + b"\x03a\n;" for i in range(50_000))
    sql = "INSERT INTO t SELECT a + 1, concat(b, 'input(') FROM input('a UInt64, b String') FORMAT RowBinary"
    for token in ("one", "one", "two"):
        service.client().command(sql, data=rows, settings={"insert_deduplication_token": token})
    assert service.client().query("SELECT count(), min(a), any(b) FROM t").result_rows == [(100_000, 1, "a\n;input(")]


def test_repeated_insert_with_its_token_changes_nothing(service: Service, table: str) -> None:
    rows = b"".join(b'{"a": %d, "b": "x"}\n' % i for i in range(1_200_000))  # more than one block
    for size in (5_000_000, 1_000_003):  # however the network cuts the body
        pieces = [rows[at : at + size] for at in range(0, len(rows), size)]
        service.client().raw_insert(
            table, insert_block=iter(pieces), fmt="JSONEachRow", settings={"insert_deduplication_token": "t:0:1-9"}
        )
    assert service.client().query("SELECT count() FROM t").result_rows == [(1_200_000,)]


def test_one_bad_row_refuses_the_whole_insert(service: Service, table: str) -> None:
    rows = b'{"a": 1, "b": "x"}\n' * 50_000 + b'{"a": oops}\n'
    with pytest.raises(DatabaseError, match="row 50001"):
        service.client().raw_insert(table, insert_block=rows, fmt="JSONEachRow")
    assert service.client().query("SELECT count() FROM t").result_rows == [(0,)]


def test_engines_the_schema_needs_work(service: Service) -> None:
    client = service.client()
    for sql in (
        "CREATE TABLE latest (k String, v UInt64) ENGINE = ReplacingMergeTree(v) ORDER BY k",
        "CREATE TABLE old (d DateTime, k String) ENGINE = MergeTree ORDER BY k TTL d + INTERVAL 1 DAY",
        "CREATE MATERIALIZED VIEW per_key ENGINE = SummingMergeTree ORDER BY k AS SELECT k, 1 AS n FROM latest",
        "INSERT INTO latest VALUES ('a', 1), ('b', 1)",
        "INSERT INTO latest VALUES ('a', 2)",
        "INSERT INTO old VALUES ('2020-01-01 00:00:00', 'gone'), ('2100-01-01 00:00:00', 'kept')",
        "OPTIMIZE TABLE old FINAL",
    ):
        client.command(sql)
    assert client.query("SELECT k, v FROM latest FINAL ORDER BY k").result_rows == [("a", 2), ("b", 1)]
    assert client.query("SELECT k, sum(n) FROM per_key GROUP BY k ORDER BY k").result_rows == [("a", 2), ("b", 1)]
    assert client.query("SELECT k FROM old").result_rows == [("kept",)]


@pytest.mark.parametrize(
    ("name", "media", "begin"),
    [
        ("JSON", "application/json", b'{\n\t"meta"'),
        ("CSV", "text/csv", b"0\n1\n"),
        ("CSVWithNames", "text/csv", b'"number"\n0\n'),
        ("XML", "application/xml", b"<?xml"),
        ("JSONEachRow", "application/x-ndjson", b'{"number":'),
        ("TabSeparated", "text/tab-separated-values", b"0\n"),
        ("Parquet", "application/octet-stream", b"PAR1"),
    ],
)
def test_formats_are_one_document_however_many_blocks(service: Service, name: str, media: str, begin: bytes) -> None:
    answer = service.post(f"SELECT number FROM numbers(200000) FORMAT {name}")
    assert answer.headers["Content-Type"].startswith(media)
    assert answer.headers["X-ClickHouse-Format"] == name
    assert answer.content.startswith(begin)
    if name == "JSON":
        assert answer.json()["rows"] == 200000
    else:
        assert answer.content.count(b"<?xml") + answer.content.count(b'"number"\n') <= 1
    settled = service.post("SELECT number FROM numbers(200000)", default_format=name)
    assert len(settled.content) == pytest.approx(len(answer.content), abs=100)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "lz4", "zstd"])
def test_answers_are_compressed_when_asked(service: Service, coding: str) -> None:
    asked = httpx.Request(
        "POST",
        service.url + "?enable_http_compression=1",
        content="SELECT repeat('x', 1000) FROM numbers(100000) FORMAT RowBinary",
        headers={"Accept-Encoding": coding, "X-ClickHouse-User": service.auth[0], "X-ClickHouse-Key": service.auth[1]},
    )
    with httpx.Client(timeout=60) as client:
        answer = client.send(asked)
    assert answer.headers["Content-Encoding"] == coding
    content = lz4.frame.decompress(answer.content) if coding == "lz4" else answer.content
    if coding != "zstd":  # which httpx decodes only with a further package
        assert len(content) == 100000 * 1002


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT nope", 404, 47),
        ("SELEC 1", 400, 62),
        ("SELECT 1; SELECT 2", 400, 62),
        ("SHOW TABLES; SELECT 2", 400, 62),
        ("SELECT * FROM nowhere", 404, 60),
        ("INSERT INTO nowhere FORMAT JSONEachRow\n{}", 404, 60),
        ("SELECT 1 SETTINGS no_such_setting = 1", 404, 115),
        ("SELECT toUInt8('x')", 400, 6),
        ("", 400, 62),
    ],
)
def test_errors_have_the_status_code_and_text_of_clickhouse(service: Service, sql: str, status: int, code: int) -> None:
    answer = service.post(sql)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_error_in_the_middle_of_an_answer_reaches_the_client(service: Service) -> None:
    with pytest.raises(StreamFailureError, match="Code: 395"):
        service.client().query("SELECT throwIf(number = 3000000) FROM numbers(10000000)").result_rows  # noqa: B018
    with pytest.raises(httpx.RemoteProtocolError):
        service.post("SELECT throwIf(number = 3000000) FROM numbers(10000000)")


def test_wrong_password_is_refused_in_every_way_to_give_one(service: Service) -> None:
    user, password = service.auth
    ask = {"query": "SELECT 1"}
    for wrong in (
        httpx.get(service.url, params=ask),
        httpx.get(service.url, params=ask, auth=(user, "wrong")),
        httpx.get(service.url, params=ask, auth=("other", password)),
        httpx.get(service.url, params={**ask, "user": user, "password": "wrong"}),
        httpx.get(service.url, params=ask, headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": "wrong"}),
        httpx.get(service.url, params=ask, headers={"Authorization": "Basic ???"}),
    ):
        assert (wrong.status_code, wrong.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    for right in (
        httpx.get(service.url, params=ask, auth=(user, password)),
        httpx.get(service.url, params={**ask, "user": user, "password": password}),
        httpx.get(service.url, params=ask, headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": password}),
    ):
        assert (right.status_code, right.text) == (200, "1\n")


def test_get_changes_nothing(service: Service, table: str) -> None:
    for sql in ("INSERT INTO t VALUES (1, 'x')", "DROP TABLE t", "CREATE TABLE z (a Int8) ENGINE = Memory"):
        for readonly in ("0", "2"):
            answer = httpx.get(service.url, params={"query": sql, "readonly": readonly}, auth=service.auth, timeout=60)
            assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert service.post("SELECT count() FROM t").text == "0\n"


def test_settings_and_database_last_for_one_request(service: Service) -> None:
    ask = "SELECT currentDatabase(), getSetting('max_threads')"
    assert service.post(ask, database="cartwake", max_threads="1").text == "cartwake\t1\n"
    assert service.post(ask, session_id="s", async_insert="0").text.startswith("default\t")
    assert service.client(database="cartwake").query("SELECT currentDatabase()").result_rows == [("cartwake",)]
    assert service.post("SELECT 1", database="nowhere").status_code == 404


def test_parameters_too_long_for_an_address_come_as_a_form(service: Service) -> None:
    words = [f"{n:0100d}" for n in range(2_000)]
    asked = {"words": words, "more": "x'; DROP"}
    found = service.client().query("SELECT length({words:Array(String)}), {more:String}", parameters=asked)
    assert found.result_rows == [(2_000, "x'; DROP")]


def test_external_data_is_refused_clearly(service: Service) -> None:
    data = ExternalData(data=b"1\n", file_name="x", fmt="CSV", structure="a UInt8")
    with pytest.raises(DatabaseError, match=r"External data .* not supported"):
        service.client().query("SELECT * FROM x", external_data=data)


def test_damaged_compressed_body_is_refused(service: Service, table: str) -> None:
    answer = httpx.post(
        service.url,
        params={"query": "INSERT INTO t FORMAT JSONEachRow"},
        content=b"no gzip",
        headers={"Content-Encoding": "gzip"},
        auth=service.auth,
    )
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "117")


def test_slow_reader_and_slow_queries_hold_up_nobody(service: Service) -> None:
    client = service.client()
    slow = client.raw_stream("SELECT number, repeat('x', 1000) FROM numbers(100000000)", fmt="TabSeparated")
    slow.read(10)
    ask = "SELECT sum(sleepEachRow(0.4)) FROM numbers(5) SETTINGS max_block_size = 1"
    askers = [threading.Thread(target=service.post, args=(ask,)) for _ in range(6)]
    for asker in askers:
        asker.start()
    going_on = "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(0.4)%' AND query NOT LIKE '%LIKE%'"
    until(lambda: int(service.post(going_on).text) >= 4)
    assert clickhouse.answers(service.port)
    for asker in askers:
        asker.join()
    slow.close()


def test_kill_9_keeps_what_was_answered_and_a_second_opener_is_refused(tmp_path: Path, port: int, run: Run) -> None:
    first = Service(tmp_path, port)
    first.post("CREATE TABLE cartwake.t (a UInt64) ENGINE = MergeTree ORDER BY a")
    first.post("INSERT INTO cartwake.t SELECT number FROM numbers(1000)")
    second = run("-m", "local.clickhouse", "--data-dir", str(tmp_path), "--port", str(free_port()))
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"already running on {tmp_path} (port {port})" in said
    assert "Traceback" not in said
    first.process.kill()
    first.process.wait()
    assert first.process.stdout is not None
    first.process.stdout.close()
    again = Service(tmp_path, port)
    assert again.auth == first.auth
    assert again.post("SELECT count() FROM cartwake.t").text == "1000\n"
    again.stop()
    assert not clickhouse.answers(port)


def test_password_is_made_once_and_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = clickhouse.password(tmp_path / "new")
    path = tmp_path / "new" / "clickhouse.password"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert clickhouse.password(tmp_path / "new") == made
    assert clickhouse.dsn(tmp_path / "new", 81, "d") == f"clickhouse://cartwake:{made}@127.0.0.1:81/d"
    monkeypatch.setenv(clickhouse.PASSWORD_VARIABLE, "a/b@c")
    assert clickhouse.dsn(tmp_path / "new", 81, "d") == "clickhouse://cartwake:a%2Fb%40c@127.0.0.1:81/d"


def test_taken_port_is_said_with_the_setting(tmp_path: Path, port: int, run: Run) -> None:
    with socket.create_server(("127.0.0.1", port)):
        process = run("-m", "local.clickhouse", "--data-dir", str(tmp_path), "--port", str(port))
        said, _ = process.communicate(timeout=60)
    assert f"Port {port} for the embedded ClickHouse is in use" in said
    assert "CARTWAKE_CLICKHOUSE_PORT=18123" in said


@pytest.mark.parametrize(
    ("sql", "text", "name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1;2", b"INSERT INTO t ", "CSV", b"1;2"),
        (b"INSERT INTO t (format, `values`) FORMAT CSV\r\nx", b"INSERT INTO t (format, `values`) ", "CSV", b"x"),
        (b"insert into format FORMAT TSV 1", b"insert into format ", "TSV", b"1"),
        (
            b"/* FORMAT X */ INSERT INTO t -- FORMAT Y\nFORMAT Z\n",
            b"/* FORMAT X */ INSERT INTO t -- FORMAT Y\n",
            "Z",
            b"",
        ),
        (b"INSERT INTO t VALUES ('FORMAT CSV')", b"INSERT INTO t VALUES ('FORMAT CSV')", None, b""),
        (b"INSERT INTO t SELECT 1 FORMAT CSV", b"INSERT INTO t SELECT 1 FORMAT CSV", None, b""),
        (b"INSERT INTO t SETTINGS a = 'FORMAT' FORMAT Q\n\n", b"INSERT INTO t SETTINGS a = 'FORMAT' ", "Q", b"\n"),
    ],
)
def test_rows_begin_after_the_format_clause(sql: bytes, text: bytes, name: str | None, data: bytes) -> None:
    found = statement.read(sql)
    assert (found.text, found.data_format, found.data) == (text, name, data)


@pytest.mark.parametrize(
    ("sql", "name", "rows", "several"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON", True, False),
        (b"select format from (select 1 FORMAT CSV) ;", None, True, False),
        (b"SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON", True, False),
        (b"(SELECT 1) UNION ALL (SELECT ';') FORMAT CSV;", "CSV", True, False),
        (b"SELECT 1; DROP TABLE t", None, True, True),
        (b"SHOW TABLES FORMAT TSV", "TSV", False, False),
    ],
)
def test_answer_format_is_the_last_clause(sql: bytes, name: str | None, rows: bool, several: bool) -> None:
    found = statement.read(sql)
    assert (found.answer, found.gives_rows, found.several) == (name, rows, several)
