"""`cartwake migrate`: what would run is said as SQL that does the same, status is loud, retention follows settings."""

import json
from collections.abc import Iterator

import msgspec
import pytest

import sql
from cartwake.clock import SystemClock
from cartwake.commands.doctor import of_clickhouse
from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate_settings, statements
from tests.commands.conftest import Run
from tests.patience import until

pytestmark = pytest.mark.stack
FILES = sql.names("schema")


@pytest.fixture
def bare(settings: Settings) -> Iterator[ClickHouse]:
    """A client of a database that is not there yet; it is dropped in the end."""
    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as client:
        yield client
        client.command(f"DROP DATABASE IF EXISTS {settings.clickhouse_database}")


@pytest.fixture
def store(bare: ClickHouse, settings: Settings) -> ClickHouse:
    """The same, migrated: these tests change it."""
    migrate_settings(bare, settings)
    return bare


def made(client: ClickHouse) -> list[tuple[str, str]]:
    rows = client.query("SELECT name, create_table_query AS made FROM system.tables WHERE database = currentDatabase()")
    return sorted((x["name"], x["made"]) for x in rows if not x["name"].startswith("."))


def retained(run: Run) -> dict[str, str]:
    lines = [x.split(maxsplit=1) for x in run("migrate", "--status").stdout.splitlines()]
    return {name: words for name, words in lines if name.endswith("_log")}


def test_dry_run_is_a_script_that_does_what_migrate_does(run: Run, bare: ClickHouse) -> None:
    script = run("migrate", "--dry-run").stdout
    assert script.index(FILES[0]) < script.index("What shops sent, one table a topic") < script.index(FILES[1])
    for statement in statements(script):
        bare.command(statement)
    by_hand = made(bare)
    bare.command(f"DROP DATABASE {bare.database} SYNC")
    assert run("migrate").stdout.split() == FILES
    assert made(bare) == by_hand
    assert run("migrate", "--dry-run").stdout == ""


def test_status_says_when_and_by_which_version(run: Run, bare: ClickHouse) -> None:
    assert run("migrate", "--status").stdout.splitlines() == [f"{x}  not applied" for x in FILES]
    run("migrate")
    said = run("migrate", "--status").stdout.splitlines()
    version = bare.query("SELECT any(version) AS v FROM schema_migrations")[0]["v"]
    for name, line in zip(FILES, said, strict=False):
        assert line.startswith(f"{name}  20")
        assert line.endswith(f"  by {version}")
    assert "messages_log keeps 90 days" in said


def test_a_file_that_changed_and_one_nobody_knows_are_said_loudly(run: Run, store: ClickHouse) -> None:
    store.execute(
        "INSERT INTO schema_migrations (number, name, sha256, version)"
        f" VALUES (2, '{FILES[1]}', repeat('0', 64), '0.0.9'), (900, '900_later.sql', repeat('1', 64), '7.0.0')"
    )
    said = run("migrate", "--status")
    assert isinstance(said.exception, ConfigurationError)
    assert "has changed since" in str(said.exception)
    assert [x for x in said.stdout.splitlines() if x.startswith(FILES[1]) and x.endswith("by 0.0.9  CHANGED SINCE")]
    assert "900_later.sql" in said.stdout
    assert "UNKNOWN TO THIS VERSION" in said.stdout
    assert "changed since" in str(run("migrate").exception)
    assert "changed since" in str(run("migrate", "--dry-run").exception)


def test_records_from_before_versions_were_noted_are_understood(run: Run, store: ClickHouse) -> None:
    store.command(f"ALTER TABLE {store.database}.schema_migrations DROP COLUMN version")
    store.command(f"DROP TABLE {store.database}.schema_migrations_log SYNC")
    assert all(x.endswith("Z") for x in run("migrate", "--status").stdout.splitlines() if x.startswith("0"))
    assert "nothing to do" in run("migrate").stderr
    store.execute(f"DELETE FROM schema_migrations WHERE number = {len(FILES)}")
    assert run("migrate").stdout.split() == FILES[-1:]
    assert " by " in run("migrate", "--status").stdout


def test_a_migrator_that_did_not_end_is_told_of(run: Run, store: ClickHouse) -> None:
    row = {"turn": 900, "migrator": "host:7:x", "what": "took", "file": FILES[3], "version": "0.1.0"}
    store.insert("INSERT INTO schema_migrations_log FORMAT JSONEachRow", json.dumps(row).encode(), token="t")
    assert f"a migrator (host:7:x, 0.1.0) is or was at {FILES[3]}" in run("migrate", "--status").stdout


