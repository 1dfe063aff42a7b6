"""`cartwake sql`: once and as a conversation on a terminal, reading only, safe to look at."""

import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest

from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from sinks.ask import Wrong
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.conftest import free_port
from tests.patience import until
from tests.sinks.records import event, match, outcome, put

pytestmark = pytest.mark.stack
EVIL = "\x1b]0;owned\x07\x1b[31m=cmd|' /c calc'!A1\u202e"


@pytest.fixture
def shop(store: ClickHouse) -> ClickHouse:
    """Two abandonments and a product whose name attacks a terminal and a spreadsheet."""
    put(store, "cart-outcomes", outcome(), outcome(number=2, currency="CHF", value="5.00"))
    put(store, "subscriber-carts", match())
    put(store, "cart-events", event(1, items=[{"sku": "A1", "name": EVIL, "quantity": 2, "price": "19.99"}]))
    return store


NAMES = "SELECT line.name AS name, line.price AS price FROM cart_events ARRAY JOIN items AS line"
MONEY = "SELECT currency, sum(a.value) AS value FROM abandonments AS a GROUP BY currency ORDER BY currency"


# -- once --------------------------------------------------------------------------------------------------------
def test_a_question_is_answered_in_every_format(run: Run, shop: ClickHouse) -> None:
    table = run("sql", MONEY)
    assert (table.exit_code, table.stdout) == (
        0,
        "currency | value\n---------+------\nCHF      |  5.00\nEUR      | 39.98\n",
    )
    assert run("sql", MONEY, "--format", "vertical").stdout.splitlines()[:3] == [
        "row 1:",
        "  currency  CHF",
        "  value     5.00",
    ]
    assert list(csv.reader(io.StringIO(run("sql", MONEY, "--format", "csv").stdout))) == [
        ["currency", "value"],
        ["CHF", "5.00"],
        ["EUR", "39.98"],
    ]
    assert json.loads(run("sql", MONEY, "--format", "json").stdout) == [
        {"currency": "CHF", "value": "5.00"},
        {"currency": "EUR", "value": "39.98"},
    ]
    parquet = pyarrow.parquet.read_table(io.BytesIO(run("sql", MONEY, "--format", "parquet").stdout_bytes))
    assert [x["currency"] for x in parquet.to_pylist()] in (["CHF", "EUR"], [b"CHF", b"EUR"])


def test_every_type_of_value_has_a_form(run: Run, shop: ClickHouse) -> None:
    sql = (
        "SELECT NULL AS n, [1.5, 2] AS a, map('k', toDecimal64(1, 2)) AS m, (1, 'x') AS t, toDate('2026-11-23') AS d, "
        "toDateTime64('2026-11-23 12:00:00', 3, 'UTC') AS at, nan AS f, true AS b, toUUID('"
        "11111111-1111-1111-1111-111111111111') AS u, '' AS e"
    )
    [row] = json.loads(run("sql", sql, "--format", "json").stdout)
    assert (row["n"], row["a"], row["m"], row["t"]) == (None, [1.5, 2.0], {"k": "1.00"}, [1, "x"])
    assert (row["d"], row["at"], row["f"], row["b"]) == ("2026-11-23", "2026-11-23T12:00:00.000Z", "nan", True)
    assert row["u"].startswith("1111")
    assert 'NULL | [1.5,2.0] | {"k":"1.00"}' in run("sql", sql).stdout
    assert run("sql", sql, "--format", "csv").stdout.splitlines()[1].startswith(",")


def test_no_rows_still_have_columns(run: Run, shop: ClickHouse) -> None:
    nobody = "SELECT cart_id, value FROM abandonments WHERE cart_id = 'none';"
    assert run("sql", nobody, "--format", "csv").stdout == "cart_id,value\n"
    assert json.loads(run("sql", nobody, "--format", "json").stdout) == []


