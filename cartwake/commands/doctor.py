"""`cartwake doctor`: look at each part, say what is wrong and the way out."""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import click

from cartwake import settings as settings_file
from cartwake.errors import CartwakeError
from cartwake.health import MEMBERS, PAGES, Finding, at_work
from cartwake.jobs import JOBS
from cartwake.settings import Settings

_CLOCKS_MS = 1_000  # more than this apart is worth repairing


@click.command("doctor")
@click.option(
    "--role", type=click.Choice([*MEMBERS, *PAGES, *JOBS]), help="only: is this role or job at work (health checks)"
)
def command(role: str | None) -> None:
    """Check settings, Kafka, ClickHouse, mail and ports; exit code 1 when something is wrong.

    Without addresses of your own it starts this machine's Kafka, ClickHouse and mailbox for as long as it looks.
    """
    if role is not None:
        settings = settings_file.load()
        finding = at_work(settings, role)
        _show(finding)
        sys.exit(0 if finding.fine else 1)
    wrong = 0
    for finding in findings():
        _show(finding)
        wrong += finding.fine is False
    click.echo(f"{wrong} to put right" if wrong else "nothing to put right", err=True)
    sys.exit(1 if wrong else 0)


def findings() -> Iterator[Finding]:
    """Every check in the order in which parts depend on one another; one that fails does not hide the others."""
    try:
        settings = settings_file.load()
    except CartwakeError as exc:
        yield Finding(False, "settings", str(exc))
        return
    yield from of_settings(settings)
    for check in (of_kafka, of_clickhouse, of_mail, of_pages, of_jobs):
        try:
            yield from check(settings)
        except CartwakeError as exc:
            yield Finding(False, check.__name__.removeprefix("of_"), str(exc))


# -- settings ----------------------------------------------------------------------------------------------------
def of_settings(settings: Settings) -> Iterator[Finding]:
    """What is right by itself but not together, and the data folder."""
    from urllib.parse import urlsplit

    from ingest.collector import check_address

    yield Finding(True, "settings are understood")
    try:
        check_address(settings)
    except CartwakeError as exc:
        yield Finding(False, "collector's address", str(exc))
    if settings.has_relay:
        if urlsplit(settings.collector_url).hostname in ("127.0.0.1", "localhost"):
            yield Finding(
                None if settings.smtp_tls == "none" else False,
                f"links in mails lead to {settings.collector_url}, which only this machine reaches",
                "CARTWAKE_PUBLIC_URL=https://carts.example.com",
            )
        if settings.smtp_tls != "none" and "example.com" in settings.mail_from:
            yield Finding(False, f"mails come from {settings.mail_from}", "CARTWAKE_MAIL_FROM=Shop <carts@your-domain>")
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        probe = settings.data_dir / f".doctor-{uuid.uuid4().hex[:8]}"
        probe.touch()
        probe.unlink()
        yield Finding(True, f"data folder {settings.data_dir} can be written")
    except OSError as exc:
        way_out = "Name another one: CARTWAKE_DATA_DIR=/var/lib/cartwake"
        yield Finding(False, f"data folder {settings.data_dir}: {exc.strerror}", way_out)


