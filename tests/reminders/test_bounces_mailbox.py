"""The mailbox of bounces: read over TLS, each mail done once Kafka has it, whatever breaks off when."""

import os
import signal
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from cartwake.broker import ensure_topics
from cartwake.errors import ConfigurationError, KafkaUnavailable, MailUnavailable
from cartwake.model import decode_subscriber_event, derived_id, person_id
from cartwake.settings import Settings
from cartwake.topics import SUBSCRIBER_EVENTS
from reminders.bounces.intake import Intake
from reminders.bounces.mail import MOST_BYTES
from reminders.bounces.mailbox import MOST_POP_BYTES, Mailbox, fetch, mailbox_of
from reminders.bounces.verp import Secret, make_token, sender
from tests.reminders.mailservers import PASSWORD, USER, Cut, Imap, Pop3, Server, Stored, certificate
from tests.reminders.returned import SIGNER, Written, complaint, intake, mail, report

KINDS: list[type[Server]] = [Imap, Pop3]
NAMES = {Imap: "imap", Pop3: "pop3"}


def returned(number: int, signer: Secret = SIGNER) -> bytes:
    """A hard bounce of the mail to one of many people."""
    person = person_id(f"p{number}@example.com")
    token = make_token(signer, ("main", person), derived_id("plan", number))
    return report(to=sender("bounces@example.com", token))


def box(server: Server, **changes: Any) -> Mailbox:
    values: dict[str, Any] = {"protocol": NAMES[type(server)], "tls": "none"} | changes
    return Mailbox(host="127.0.0.1", port=server.port, user=USER, **({"password": PASSWORD} | values))


def left(server: Server) -> list[int]:
    """The mails that would be read next time."""
    return [x.uid for x in server.mails if not x.flags]


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


# -- reading -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tls", ["tls", "starttls", "none"])
def test_every_mail_is_taken_in_once_and_is_done(kind: type[Server], tls: Any, pem: Path) -> None:
    written = Written()
    with kind([returned(1), complaint(), mail("Hello"), returned(2)], tls, pem) as server:
        context = ssl.create_default_context(cafile=str(pem))
        for expected in ({"hard": 2, "complaint": 1, "none": 1}, {}):
            assert fetch(box(server, tls=tls), intake(written), context=context) == expected
        assert left(server) == []
    assert written.said == ["bounced:hard", "complained:feedback report", "bounced:hard"]


