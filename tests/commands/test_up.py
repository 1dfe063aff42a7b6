"""`cartwake up`: the regular jobs run beside the roles, are started again, and stop with the rest."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from cartwake import jobs
from cartwake.commands import doctor
from cartwake.errors import ConfigurationError
from cartwake.group import group_of
from cartwake.health import at_work
from cartwake.model import decode_subscriber_event, derived_id, person_id
from cartwake.secret import secret_of
from cartwake.settings import Settings
from reminders.bounces.verp import Secret, make_token, sender
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.conftest import free_port
from tests.patience import until
from tests.reminders.mailservers import PASSWORD, Imap, Stored
from tests.reminders.returned import report


def returned(number: int, settings: Settings) -> bytes:
    """A hard bounce of the mail to one of many people."""
    token = make_token(
        Secret(settings.secret), ("main", person_id(f"p{number}@example.com")), derived_id("plan", number)
    )
    return report(to=sender("bounces@example.com", token))


def bounced(settings: Settings) -> set[str]:
    """Who is said to have bounced on the topic."""
    consumer: Any = KafkaConsumer(bootstrap_servers=settings.bootstrap, enable_auto_commit=False)
    try:
        name = settings.topic_prefix + "subscriber-events"
        places = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name) or ()]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends, found = consumer.end_offsets(places), set()
        while any(consumer.position(place) < ends[place] for place in places):
            for batch in consumer.poll(timeout_ms=500).values():
                found |= {decode_subscriber_event(record.value).subscriber_id for record in batch}
        return found
    finally:
        consumer.close()


def with_mailbox(settings: Settings, server: Imap, **changes: Any) -> Settings:
    """The settings with this mailbox for bounces, read every second."""
    return msgspec.structs.replace(
        settings,
        smtp_host="127.0.0.1", smtp_port=free_port(), smtp_tls="none",
        bounces_url=f"imap://bounces%40example.com@127.0.0.1:{server.port}", bounces_password=PASSWORD,
        bounces_plain=True, bounces_every="1s",
        **changes,
    )  # fmt: skip


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Imap]:
    with Imap([returned(1, settings)]) as server:
        yield server


@pytest.mark.stack
def test_jobs_are_at_work_started_again_and_stopped_with_the_rest(
    topics: Settings, store: ClickHouse, mailbox: Imap
) -> None:
    said: list[str] = []
    supervisor, running = group_of(with_mailbox(topics, mailbox), (), said.append)
    assert not at_work(running, "bounces").fine
    with supervisor:
        watcher = threading.Thread(target=supervisor.wait)
        watcher.start()
        until(lambda: bounced(topics) == {person_id("p1@example.com")}, "the bounce is taken in")
        for job in jobs.JOBS:
            until(lambda job=job: at_work(running, job).fine, f"{job} is at work")  # type: ignore[misc]
        first = supervisor.pids()
        assert list(first) == ["bounces", "recommend", "alarms"]
        os.kill(first["bounces"], signal.SIGKILL)
        mailbox.mails.append(Stored(2, returned(2, topics)))
        until(lambda: person_id("p2@example.com") in bounced(topics), "the job is there again")
        last = supervisor.pids()
        supervisor.ask_to_stop()
        watcher.join(60)
    assert last["recommend"] == first["recommend"]
    assert "!! bounces was ended by SIGKILL; starting it again in 0.5 s" in said[0]
    assert len(said) == 1, said
    assert supervisor.pids() == {}
    assert not any(Path(f"/proc/{pid}").exists() for pid in last.values())


@pytest.mark.stack
def test_up_says_what_each_job_does_and_hands_it_the_secret_that_mails_are_signed_with(
    topics: Settings, mailbox: Imap
) -> None:
    settings = with_mailbox(topics, mailbox, secret="", recommend_daily="", alarms_every="", metrics_port=0)
    mailbox.mails.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "cartwake", "up"],
        env=os.environ | settings.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: process.poll() is not None or (settings.data_dir / "secret").exists(), "a secret is made")
        made = msgspec.structs.replace(settings, secret=secret_of(settings))
        mailbox.mails.append(Stored(1, returned(1, made)))
        until(lambda: process.poll() is not None or bounced(topics) != set(), "the bounce is taken in")
    finally:
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert "\nbounces    the mailbox is read every 1s\n" in output
    assert "\nrecommend  no time is set, so it does not run (CARTWAKE_RECOMMEND_DAILY=03:00)\n" in output
    assert "\nalarms     no time is set, so no checkout is looked at (CARTWAKE_ALARMS_EVERY=1m)\n" in output
    assert "!! bounces" not in output
    assert not (settings.data_dir / "logs" / "recommend.log").exists()


def test_without_a_mailbox_none_is_read_and_that_is_said() -> None:
    assert list(jobs.wanted(Settings())) == ["recommend", "alarms"]
    assert dict(jobs.said(Settings()))["bounces"] == (
        "no mailbox is set, so none is read (CARTWAKE_BOUNCES_URL, docs/mail-feedback.md)"
    )


def test_a_wrong_mailbox_is_said_before_anything_runs(run: Run) -> None:
    said = run("up", bounces_url="imaps://bounces@mail.example.com")
    assert isinstance(said.exception, ConfigurationError)
    assert "password is missing" in str(said.exception)
    assert said.stdout == ""


def test_a_job_that_is_silent_for_too_long_is_not_at_work(settings: Settings) -> None:
    stop = threading.Event()
    assert not jobs.rest(settings, "bounces", 0, stop)
    assert at_work(settings, "bounces").fine
    sign = settings.data_dir / "jobs" / "bounces"
    then = time.time() - jobs.SILENT_S - 1
    os.utime(sign, (then, then))
    assert not at_work(settings, "bounces").fine
    stop.set()
    assert jobs.rest(settings, "bounces", then + 10_000, stop)
    assert at_work(settings, "bounces").fine


def test_a_job_that_can_give_no_sign_says_which_folder_it_needs(settings: Settings) -> None:
    settings.data_dir.write_text("a file")
    with pytest.raises(ConfigurationError, match="CARTWAKE_DATA_DIR="):
        jobs.rest(settings, "bounces", 0, threading.Event())


@pytest.mark.stack
def test_doctor_looks_into_the_mailbox_and_takes_nothing_out(settings: Settings, mailbox: Imap) -> None:
    asked = with_mailbox(settings, mailbox, bounces_delete=True)
    mailbox.mails.append(Stored(2, b"x", {r"\Deleted"}))
    box, sign, *_ = doctor.of_jobs(asked)
    assert (box.fine, box.words) == (True, "mailbox for bounces at 127.0.0.1 takes the log-in; mails waiting: 1")
    assert (sign.fine, "bounces is not at work here" in sign.words) == (None, True)
    assert len(mailbox.mails) == 2
    box, _, recommend, *_ = doctor.of_jobs(msgspec.structs.replace(asked, bounces_password="wrong"))
    assert box.fine is False
    assert "refused the user" in box.way_out
    assert "recommend" in recommend.words
    nothing, *_ = doctor.of_jobs(settings)
    assert (nothing.fine, "no mailbox is set" in nothing.words) == (None, True)