# -- Kafka -------------------------------------------------------------------------------------------------------
def of_kafka(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, has the topics as they must be, agrees on the time, and which roles are at work."""
    from local.stack import embedded

    with embedded(settings, kafka=True, say=_quiet) as running:
        yield from _topics(running, own=bool(settings.kafka_bootstrap))
        yield _clock_of_kafka(running)
        yield from _rules(running)
        for role in MEMBERS:
            finding = at_work(running, role)
            yield finding if finding.fine else Finding(None, finding.words)


def _topics(settings: Settings, *, own: bool) -> Iterator[Finding]:
    from cartwake.broker import connect
    from cartwake.commands import topics
    from cartwake.topics import check_joined

    connect(settings, say=_quiet, patience=5).close()
    yield Finding(True, f"Kafka answers at {settings.bootstrap}")
    found = topics.look(settings)
    there = [x for x in found if x.partitions]
    if missing := [x.name for x in found if not x.partitions]:
        words = f"topics are missing: {', '.join(missing)}" if there else "there are no topics yet"
        yield Finding(False if own else None, words, "cartwake topics")
    else:
        yield Finding(True, f"{len(found)} topics")
    for words in topics.wrong(found, settings):
        yield Finding(False, "timestamps", words)
    try:
        check_joined({x.name: x.partitions for x in there}, settings.topic_prefix)
    except CartwakeError as exc:
        yield Finding(False, "partitions", str(exc))


def _rules(settings: Settings) -> Iterator[Finding]:
    """Whether any shop writes to anybody; a topic that is missing has been said already."""
    from cartwake.errors import KafkaUnavailable
    from cartwake.rules import EXAMPLE
    from cartwake.shops import Shops, follow

    shops = Shops()
    try:
        follow(settings, shops)()
    except KafkaUnavailable:
        return
    writing = [shop.shop_id for shop in shops if shop.reminders.enabled and shop.reminders.steps]
    if writing:
        yield Finding(True, f"reminders are on for {', '.join(sorted(writing)[:5])}")
    else:
        yield Finding(
            None,
            "no shop has rules for reminders, so nobody is written to",
            f"cartwake settings set reminders '{EXAMPLE}'",
        )


def _clock_of_kafka(settings: Settings) -> Finding:
    """By a record in a topic of its own, which is deleted again: Kafka says its time only in what it appends."""
    import confluent_kafka
    from confluent_kafka.admin import AdminClient, NewTopic

    client: dict[str, Any] = {"bootstrap.servers": settings.bootstrap, "log_level": 0}
    admin, name = AdminClient(client), f"{settings.topic_prefix}doctor-{uuid.uuid4().hex[:8]}"
    stamped: list[tuple[int, int]] = []

    def delivered(error: object, message: Any) -> None:
        if error is None:
            stamped.append(message.timestamp())

    try:
        config = {"message.timestamp.type": "LogAppendTime"}
        admin.create_topics([NewTopic(name, 1, settings.replication, config=config)])[name].result(10)
        try:
            producer = confluent_kafka.Producer(client)
            for _ in range(2):  # the first one waits for the topic to be known
                stamped.clear()
                before = time.time_ns() // 1_000_000
                producer.produce(name, b"", on_delivery=delivered)
                producer.flush(10)
                after = time.time_ns() // 1_000_000
        finally:
            admin.delete_topics([name])[name].result(10)
    except confluent_kafka.KafkaException as exc:
        return Finding(None, f"Kafka's clock could not be compared: {exc}")
    if not stamped or stamped[0][0] != confluent_kafka.TIMESTAMP_LOG_APPEND_TIME:
        return Finding(None, "Kafka's clock could not be compared")
    return _clocks("Kafka", stamped[0][1], before, after)


def _clocks(name: str, theirs: int, before: int, after: int) -> Finding:
    apart = before - theirs if theirs < before else max(theirs - after, 0)
    if apart > _CLOCKS_MS:
        words = f"{name}'s clock and this one are at least {apart / 1000:.1f} s apart"
        return Finding(False, words, "Let both follow NTP: progress and deadlines use the broker's and this clock")
    return Finding(True, f"{name}'s clock agrees")


# -- ClickHouse --------------------------------------------------------------------------------------------------
def of_clickhouse(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, agrees on the time and has this version's tables."""
    import sql
    from local.stack import embedded
    from sinks.clickhouse import ClickHouse
    from sinks.figures import figures
    from sinks.migrate import Schema, refuse
    from sinks.retention import Retention

    with (
        embedded(settings, clickhouse=True, say=_quiet) as running,
        ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store,
    ):
        before = time.time_ns() // 1_000_000
        answer: Any = store.command(sql.read("doctor/server.sql"))
        version, theirs = answer
        yield Finding(True, f"ClickHouse {version} answers at {store.where}")
        yield _clocks("ClickHouse", int(theirs), before, time.time_ns() // 1_000_000)
        schema = Schema(store, Retention.of(running), cluster=running.clickhouse_cluster)
        found = schema.status()
        refuse(store.database, found)
        pending = [x.name for x in found if x.applied_at is None]
        if not pending:
            yield Finding(True, f"database {store.database} is up to date")
        else:
            words = f"database {store.database} lacks {', '.join(pending)}"
            yield Finding(False if settings.clickhouse_dsn else None, words, "cartwake migrate")
        for table, wanted in schema.retained():
            if table.days != wanted:
                words = f"{table.table} keeps {table.days} days, the settings say {wanted}"
                yield Finding(None, words, "cartwake migrate")
        for made in figures(store):
            if made.problem:
                words = f"figures {made.name} are old: {made.problem.splitlines()[0]}"
                yield Finding(False, words, f"docs/operations.md, ClickHouse; SYSTEM REFRESH VIEW {made.name}")
        yield _analysts(running)


def _analysts(settings: Settings) -> Finding:
    """Whether the user that only reads can log in."""
    from urllib.parse import urlsplit

    from sinks.clickhouse import ClickHouse

    if not settings.analyst_dsn:
        words = "no user for analysts is set; cartwake sql asks as Cartwake's own, read-only"
        return Finding(None, words, "docs/analysts.md, CARTWAKE_ANALYST_DSN=clickhouse://analyst:…@host:8123/cartwake")
    user = urlsplit(settings.analyst_dsn).username
    try:
        ClickHouse.open(settings.analyst_dsn, settings.clickhouse_database).close()
    except CartwakeError as exc:
        return Finding(False, f"analysts can't connect as {user}", f"CARTWAKE_ANALYST_DSN: {_one_line(exc)}")
    return Finding(True, f"analysts connect as {user}: cartwake sql --show-connection")


# -- mail and ports ------------------------------------------------------------------------------------------------
def of_mail(settings: Settings) -> Iterator[Finding]:
    """Whether the relay greets, encrypts as set, and takes the log-in."""
    import smtplib
    import ssl

    from local.stack import embedded
    from reminders.channels.relays import relays_of

    name = "mail server" if settings.has_relay else "local mailbox"
    with embedded(settings, mailbox=True, say=_quiet) as running:
        for relay in relays_of(running):
            context = ssl.create_default_context()
            try:
                if relay.tls == "tls":
                    client: smtplib.SMTP = smtplib.SMTP_SSL(relay.host, relay.port, timeout=10, context=context)
                else:
                    client = smtplib.SMTP(relay.host, relay.port, timeout=10)
                with client:
                    client.ehlo_or_helo_if_needed()
                    if relay.tls == "starttls":
                        client.starttls(context=context)
                    if relay.user:
                        client.login(relay.user, relay.password)
            except (smtplib.SMTPException, OSError) as exc:
                yield Finding(
                    False,
                    f"mail server {relay}: {_one_line(exc)}",
                    "CARTWAKE_SMTP_HOST, _PORT (587 with starttls, 465 with tls), _TLS, _USER, _PASSWORD; mails wait",
                )
            else:
                yield Finding(True, f"{name} {relay} greets" + (", and takes the log-in" if relay.user else ""))


def of_pages(settings: Settings) -> Iterator[Finding]:
    """The ports of collector and console: ours, free, or somebody else's."""
    import socket

    for role in PAGES:
        port = settings.collector_port if role == "collector" else settings.console_port
        finding = at_work(settings, role)
        if finding.fine:
            yield finding
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                yield Finding(None, f"role {role} is not at work here; its port {port} is free")
            except OSError:
                way_out = f"Stop it, or take another port: CARTWAKE_{role.upper()}_PORT={port + 10_000}"
                yield Finding(False, f"port {port} of the {role} is another program's", way_out)


# -- regular jobs --------------------------------------------------------------------------------------------------
def of_jobs(settings: Settings) -> Iterator[Finding]:
    """Which are set, whether the mailbox for bounces can be read, and whether they are at work here."""
    from cartwake import jobs

    asked = jobs.wanted(settings)
    for job, words in jobs.said(settings):
        if job not in asked:
            yield Finding(None, f"{job}: {words}")
            continue
        if job == jobs.BOUNCES:
            yield _mailbox(settings)
        finding = at_work(settings, job)
        yield finding if finding.fine else Finding(None, finding.words)


def _mailbox(settings: Settings) -> Finding:
    from reminders.bounces.mailbox import set_mailbox, waiting

    try:
        mailbox = set_mailbox(settings)
        assert mailbox is not None, "the job is asked for"
        return Finding(
            True, f"mailbox for bounces at {mailbox.host} takes the log-in; mails waiting: {waiting(mailbox)}"
        )
    except CartwakeError as exc:
        return Finding(False, "mailbox for bounces", str(exc))


def _show(finding: Finding) -> None:
    mark, color = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", None)}[finding.fine]
    lines = [f"{click.style(mark, fg=color) if color else mark} {finding.words}"]
    if finding.fine is not True and finding.way_out:
        lines.append(f"  {finding.way_out}")
    click.echo("\n".join(lines))


def _one_line(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:300] or type(exc).__name__


_quiet: Callable[[str], None] = lambda _words: None  # noqa: E731 - a voice that says nothing