def test_a_file_has_several_statements_and_parameters(run: Run, shop: ClickHouse, tmp_path: Path) -> None:
    file = tmp_path / "day.sql"
    file.write_text(
        "-- two; questions\nSELECT count() AS n FROM abandonments WHERE toDate(abandoned_at) >= {from:Date};\n"
        "SELECT 'a;b' AS x, {shop:String} AS shop /* ; */;\n\n-- end\n"
    )
    said = run("sql", "-f", str(file), "--param", "from=2026-11-23", "--param", "shop=o'x%\\", "--format", "csv")
    assert said.stdout.splitlines() == ["n", "2", "x,shop", "a;b,o'x%\\"]
    assert "parameter shop has no value: --param shop=" in str(
        run("sql", "-f", str(file), "--param", "from=2026-11-23").exception
    )
    assert run("sql", "SELECT countIf(email LIKE '%a%') AS n FROM persons", "--param", "x=1").exit_code == 0
    assert run("sql", "--format", "csv", stdin="SELECT 1 AS x").stdout == "x\n1\n"


def test_what_is_given_wrongly_is_said(run: Run, shop: ClickHouse, tmp_path: Path) -> None:
    file = tmp_path / "x.sql"
    file.write_text("-- nothing\n")
    for words in (("SELECT 1", "--param", "from"), ("-f", str(file)), ("SELECT 1", "-f", str(file))):
        assert run("sql", *words).exit_code == 2
    assert run("sql", "SELECT 1", "SELECT 2").exit_code == 2
    assert "leave FORMAT away" in str(run("sql", "SELECT 1\nFORMAT JSON").exception)
    assert "parquet is for one" in run("sql", "SELECT 1; SELECT 2", "--format", "parquet").stderr


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT state\nFORM abandonments", "line 2, column 6: this can't stand here: abandonments"),
        ("SELECT state,\n  count( FROM abandonments", "line 2, column 8: this bracket is never closed"),
        ("SELECT 1,\n'abc", "line 2, column 1: this text or name is never closed"),
        ("SELECT count() FROM plans WHERE", "the statement ends too early"),
        ("SELECT\n  stat FROM abandonments", "line 2, column 3: there is no column stat; did you mean"),
        ("SELECT 1 FROM abandonment", "line 1, column 15: there is no table or view abandonment; did you mean abandon"),
        ("SELECT cuont() FROM plans", "line 1, column 8: there is no function cuont; did you mean"),
        ("SELECT toUInt8('x')", "Cannot parse string 'x' as UInt8"),
        ("SELECT throwIf(number = 300000) FROM numbers(1000000)", "throwIf"),
    ],
)
def test_mistakes_are_said_with_their_place(run: Run, shop: ClickHouse, sql: str, words: str) -> None:
    said = run("sql", sql)
    assert isinstance(said.exception, Wrong)
    assert words in str(said.exception)
    assert "DB::Exception" not in str(said.exception)


def test_the_mark_stands_below_the_place(run: Run, shop: ClickHouse) -> None:
    said = str(run("sql", "SELECT 'ü', stat FROM abandonments").exception).splitlines()
    assert said[1:] == ["  SELECT 'ü', stat FROM abandonments", "              ^"]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO cart_events_log (cart_id) VALUES ('x')", "/* x */ DROP VIEW plans", "SYSTEM STOP MERGES",
        "KILL QUERY WHERE 1", "WITH 1 AS x INSERT INTO cart_events_log (cart_id) SELECT 'x'",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)  # fmt: skip
def test_nothing_is_changed(run: Run, shop: ClickHouse, sql: str) -> None:
    before = shop.query("SELECT count() AS n FROM cart_events_log")
    said = run("sql", sql)
    assert isinstance(said.exception, Wrong)
    assert re.search("only reading here|not supported", str(said.exception))
    assert shop.query("SELECT count() AS n FROM cart_events_log") == before


def test_write_lifts_that(run: Run, shop: ClickHouse) -> None:
    assert (
        run("sql", "--write", "CREATE VIEW mine AS SELECT 1 AS x; SELECT x FROM mine", "--format", "csv").exit_code == 0
    )
    assert shop.query("SELECT x FROM mine") == [{"x": 1}]


