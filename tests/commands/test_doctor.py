"""`cartwake doctor`: each part is looked at, and what is wrong comes with the way out."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cartwake.commands import doctor
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from local import stack
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.commands.test_topics_command import make
from tests.conftest import free_port
from tests.patience import until

pytestmark = pytest.mark.stack


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Settings]:
    """The settings with a mail server that answers."""
    with stack.embedded(settings, mailbox=True) as running:
        yield running


def test_everything_in_order_is_exit_code_0(run: Run, topics: Settings, store: ClickHouse, mailbox: Settings) -> None:
    said = run("doctor", smtp_host=mailbox.smtp_host, smtp_port=str(mailbox.smtp_port), smtp_tls="none")
    assert said.exit_code == 0, said.stdout
    assert "✗" not in said.stdout
    for words in (
        "settings are understood",
        "Kafka answers at",
        "11 topics",
        "Kafka's clock agrees",
        "no shop has rules for reminders, so nobody is written to",
        "ClickHouse 2",
        "ClickHouse's clock agrees",
        "is up to date",
        "greets",
        "role collector is not at work here",
        "no user for analysts is set",
    ):
        assert words in said.stdout


def test_shops_that_write_are_named(run: Run, topics: Settings, store: ClickHouse) -> None:
    with Publisher(topics) as publisher:
        set_for(publisher, "berlin", "reminders", {"steps": [{}]})
        set_for(publisher, "main", "reminders", {"steps": [{}], "enabled": False})
    assert "✓ reminders are on for berlin\n" in run("doctor").stdout


def test_the_analysts_user_is_tried(settings: Settings, store: ClickHouse, tmp_path: Path) -> None:
    own = msgspec.structs.replace(settings, clickhouse_dsn="", data_dir=tmp_path, clickhouse_port=free_port())
    assert "analysts connect as analyst: cartwake sql --show-connection" in [x.words for x in doctor.of_clickhouse(own)]
    wrong = msgspec.structs.replace(settings, analyst_dsn=re.sub(r":[^:@/]+@", ":wrong@", settings.clickhouse_dsn))
    *_, last = doctor.of_clickhouse(wrong)
    assert last.fine is False
    assert last.words.startswith("analysts can't connect as ")


def test_what_is_missing_is_named_with_its_command(run: Run, settings: Settings) -> None:
    make(settings, "cart-events", 2, message_timestamp_type="CreateTime")
    said = run("doctor", host="0.0.0.0", smtp_host="127.0.0.1", smtp_port=str(free_port()))
    assert said.exit_code == 1
    for words in (
        "CARTWAKE_INGEST_TOKEN=",
        "CARTWAKE_PUBLIC_URL=",
        "CARTWAKE_MAIL_FROM=",
        "✗ topics are missing",
        "\n  cartwake topics\n",
        "--add-config message.timestamp.type=LogAppendTime",
        "\n  cartwake migrate\n",
        "✗ mail server 127.0.0.1",
    ):
        assert words in said.stdout
    assert "to put right" in said.stderr


def test_absent_parts_do_not_hide_one_another(settings: Settings) -> None:
    changes = {"CARTWAKE_KAFKA_BOOTSTRAP": "127.0.0.1:1", "CARTWAKE_CLICKHOUSE_DSN": "clickhouse://a:b@127.0.0.1:1/c"}
    done = subprocess.run(
        [sys.executable, "-m", "cartwake", "doctor"],
        env={"PATH": "/usr/bin:/bin"} | settings.environment() | changes,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "✗ kafka\n  Kafka at 127.0.0.1:1 does not answer" in done.stdout
    assert "✗ clickhouse\n  ClickHouse at 127.0.0.1:1" in done.stdout
    assert "✓ local mailbox" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_ends_it_with_the_right_name(run: Run) -> None:
    said = run("doctor", kafka_bootstap="x")
    assert said.exit_code == 1
    assert "CARTWAKE_KAFKA_BOOTSTRAP" in said.stdout


def test_a_port_of_another_program_is_said(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = msgspec.structs.replace(settings, console_port=other.getsockname()[1])
        [_, finding] = doctor.of_pages(taken)
    assert finding.fine is False
    assert "CARTWAKE_CONSOLE_PORT=" in finding.way_out


def test_a_role_is_at_work_while_it_is_a_member_of_its_group(run: Run, store: ClickHouse, settings: Settings) -> None:
    assert run("doctor", "--role", "sink").exit_code == 1
    process = subprocess.Popen(
        [sys.executable, "-m", "cartwake", "run", "sink"],
        env={"PATH": "/usr/bin:/bin"} | settings.environment(),
    )
    try:
        until(
            lambda: process.poll() is not None or run("doctor", "--role", "sink").exit_code == 0, "the sink is a member"
        )
        assert "✓ role sink is at work (1 member)" in run("doctor", "--role", "sink").stdout
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "no member" in run("doctor", "--role", "sink").stdout
    assert "does not answer" in run("doctor", "--role", "collector").stdout


def test_figures_that_could_not_be_made_are_named(run: Run, topics: Settings, store: ClickHouse) -> None:
    view = f"{store.database}.broken"
    store.command(
        f"CREATE MATERIALIZED VIEW {view} REFRESH EVERY 1 HOUR SETTINGS refresh_retries = 0 "
        "(x UInt8) ENGINE = MergeTree ORDER BY x AS SELECT throwIf(true, 'no room') AS x"
    )
    until(lambda: "figures broken are old" in run("doctor").stdout, "doctor names it")
    assert "no room" in (said := run("doctor")).stdout
    assert said.exit_code == 1