def test_retention_is_that_of_the_settings_in_all_tables_and_in_one(run: Run, bare: ClickHouse) -> None:
    wanted = {"retention_days": "30", "retention_tables": "messages=365"}
    run("migrate", **wanted)
    assert set(retained(run).values()) == {
        "keeps 30 days; the settings say 90: `cartwake migrate` changes it",
        "keeps 365 days; the settings say 90: `cartwake migrate` changes it",
    }
    dry = run("migrate", "--dry-run", retention_days="30", retention_tables="messages=365,order_events=1095").stdout
    assert dry.count("ALTER TABLE") == 1
    assert f"{bare.database}.order_events_log MODIFY TTL toDateTime(received_at) + toIntervalDay(1095)" in dry
    applied = run("migrate", retention_days="30", retention_tables="messages=365,order_events=1095").stdout
    assert applied == "retention of order_events_log: 1095 days instead of 30\n"
    assert len(run("migrate").stdout.splitlines()) == len(retained(run))
    assert run("migrate").stdout == ""
    assert set(retained(run).values()) == {"keeps 90 days"}


def test_rows_go_and_stay_as_the_retention_says(run: Run, store: ClickHouse) -> None:
    """A shorter retention lets go of what is there, and a longer one keeps what has not gone yet."""
    table = f"{store.database}.cart_events_log"
    now = SystemClock().now_ms() // 1000

    def put(*ages: int) -> None:
        for age in ages:
            row = {"event_id": str(age), "received_at": now - age * 86_400}
            statement = "INSERT INTO cart_events_log (event_id, received_at) FORMAT JSONEachRow"
            store.insert(statement, json.dumps(row).encode(), token=f"{age}")

    def left_with(days: int) -> set[str]:
        assert f"cart_events_log: {days} days" in run("migrate", retention_tables=f"cart_events={days}").stdout
        going_on = "SELECT count() AS n FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
        until(lambda: store.query(going_on)[0]["n"] == 0, "every part has the new retention")
        store.command(f"SYSTEM START TTL MERGES {table}")
        store.command(f"OPTIMIZE TABLE {table} FINAL")
        return {x["event_id"] for x in store.query("SELECT event_id FROM cart_events_log")}

    put(80, 40, 1)
    assert left_with(60) == {"40", "1"}
    store.command(f"SYSTEM STOP TTL MERGES {table}")
    put(75)
    assert left_with(365) == {"75", "40", "1"}


def test_only_migrate_changes_a_retention(
    settings: Settings, store: ClickHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """A role or a command that was started without the settings file by mistake must not throw rows away."""
    mistaken = msgspec.structs.replace(settings, retention_days=7)
    assert migrate_settings(store, mistaken) == ()
    assert "messages_log keeps 90 days, the settings say 7: `cartwake migrate` changes it" in caplog.text
    found = [x for x in of_clickhouse(mistaken) if "keeps 90 days, the settings say 7" in x.words]
    assert {(x.fine, x.way_out) for x in found} == {(None, "cartwake migrate")}
    applied = migrate_settings(store, mistaken, change_retention=True)
    assert len(applied) == len(found) >= 8
    assert migrate_settings(store, mistaken, change_retention=True) == ()


def test_a_rule_of_the_operators_own_is_left_alone(run: Run, store: ClickHouse) -> None:
    store.command(f"ALTER TABLE {store.database}.messages_log REMOVE TTL")
    tiers = (
        "toDateTime(received_at) + INTERVAL 7 DAY RECOMPRESS CODEC(ZSTD(9)), toDateTime(received_at) + INTERVAL 80 DAY"
    )
    store.command(f"ALTER TABLE {store.database}.order_events_log MODIFY TTL {tiers}")
    before = made(store)
    assert run("migrate").stdout == ""
    assert made(store) == before
    assert not {"messages_log", "order_events_log"} & retained(run).keys()


def test_retention_of_a_table_that_has_none_is_refused(run: Run, bare: ClickHouse) -> None:
    assert "Did you mean messages?" in str(run("migrate", retention_tables="mesages=30").exception)
    assert "settings is no table with a retention" in str(run("migrate", retention_tables="settings=30").exception)
    assert "not of the form" in str(run("migrate", retention_tables="messages=0").exception)
    assert run("migrate", "--status").stdout.count("not applied") == len(FILES)