def test_a_spreadsheet_runs_nothing_and_a_file_has_what_was_said(run: Run, shop: ClickHouse) -> None:
    plus = "SELECT '+1' AS a, -1 AS b, -1.5 AS c, toDecimal64(-2, 2) AS d, ['=1'] AS e"
    assert run("sql", plus, "--format", "csv").stdout.splitlines()[1] == '\'+1,-1,-1.5,-2.00,"[""=1""]"'
    assert json.loads(run("sql", NAMES, "--format", "json").stdout)[0]["name"] == EVIL


def test_an_unreachable_clickhouse_is_said_in_words(run: Run) -> None:
    said = run("sql", "SELECT 1", clickhouse_dsn="clickhouse://a:secret@127.0.0.1:1/x")
    assert "127.0.0.1:1" in str(said.exception)
    assert "secret" not in str(said.exception)


# -- who asks ----------------------------------------------------------------------------------------------------
def test_this_machines_own_is_asked_as_the_analyst(settings: Settings, run: Run, tmp_path: Path) -> None:
    own = {"clickhouse_dsn": "", "data_dir": str(tmp_path / "own"), "clickhouse_port": str(free_port())}
    said = run("sql", "SELECT getSetting('readonly') AS r, count() AS n FROM abandonments", "--format", "csv", **own)
    assert said.stdout == "r,n\n1,0\n"
    assert (tmp_path / "own" / "analyst.password").stat().st_mode & 0o777 == 0o600
    assert "reaches out" in str(run("sql", "SELECT file('/etc/hostname')", **own).exception)


def test_how_to_connect_is_said_without_a_secret(run: Run, tmp_path: Path) -> None:
    own = {"clickhouse_dsn": "", "data_dir": str(tmp_path)}
    said = run("sql", "--show-connection", **own).stdout
    assert f'curl -u "analyst:$(cat {tmp_path}/analyst.password)"' in said
    assert "database  t" in said
    far = run("sql", "--show-connection", analyst_dsn="clickhouse://ana:sesame@ch.example.com:8443/cartwake").stdout
    assert "https://ch.example.com:8443/" in far
    assert "CARTWAKE_ANALYST_DSN" in far
    assert "sesame" not in far
    assert "may change everything" in run("sql", "--show-connection").stdout


