"""The client: errors say whether to wait, to give up or to change a setting."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit, urlunsplit

import pytest

from cartwake.errors import ConfigurationError, Rejected, SinkUnavailable
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse
from tests.sinks.records import event, put


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_listening_is_worth_waiting_for() -> None:
    with pytest.raises(SinkUnavailable):
        ClickHouse.open(f"clickhouse://u:secret-word@127.0.0.1:{free_port()}/x", "x")


def test_waiting_says_so_without_the_password_and_ends_with_stop() -> None:
    said: list[str] = []
    stop = threading.Event()

    def say(words: str) -> None:
        said.append(words)
        if len(said) == 2:
            stop.set()

    with pytest.raises(SinkUnavailable):
        ClickHouse.connect(f"clickhouse://u:secret-word@127.0.0.1:{free_port()}", "x", stop=stop, say=say)
    assert len(said) == 2
    assert all("waiting for ClickHouse" in x and "secret-word" not in x for x in said)


def test_connection_cut_while_it_answers_is_worth_waiting_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def cut() -> None:
            with contextlib.suppress(OSError):  # the client was faster, or the test is over
                for _ in range(8):
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(10)

        threading.Thread(target=cut, daemon=True).start()
        with pytest.raises(SinkUnavailable):
            ClickHouse.open(f"clickhouse://u:p@127.0.0.1:{server.getsockname()[1]}", "x")


@pytest.mark.parametrize("dsn", ["", "localhost:8123", "mysql://h", "clickhouse://h:port", "clickhouse://h:99999"])
def test_dsn_that_is_none_is_named_with_an_example(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="CARTWAKE_CLICKHOUSE_DSN"):
        ClickHouse.open(dsn, "x")


@pytest.mark.stack
def test_wrong_password_names_the_setting(settings: Settings) -> None:
    parts = urlsplit(settings.clickhouse_dsn)
    wrong = urlunsplit(parts._replace(netloc=f"{parts.username}:wrong@{parts.hostname}:{parts.port}"))
    with pytest.raises(ConfigurationError, match="CARTWAKE_CLICKHOUSE_DSN"):
        ClickHouse.open(wrong, "x")


@pytest.mark.stack
def test_missing_schema_says_migrate_and_nonsense_is_rejected(empty: ClickHouse) -> None:
    with pytest.raises(ConfigurationError, match="cartwake migrate"):
        put(empty, "cart-events", event())
    empty.command(f"CREATE DATABASE {empty.database}")
    with pytest.raises(ConfigurationError, match="cartwake migrate"):
        empty.query("SELECT * FROM abandonments")
    with pytest.raises(Rejected):
        empty.query("SELECT FROM WHERE")


@pytest.mark.stack
def test_stream_gives_the_rows_one_after_the_other(client: ClickHouse) -> None:
    put(client, "cart-events", *(event(x) for x in range(100)))
    ids = [x["event_id"] for x in client.stream("SELECT event_id FROM cart_events ORDER BY event_id")]
    assert len(ids) == 100
    with pytest.raises(Rejected):
        list(client.stream("SELECT throwIf(number = 3) FROM numbers(10)"))
