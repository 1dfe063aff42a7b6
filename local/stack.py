"""Kafka, ClickHouse and a mailbox for a command that needs them, when no address of real ones is set."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cartwake.errors import Unavailable
from cartwake.settings import Settings
from local import clickhouse, kafka, lock, mailbox
from local.clickhouse import dsn, reader_dsn
from local.supervisor import Part, Supervisor

STARTING_BOUND_S = 60.0
# the lock that says who runs on a data folder, and the setting that is its port
_KAFKA = ("kafka/lock", "kafka_port")
_CLICKHOUSE = ("clickhouse.lock", "clickhouse_port")
_MAILBOX = ("mailbox/lock", "mailbox_port")


@contextmanager
def embedded(
    settings: Settings,
    *,
    kafka: bool = False,
    clickhouse: bool = False,
    mailbox: bool = False,
    say: Callable[[str], None] | None = None,
) -> Iterator[Settings]:
    """Settings whose wanted parts answer: the configured one, else the one running on `data_dir`, else a new one.

    What was started here is stopped at the end; what was running stays. Raises ConfigurationError when a port is
    another program's, Unavailable when a part does not come up.
    """
    wanted = [
        (kafka and not settings.kafka_bootstrap, kafka_part, _KAFKA),
        (clickhouse and not settings.clickhouse_dsn, clickhouse_part, _CLICKHOUSE),
        (mailbox and not settings.has_relay, mailbox_part, _MAILBOX),
    ]
    missing = []
    for needed, part, (lock_name, field) in wanted:
        if not needed:
            continue
        port = lock.holder(settings.data_dir / lock_name)
        if port is None:
            missing.append(part(settings))
        else:
            settings = msgspec.structs.replace(settings, **{field: port})
            _wait_for(part(settings), settings.data_dir)
    with Supervisor(missing, settings.data_dir, say):
        yield _addressed(settings, kafka=kafka, clickhouse=clickhouse, mailbox=mailbox)


def parts(settings: Settings) -> list[Part]:
    """The parts that `settings` leave to this machine, in the order to start them."""
    found = []
    if not settings.kafka_bootstrap:
        found.append(kafka_part(settings))
    if not settings.clickhouse_dsn:
        found.append(clickhouse_part(settings))
    if not settings.has_relay:
        found.append(mailbox_part(settings))
    return found


def addressed(settings: Settings) -> Settings:
    """`settings` with the addresses that `parts(settings)` will answer on."""
    return _addressed(settings, kafka=True, clickhouse=True, mailbox=True)


def kafka_part(settings: Settings) -> Part:
    """The embedded Kafka."""
    port = settings.kafka_port
    return Part(
        "kafka",
        _argv("kafka", settings, port),
        ready=lambda: kafka.answers(f"127.0.0.1:{port}"),
        way_out=f"Use it: CARTWAKE_KAFKA_BOOTSTRAP=127.0.0.1:{port}, or take another port: CARTWAKE_KAFKA_PORT=19092",
    )


def clickhouse_part(settings: Settings) -> Part:
    """The embedded ClickHouse, with the settings' database in it."""
    port = settings.clickhouse_port
    argv = [*_argv("clickhouse", settings, port), "--database", settings.clickhouse_database]
    given = {
        clickhouse.PASSWORD_VARIABLE: settings.clickhouse_password,
        clickhouse.READER_VARIABLE: settings.analyst_password,
    }
    return Part(
        "clickhouse",
        argv,
        env={variable: word for variable, word in given.items() if word},
        ready=lambda: clickhouse.answers(port),
        way_out=f"Use it: CARTWAKE_CLICKHOUSE_DSN=clickhouse://user:password@127.0.0.1:{port}/cartwake, "
        "or take another port: CARTWAKE_CLICKHOUSE_PORT=18123",
    )


def mailbox_part(settings: Settings) -> Part:
    """The local mailbox and its page."""
    port = settings.mailbox_port
    return Part(
        "mailbox",
        _argv("mailbox", settings, port),
        ready=lambda: mailbox.answers(port),
        way_out=f"Use it: CARTWAKE_SMTP_HOST=127.0.0.1 CARTWAKE_SMTP_PORT={port} CARTWAKE_SMTP_TLS=none, "
        "or take another port: CARTWAKE_MAILBOX_PORT=11025",
    )


def _argv(name: str, settings: Settings, port: int) -> list[str]:
    where = str(settings.data_dir)
    return [sys.executable, "-m", f"local.{name}", "--data-dir", where, "--port", str(port)]


def _addressed(settings: Settings, *, kafka: bool, clickhouse: bool, mailbox: bool) -> Settings:
    changes: dict[str, object] = {}
    if kafka and not settings.kafka_bootstrap:
        changes["kafka_bootstrap"] = f"127.0.0.1:{settings.kafka_port}"
    if clickhouse and not settings.clickhouse_dsn:
        where = (settings.data_dir, settings.clickhouse_port, settings.clickhouse_database)
        changes["clickhouse_dsn"] = dsn(*where, settings.clickhouse_password)
        changes["analyst_dsn"] = settings.analyst_dsn or reader_dsn(*where, settings.analyst_password)
    if mailbox and not settings.has_relay:
        changes |= {"smtp_host": "127.0.0.1", "smtp_port": settings.mailbox_port, "smtp_tls": "none"}
    return msgspec.structs.replace(settings, **changes)


def _wait_for(part: Part, data_dir: Path) -> None:
    """Wait for a part that somebody else has started."""
    until = time.monotonic() + STARTING_BOUND_S
    while part.ready is not None and not part.ready():
        if time.monotonic() > until:
            raise Unavailable(f"{part.name} is running on {data_dir} but does not answer. Stop it and try again.")
        time.sleep(0.1)