# -- on a terminal -----------------------------------------------------------------------------------------------
def heed_ctrl_c() -> None:
    """As in any terminal, also when whoever runs the tests ignores it, as a shell's background jobs do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """A `cartwake sql` whose terminal is ours."""

    def __init__(self, settings: Settings, *words: str, rows: int = 24) -> None:
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "PAGER": "sed s/^/paged:/", "LANG": "C.UTF-8"}
        environment |= settings.environment() | {"LINES": str(rows), "COLUMNS": "120"}
        ours, theirs = pty.openpty()
        self._master, self._seen = ours, ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cartwake", "sql", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
            preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - one call of the system, no lock
        )  # fmt: skip
        os.close(theirs)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def until(self, pattern: str, within: float = 60) -> str:
        """What was shown up to and with `pattern`; the next call begins behind it."""
        end = time.monotonic() + within
        while not (found := re.search(pattern, self._seen)):
            assert time.monotonic() < end, f"no {pattern!r} in {self._seen!r}"
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    self._seen += os.read(self._master, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    assert re.search(pattern, self._seen), f"ended without {pattern!r}: {self._seen!r}"
        shown, self._seen = self._seen[: found.end()], self._seen[found.end() :]
        return shown

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(settings: Settings, shop: ClickHouse) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str, rows: int = 24, **changes: str) -> Terminal:
        opened.append(Terminal(msgspec.structs.replace(settings, **changes), *words, rows=rows))
        return opened[-1]

    yield start
    for one in opened:
        one.end()


PROMPT = r"t\w{8}> "


def test_a_conversation(terminal: Callable[..., Terminal], settings: Settings) -> None:
    shell = terminal()
    shell.until(PROMPT)
    shell.type("SELECT state, count() AS n\n")
    shell.until(r"t\w{8}- ")
    shell.type("FROM abandonments GROUP BY state;\n")
    assert "open" in shell.until(r"1 row, [\d.]+ s")
    shell.until(PROMPT)
    shell.type("\\x\n")
    shell.until("format vertical")
    shell.type("\\timing\n")
    shell.until("timing off")
    shell.type("SELECT {who:String} AS who, ';' AS sign;\n")
    shell.until("parameter who has no value")
    shell.type("\\set who Ana Maria\n")
    shell.type("SELECT {who:String} AS who, ';' AS sign; SELECT 7 AS seven;\n")
    shell.until(r"who   Ana Maria")
    shell.until(r"seven  7")
    shell.type("\\f csv\n")
    shell.until("format csv")
    shell.type("SELECT stat FROM abandonments;\n")
    shell.until("there is no column stat")
    shell.until(PROMPT)
    shell.type("SELECT 'never")
    shell.until("never")
    shell.process.send_signal(signal.SIGINT)
    shell.until(PROMPT)
    shell.type("SELECT 'after' AS x;\n")
    shell.until(r"x\r\nafter")
    shell.type("\\quit\n")
    shell.until("not understood")
    shell.type("\x04")
    assert shell.process.wait(60) == 0
    history = settings.data_dir / "sql.history"
    assert "SELECT 'after' AS x;" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


def test_names_are_completed_and_described(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    shell.until(PROMPT)
    shell.type("SELECT count() AS n FROM wishl\t;\n")
    shell.until(r"wishlists ?;[\s\S]*n\r\n")
    shell.until(PROMPT)
    shell.type("SELECT message_wor\t FROM abandonments LIMIT 0;\n")
    shell.until(r"message_words  ?FROM[\s\S]*0 rows")
    shell.until(PROMPT)
    shell.type("\\d devices\n")
    assert "only evidence of the same session counts" in shell.until(r"unlinked +UInt64 .*\r\n")
    shell.type("\\d nothing\n")
    shell.until("there is no table or view nothing")
    shell.until(PROMPT)
    shell.type("\\q\n")
    assert shell.process.wait(60) == 0


def test_what_is_longer_than_the_screen_goes_through_the_pager(terminal: Callable[..., Terminal]) -> None:
    shell = terminal(rows=10)
    shell.until(PROMPT)
    shell.type("\\d\n")
    shell.until("paged:abandonments")
    shell.until("paged:wishlists")
    shell.until(PROMPT)
    shell.type("SELECT 1 AS x;\n")
    assert "paged" not in shell.until("1 row,")
    shell.type("SELECT number FROM numbers(100000);\n")
    shell.until("paged: *99999")
    shell.until("100000 rows,")
    shell.until(PROMPT)
    shell.type("\\q\n")
    assert shell.process.wait(60) == 0


@pytest.mark.parametrize("format_", ["table", "vertical", "csv", "json"])
def test_a_product_name_gives_the_terminal_no_orders(terminal: Callable[..., Terminal], format_: str) -> None:
    shown = terminal(NAMES, "--format", format_).until("19.99")
    assert "owned" in shown
    for order in ("\x1b", "\x07", "\u202e", "\x9b"):
        assert order not in shown


def test_a_mistake_gives_the_terminal_no_orders(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("SELECT throwIf(1, '\\x1b]0;owned\\x07')").until("owned")
    assert "\x07" not in shown
    assert "\x1b]0;" not in shown


def test_a_slow_question_can_be_given_up(terminal: Callable[..., Terminal], shop: ClickHouse) -> None:
    shell = terminal()
    shell.until(PROMPT)
    shell.type("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(number);\n")
    running = "SELECT count() AS n FROM system.processes WHERE startsWith(query, 'SELECT count() FROM numbers(1000')"
    until(lambda: shop.query(running)[0]["n"], "the question is asked")
    os.killpg(shell.process.pid, signal.SIGINT)
    shell.until("given up", within=60)
    shell.until(PROMPT)
    shell.type("SELECT 5 AS five;\n")
    shell.until("1 row")
    shell.type("\\q\n")
    assert shell.process.wait(60) == 0


def test_a_file_that_is_no_text_is_said(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.sql"
    file.write_bytes(b"SELECT '\xff'")
    assert isinstance(run("sql", "-f", str(file)).exception, ConfigurationError)
