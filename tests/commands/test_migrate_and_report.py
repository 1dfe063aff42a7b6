"""`cartwake migrate` and `cartwake report` on a real ClickHouse."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet
import pytest

import sql
from cartwake.errors import ConfigurationError
from sinks import reports
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.sinks.records import outcome, put

FILES = sql.names("schema")
DAYS = ("--from", "2026-11-23", "--to", "2026-11-24")


@pytest.mark.stack
def test_dry_run_changes_nothing_and_a_repetition_has_nothing_to_do(run: Run) -> None:
    asked = run("migrate", "--dry-run")
    assert (asked.exit_code, [x[6:] for x in asked.stdout.splitlines() if x.startswith("-- == 0")]) == (0, FILES)
    assert run("migrate", "--status").stdout.count("not applied") == len(FILES)
    assert run("migrate").stdout.split() == FILES
    again = run("migrate")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "nothing to do" in again.stderr
    assert "not applied" not in run("migrate", "--status").stdout


@pytest.mark.stack
def test_the_dictionary_is_written_of_a_migrated_database_alone(run: Run) -> None:
    assert run("migrate").exit_code == 0
    assert run("migrate", "--dictionary").stdout == (Path(__file__).parents[2] / "docs/dictionary.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.stack
def test_there_is_no_dictionary_before(run: Run) -> None:
    said = run("migrate", "--dictionary")
    assert isinstance(said.exception, ConfigurationError)
    assert said.stdout == ""


@pytest.mark.stack
def test_report_in_every_format(run: Run, store: ClickHouse) -> None:
    put(store, "cart-outcomes", outcome(), outcome(number=2))
    assert json.loads(run("report", "abandonments", *DAYS, "--format", "json").stdout)[0]["abandonments"] == 2
    rows = list(csv.reader(run("report", "abandonments", *DAYS, "--format", "csv").stdout.splitlines()))
    assert dict(zip(*rows, strict=True))["value"] == "79.96"
    assert "<abandonments>2</abandonments>" in run("report", "abandonments", *DAYS, "--format", "xml").stdout
    assert "79.96" in run("report", "abandonments", *DAYS).stdout
    assert json.loads(run("report", "abandonments", *DAYS, "--shop", "none", "--format", "json").stdout) == []


def test_reports_are_listed_with_their_words(run: Run) -> None:
    said = run("report", "--list")
    assert said.exit_code == 0
    for name in reports.names():
        assert f"{name}\n  {reports.load(name).title}" in said.stdout
    assert run("report").exit_code == 2


def test_a_wrong_name_says_which_there_are(run: Run) -> None:
    said = run("report", "abandonment")
    assert isinstance(said.exception, ConfigurationError)
    assert "Did you mean abandonments" in str(said.exception)


@pytest.mark.stack
def test_a_database_without_tables_says_what_to_do(run: Run) -> None:
    assert "cartwake migrate" in str(run("report", "abandonments").exception)


@pytest.mark.stack
def test_days_in_the_wrong_order_are_refused(run: Run, store: ClickHouse) -> None:
    assert "is before" in str(run("report", "abandonments", "--from", "2026-11-02", "--to", "2026-11-01").exception)


@pytest.mark.stack
def test_a_report_as_parquet_and_as_pictures(run: Run, store: ClickHouse) -> None:
    put(store, "cart-outcomes", outcome(), outcome(number=2))
    asked = ("report", "abandonment-rate", *DAYS, "--by", "stage")
    told = pyarrow.parquet.read_table(io.BytesIO(run(*asked, "--format", "parquet").stdout_bytes)).to_pylist()
    assert [(x["slice"], x["carts"], x["value"]) for x in told] == [("payment", 2, Decimal("79.96"))]
    assert "100.0 %" in run(*asked, "--chart").stdout
    assert "100.0 %" in run(*asked, "--format", "svg").stdout
    light, dark = (run(*asked, "--format", "png", *more).stdout_bytes for more in ((), ("--dark",)))
    assert light.startswith(b"\x89PNG")
    assert light != dark


def test_choices_are_listed_with_their_report(run: Run) -> None:
    said = run("report", "--list").stdout
    assert "--by: what makes a row; hour is that of the day, UTC (day, hour, weekday," in said
    assert "--window: days after the deadline within which an order counts (1 to 90; 7 when not given)" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("funnel", "--by", "day"), "the report funnel has no --by; it takes nothing but --from, --to and --shop"),
        (("abandonment-rate", "--by", "devices"), "did you mean device? choose one of day"),
        (("abandoned-pairs", "--top", "0"), "--top 0 is out of range: 1 to 10000. Example: --top 100"),
        (("incrementality", "--window", "91"), "--window 91 is out of range: 1 to 90"),
        (("funnel", "--from", "1969-12-31", "--to", "2026-11-01"), "are days from 1970-01-01"),
        (("conservation", "--chart"), "has no chart"),
        (("conservation", "--format", "png"), "has no chart"),
        (("funel",), "Did you mean funnel"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_started(run: Run, words: tuple[str, ...], said: str) -> None:
    refused = run("report", *words, clickhouse_dsn="clickhouse://nobody@127.0.0.1:1/none")
    assert isinstance(refused.exception, ConfigurationError)
    assert said in str(refused.exception)


def test_a_day_that_is_none_is_refused_with_its_form(run: Run) -> None:
    refused = run("report", "funnel", "--from", "2026-02-30")
    assert (refused.exit_code, "'%Y-%m-%d'" in refused.stderr) == (2, True)
