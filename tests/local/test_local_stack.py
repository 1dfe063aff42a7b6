"""A command gets the parts it needs: the configured, the running, or its own."""

import smtplib
import socket
from pathlib import Path

import httpx
import msgspec
import pytest
from local_probes import free_port

from cartwake.errors import ConfigurationError, Unavailable
from cartwake.settings import Settings
from local import clickhouse, kafka, lock, mailbox, stack


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    mailbox_port = free_port()
    while mailbox_port + mailbox.WEB_OFFSET > 65535:
        mailbox_port = free_port()
    return Settings(data_dir=tmp_path, kafka_port=free_port(), clickhouse_port=free_port(), mailbox_port=mailbox_port)


def test_all_three_are_started_addressed_and_stopped(settings: Settings) -> None:
    with stack.embedded(settings, kafka=True, clickhouse=True, mailbox=True) as found:
        assert found.kafka_bootstrap == f"127.0.0.1:{settings.kafka_port}"
        assert kafka.answers(found.kafka_bootstrap)
        url, _, database = found.clickhouse_dsn.replace("clickhouse://", "http://").rpartition("/")
        assert (
            httpx.post(url, params={"database": database}, content="SELECT currentDatabase()", timeout=60).text
            == "cartwake\n"
        )
        assert (found.smtp_host, found.smtp_tls) == ("127.0.0.1", "none")
        with smtplib.SMTP(found.smtp_host, found.smtp_port) as smtp:
            smtp.sendmail("a@example.com", ["b@example.com"], b"Subject: hi\r\n\r\nx")
        assert len(mailbox.mails(settings.data_dir)) == 1
    assert not kafka.answers(f"127.0.0.1:{settings.kafka_port}")
    assert not clickhouse.answers(settings.clickhouse_port)
    assert not mailbox.answers(settings.mailbox_port)
    assert lock.holder(settings.data_dir / "kafka" / "lock") is None


def test_running_part_is_used_wherever_it_listens_and_left_running(settings: Settings) -> None:
    with stack.embedded(settings, clickhouse=True) as first:
        elsewhere = msgspec.structs.replace(settings, clickhouse_port=free_port())
        with stack.embedded(elsewhere, clickhouse=True) as second:
            assert second.clickhouse_dsn == first.clickhouse_dsn
        assert clickhouse.answers(settings.clickhouse_port)
    assert not clickhouse.answers(settings.clickhouse_port)


def test_configured_addresses_start_nothing(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, kafka_bootstrap="k:9092", clickhouse_dsn="clickhouse://c/d", smtp_host="relay"
    )
    with stack.embedded(settings, kafka=True, clickhouse=True, mailbox=True) as found:
        assert found == settings
    assert stack.parts(settings) == []


def test_port_of_another_program_is_said_with_the_setting(settings: Settings) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.clickhouse_port)),
        pytest.raises(Unavailable, match="CARTWAKE_CLICKHOUSE_PORT=18123"),
        stack.embedded(settings, clickhouse=True),
    ):
        pass


def test_clickhouse_of_another_folder_is_not_taken_for_ours(settings: Settings, tmp_path: Path) -> None:
    other = msgspec.structs.replace(settings, data_dir=tmp_path / "other")
    with (
        stack.embedded(other, clickhouse=True),
        pytest.raises(ConfigurationError, match="CARTWAKE_CLICKHOUSE_PORT"),
        stack.embedded(settings, clickhouse=True),
    ):
        pass


def test_parts_are_named_in_the_order_to_start_them(settings: Settings) -> None:
    assert [part.name for part in stack.parts(settings)] == ["kafka", "clickhouse", "mailbox"]
    addressed = stack.addressed(settings)
    assert stack.parts(addressed) == []
    assert addressed.clickhouse_dsn == clickhouse.dsn(settings.data_dir, settings.clickhouse_port, "cartwake")