def test_over_imap_a_mail_stays_as_seen_or_is_deleted_if_wanted() -> None:
    with Imap([returned(1), returned(2)]) as server:
        fetch(box(server), intake(Written()))
        assert [x.flags for x in server.mails] == [{r"\Seen"}, {r"\Seen"}]
        server.mails.append(Stored(3, returned(3)))
        fetch(box(server, delete=True), intake(Written()))
        assert [x.uid for x in server.mails] == [1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_takes_so_many_and_the_next_goes_on(kind: type[Server]) -> None:
    written = Written()
    with kind([returned(n) for n in range(5)]) as server:
        for rest in (3, 1, 0):
            fetch(box(server), intake(written), most=2)
            assert len(left(server)) == rest
    assert len(written.events) == len({x.event_id for x in written.events}) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_of_any_shape_is_read_and_holds_nothing_up(kind: type[Server]) -> None:
    strange = [
        b"", b"\0\r\n.\r\n..\r\n\xff", b"x" * 3_000_000, b".\r\n" * 1_000, b"a: b\r\n" * 100_000,
        returned(1) + b"y" * 100_000 + b"\r\n" + b"z" * 3_000_000,
    ]  # fmt: skip
    written = Written()
    with kind([*strange, returned(2)]) as server:
        counted = fetch(box(server), intake(written))
        assert (counted["hard"], counted.total(), left(server)) == (2, 7, [])
    assert len(written.events) == 2


class Keeping(Intake):
    """Keeps what it is given."""

    raws: list[bytes]

    def take_mail(self, raw: bytes, *, way: str, recipients: Sequence[str] = ()) -> str:
        self.raws.append(raw)
        return "none"


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_arrives_byte_for_byte_as_far_as_it_is_read(kind: type[Server]) -> None:
    raws = [
        b".\r\n..\r\n.a\r\nb.\r\n",
        b"x" * 65_536 + b".\r\n.\r\n",
        b"a\nb\0\xff\r\n",
        b"y" * MOST_BYTES + b"z" * 99 + b"\r\n",
    ]
    keeping = Keeping(SIGNER, Written(), tuple)
    keeping.raws = []
    with kind(raws) as server:
        fetch(box(server), keeping)
    assert [raw[:MOST_BYTES] for raw in keeping.raws] == [raw[:MOST_BYTES] for raw in raws]


def test_a_mail_that_pop3_would_have_to_bring_whole_is_left_where_it_is() -> None:
    with Pop3([b"x\r\n" * (MOST_POP_BYTES // 3 + 1), returned(1)]) as server:
        assert fetch(box(server), intake(Written())) == {"hard": 1}
        assert left(server) == [1]


def test_a_mail_that_another_reader_took_away_is_no_reason_to_stop() -> None:
    with Imap([returned(1), returned(2)]) as server:

        def take_away(command: str) -> None:
            if "FETCH 1 " in command:
                server.mails = server.mails[1:]

        server.before = take_away
        assert fetch(box(server), intake(Written())) == {"hard": 1}


# -- what breaks off ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_done_before_kafka_has_it(kind: type[Server]) -> None:
    written = Written()
    written.silent = True
    with kind([returned(1), returned(2)]) as server:
        with pytest.raises(KafkaUnavailable):
            fetch(box(server), intake(written))
        assert left(server) == [1, 2]
        assert not [x for x in server.heard if x.startswith("DELE") or "STORE" in x]


@pytest.mark.parametrize("kind", KINDS)
def test_what_kafka_took_before_it_went_away_is_done(kind: type[Server]) -> None:
    written = Written()
    with kind([returned(1), returned(2), returned(3)]) as server:

        def away(command: str) -> None:
            written.away = written.away or command.startswith("RETR 2") or "FETCH 2" in command

        server.before = away
        with pytest.raises(KafkaUnavailable):
            fetch(box(server), intake(written))
        assert left(server) == [2, 3]


POINTS = {
    Imap: ("LOGIN", "SELECT", "SEARCH", "FETCH 1 ", "STORE 1 ", "FETCH 2 ", "STORE 2 ", "EXPUNGE", "LOGOUT"),
    Pop3: ("USER", "PASS", "LIST", "RETR 1", "DELE 1", "RETR 2", "DELE 2", "QUIT"),
}


@pytest.mark.parametrize(("kind", "point"), [(kind, point) for kind in KINDS for point in POINTS[kind]])
def test_a_connection_that_breaks_anywhere_loses_and_doubles_nothing(kind: type[Server], point: str) -> None:
    written = Written()
    with kind([returned(1), returned(2)]) as server:

        def cut(command: str) -> None:
            if point in command:
                raise Cut

        server.before = cut
        if point == "LOGOUT":  # everything was done, and the farewell matters to nobody
            fetch(box(server, delete=True), intake(written))
        else:
            with pytest.raises(MailUnavailable, match=r"the mailbox at 127\.0\.0\.1:\d+ can't be read"):
                fetch(box(server, delete=True), intake(written))
        server.before = lambda _command: None
        fetch(box(server, delete=True), intake(written))
        assert server.mails == []
    assert {x.subscriber_id for x in written.events} == {person_id("p1@example.com"), person_id("p2@example.com")}
    assert len({x.event_id for x in written.events}) == 2


# -- who is at the other end -------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_certificate_nobody_vouches_for_gets_no_password(kind: type[Server], tls: Any, pem: Path) -> None:
    with kind([returned(1)], tls, pem) as server:
        with pytest.raises(ConfigurationError, match=r"mailbox at 127\.0\.0\.1 can't be trusted"):
            fetch(box(server, tls=tls), intake(Written()))
        assert not [x for x in server.heard if PASSWORD[:5] in x or USER in x]


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_another_host_gets_no_password(kind: type[Server], tmp_path: Path) -> None:
    other = certificate(tmp_path, name="127.0.0.2")
    with kind([returned(1)], "tls", other) as server:
        context = ssl.create_default_context(cafile=str(other))
        with pytest.raises(ConfigurationError, match="can't be trusted"):
            fetch(box(server, tls="tls"), intake(Written()), context=context)
        assert server.heard == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_without_starttls_gets_no_password(kind: type[Server]) -> None:
    with kind([returned(1)], "none") as server:
        server.before = lambda command: None if "CAPA" in command else _cut()
        with pytest.raises(MailUnavailable):
            fetch(box(server, tls="starttls"), intake(Written()))
        assert not [x for x in server.heard if USER in x]


def _cut() -> None:
    raise Cut


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_password_is_said_without_telling_it(kind: type[Server]) -> None:
    with (
        kind([]) as server,
        pytest.raises(ConfigurationError, match=r"refused the user 'bounces@example\.com'") as said,
    ):
        fetch(box(server, password="wrong but secret"), intake(Written()))
    assert "wrong but secret" not in str(said.value) + repr(box(server, password="wrong but secret"))


def test_a_folder_that_is_not_there_is_said() -> None:
    with Imap([]) as server, pytest.raises(ConfigurationError, match=r"no folder 'Re\"turned'"):
        fetch(box(server, folder='Re"turned'), intake(Written()))


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_a_server_that_is_away_is_said(protocol: Any) -> None:
    away = Mailbox(protocol, "127.0.0.1", 1, USER, PASSWORD, "none")
    with pytest.raises(MailUnavailable, match=r"127\.0\.0\.1:1 can't be read"):
        fetch(away, intake(Written()))


# -- settings ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("imaps://bounces%40example.com@mail.example.com", ("imap", "mail.example.com", 993, "tls", "INBOX")),
        ("imaps://b@mail.example.com:1993/In/Old%20mail", ("imap", "mail.example.com", 1993, "tls", "In/Old mail")),
        ("imap://b@mail.example.com", ("imap", "mail.example.com", 143, "starttls", "INBOX")),
        ("pop3s://b@mail.example.com", ("pop3", "mail.example.com", 995, "tls", "INBOX")),
        ("pop3://b@mail.example.com", ("pop3", "mail.example.com", 110, "starttls", "INBOX")),
    ],
)  # fmt: skip
def test_an_address_names_a_mailbox_and_tls_is_never_left_out(url: str, found: tuple[Any, ...]) -> None:
    box_ = mailbox_of(url, "x")
    assert (box_.protocol, box_.host, box_.port, box_.tls, box_.folder) == found


@pytest.mark.parametrize(
    ("url", "password", "words"),
    [
        ("", "x", "needs a protocol"), ("https://b@mail.example.com", "x", "needs a protocol"),
        ("imaps://mail.example.com", "x", "a user"), ("imaps://b@mail.example.com:x", "x", "can't be read"),
        ("imaps://b:hunter2@mail.example.com", "x", "does not belong"), ("imaps://b@mail.example.com", "", "missing"),
        ("imaps://b%0d%0aA1%20DELETE@mail.example.com", "x", "control character"),
        ("imaps://b@mail.example.com/a%00b", "x", "control character"),
        ("imaps://b@mail.example.com", "x\r\nDELE 1", "control character"),
        ("imaps://b@mail.example.com", "ü", "ASCII"),
    ],
)  # fmt: skip
def test_a_wrong_address_is_refused_without_telling_a_password(url: str, password: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as said:
        mailbox_of(url, password)
    assert "hunter2" not in str(said.value)


def test_tls_may_be_left_out_on_this_machine_only() -> None:
    assert mailbox_of("imap://b@127.0.0.1", "x", plain=True).tls == "none"
    with pytest.raises(ConfigurationError, match="without TLS"):
        mailbox_of("imap://b@mail.example.com", "x", plain=True)


# -- killed, with a real Kafka -----------------------------------------------------------------------------------
@pytest.fixture
def settings(kafka_bootstrap: str, tmp_path: Path) -> Settings:
    """Topics of its own on the run's Kafka."""
    made = Settings(
        kafka_bootstrap=kafka_bootstrap,
        topic_prefix=f"t{uuid.uuid4().hex[:8]}.",
        data_dir=tmp_path,
        secret="a secret for tests only, of no use elsewhere",
    )
    ensure_topics(made, say=lambda _words: None, patience=30)
    return made


def run(settings: Settings, *words: str, given: bytes = b"", **more: str) -> "subprocess.Popen[bytes]":
    """`cartwake bounces …` as a process of its own."""
    code = "import sys; from cartwake.commands.bounces import command; command(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=os.environ | settings.environment() | {"CARTWAKE_BOUNCES_PASSWORD": PASSWORD} | more,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if given:
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        process.stdin = None
    return process


def said(settings: Settings) -> Iterator[Any]:
    """Every event on the topic."""
    name = settings.topic_prefix + SUBSCRIBER_EVENTS.name
    consumer: Any = confluent_kafka.Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": "x", "enable.partition.eof": True, "log_level": 0}
    )
    waiting = set(consumer.list_topics(name, timeout=60).topics[name].partitions)
    consumer.assign([confluent_kafka.TopicPartition(name, p, confluent_kafka.OFFSET_BEGINNING) for p in waiting])
    while waiting:
        message = consumer.poll(30)
        assert message is not None
        if message.error() is not None:
            waiting.discard(message.partition())
        else:
            yield decode_subscriber_event(message.value())
    consumer.close()


@pytest.mark.stack
@pytest.mark.parametrize(
    ("kind", "points"), [(Imap, ("STORE 1 ", "FETCH 2 ", "STORE 3 ", "EXPUNGE")), (Pop3, ("RETR 2", "DELE 3", "QUIT"))]
)
def test_a_run_killed_anywhere_loses_and_doubles_nothing(
    kind: type[Server], points: tuple[str, ...], settings: Settings
) -> None:
    signer = Secret(settings.secret)
    with kind([returned(number, signer) for number in (1, 2, 3)]) as server:
        url = f"{NAMES[kind]}://bounces%40example.com@127.0.0.1:{server.port}"
        for point in points:
            process = run(settings, "fetch", "--url", url, "--plain", "--delete")

            def kill(command: str, point: str = point, process: Any = process) -> None:
                if point in command:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    raise Cut

            server.before = kill
            assert process.wait(60) == -signal.SIGKILL, process.communicate()
            process.communicate()
        server.before = lambda _command: None
        last = run(settings, "fetch", "--url", url, "--plain", "--delete")
        output = last.communicate(timeout=60)[0]
        assert (last.returncode, server.mails) == (0, []), output
    events = list(said(settings))
    assert {x.event_id: x.subscriber_id for x in events} == {
        derived_id(derived_id("plan", number), "bounced"): person_id(f"p{number}@example.com") for number in (1, 2, 3)
    }


@pytest.mark.stack
def test_a_mail_from_a_pipe_is_in_kafka_when_the_command_ends(settings: Settings) -> None:
    signer = Secret(settings.secret)
    process = run(settings, "pipe", given=returned(7, signer))
    output = process.communicate(timeout=60)[0]
    assert (process.returncode, output) == (0, b"")
    (event,) = said(settings)
    assert (event.type, event.subscriber_id) == ("subscriber.bounced", person_id("p7@example.com"))


@pytest.mark.stack
def test_the_token_of_a_shop_is_known_by_its_settings(settings: Settings) -> None:
    from cartwake.publish import Publisher  # noqa: PLC0415
    from cartwake.shops import set_for  # noqa: PLC0415

    token = make_token(Secret(settings.secret), ("berlin", person_id("b@example.com")), derived_id("plan", 1))
    raw = report(to=sender("bounces@example.com", token))
    for known in (False, True):
        if known:
            with Publisher(settings) as publisher:
                set_for(publisher, "berlin", "carts", {"idle": "45m"})
        process = run(settings, "pipe", given=raw)
        assert (process.communicate(timeout=60)[0], process.returncode) == (b"", 0)
        assert [x.shop_id for x in said(settings)] == (["berlin"] if known else [])
