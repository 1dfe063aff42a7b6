"""`cartwake notice` through the real roles: the file arrives as it was, once, and never where none may be sent."""

import email
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner, Result

from cartwake import topics
from cartwake.__main__ import cli
from cartwake.errors import CartwakeError, Rejected
from cartwake.model import SubscriberEvent, encode, person_id
from cartwake.shops import set_for
from local import mailbox
from tests.conftest import free_port
from tests.e2e.conftest import Pipeline
from tests.patience import until

pytestmark = pytest.mark.stack

RAW = bytes(range(256)) * 400
PNG = b"\x89PNG\r\n\x1a\n" + RAW[:3_000]


class Refuses:
    """A mail server that knows no `unknown@`, and goes away after the final dot of any other mail."""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - the library calls it so
        envelope.rcpt_tos.append(address)
        return "550 5.1.1 no such user" if address.startswith("unknown@") else "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the library calls it so
        server.transport.abort()
        return "250 never heard"


def notice(pipeline: Pipeline, *words: str, to: str = "ana@example.com", stdin: str = "", **changes: str) -> Result:
    environment = pipeline.settings.environment() | {f"CARTWAKE_{k.upper()}": v for k, v in changes.items()}
    given = ["notice", "o-7", "--to", to, "--subject", "Your invoice", "--text", "-" if stdin else "Thank you.", *words]
    return CliRunner().invoke(cli, given, input=stdin, env=environment)


def refused(said: Result) -> str:
    assert isinstance(said.exception, CartwakeError), said.output
    return str(said.exception)


def tell(pipeline: Pipeline, kind: str, who: str, **facts: Any) -> None:
    """A fact about a person, and stage 3 has read it."""
    event = SubscriberEvent(
        event_id=f"{kind}-{who}", type=f"subscriber.{kind}", subscriber_id=person_id(who), occurred_at=1, **facts
    )
    pipeline.publisher.send_and_wait(topics.SUBSCRIBER_EVENTS, event.subscriber_id, encode(event))


def rows(pipeline: Pipeline, status: str) -> list[Any]:
    statement = "SELECT * FROM messages WHERE type = 'message.notice_" + status + "'"
    return until(lambda: pipeline.rows(statement), f"the {status} one is in ClickHouse")


def test_an_order_notice_with_its_file_arrives_once_and_as_it_was(pipeline: Pipeline, tmp_path: Path) -> None:
    invoice, parcel = tmp_path / "Rechnung für Ana.pdf", tmp_path / "parcel.png"
    invoice.write_bytes(RAW)
    parcel.write_bytes(PNG)
    said = notice(
        pipeline, "--attach", str(invoice), "--picture", str(parcel), stdin="Thank you.\nYour <b>invoice</b>."
    )
    assert said.exit_code == 0, said.exception
    assert said.stdout.startswith("sent: ")
    (path,) = mailbox.mails(Path(pipeline.settings.data_dir))
    mail: Any = email.message_from_bytes(path.read_bytes(), policy=default)
    assert (mail["To"], mail["Subject"], mail["List-Unsubscribe"]) == ("ana@example.com", "Your invoice", None)
    (file,) = mail.iter_attachments()
    assert (file.get_filename(), file.get_content_type()) == (invoice.name, "application/pdf")
    assert file.get_payload(decode=True) == RAW
    html, picture = mail.get_body(("related",)).iter_parts()
    assert picture.get_payload(decode=True) == PNG
    assert f'src="cid:{picture["Content-ID"][1:-1]}"' in html.get_content()
    assert "Thank you.<br>Your &lt;b&gt;invoice&lt;/b&gt;." in html.get_content()
    assert "The Quiet Kitchen" in html.get_content()

    (row,) = rows(pipeline, "sent")
    assert (row["to"], row["subject"], row["subscriber_id"]) == (
        "ana@example.com", "Your invoice", person_id("ana@example.com"),
    )  # fmt: skip
    assert f"with {invoice.name} (102,400 bytes)" in row["words"]
    assert f"<{row['plan_id']}@" in mail["Message-ID"]
    assert '"order_id":"o-7"' in row["raw"]

    (shown,) = pipeline.rows("SELECT status, template FROM sent_messages")
    assert (shown["status"], shown["template"]) == ("notice_sent", "notice")

    assert "--again" in refused(notice(pipeline))
    assert len(pipeline.mails()) == 1
    assert notice(pipeline, "--again").exit_code == 0
    first, second = (x["Message-ID"] for x in pipeline.mails())
    assert second.startswith(first.partition("@")[0] + ".")


def test_nobody_who_must_not_be_written_to_gets_one(pipeline: Pipeline) -> None:
    set_for(pipeline.publisher, "main", "reminders", {"steps": [{}], "blocked": ["@blocked.example.com"]})
    for kind, who, facts in (
        ("bounced", "dead@example.com", {"reason": "hard: 550 5.1.1 no such user"}),
        ("complained", "angry@example.com", {}),
        ("erased", "gone@example.com", {}),
    ):  # fmt: skip
        tell(pipeline, kind, who, **facts)
        assert "not sent: " in refused(notice(pipeline, "--again", to=who))
    assert {x["reason"] for x in rows(pipeline, "suppressed")} == {"bounced", "complained", "erased"}
    assert "block list" in refused(notice(pipeline, to="eve@blocked.example.com"))
    assert "can't be written to" in refused(notice(pipeline, to="ana@example.com, eve@example.com"))
    assert pipeline.mails() == []
    tell(pipeline, "withdrawn", "quiet@example.com")
    assert notice(pipeline, to="quiet@example.com").exit_code == 0
    assert [x["To"] for x in pipeline.mails()] == ["quiet@example.com"]


def test_a_dead_address_is_remembered_and_what_may_have_left_is_not_sent_again(pipeline: Pipeline) -> None:
    server = Controller(Refuses(), hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        port = str(server.port)
        assert "no such user" in refused(notice(pipeline, to="unknown@example.com", smtp_port=port))
        assert "may or may not" in refused(notice(pipeline, smtp_port=port))
    finally:
        server.stop()
    assert "the address is dead" in refused(notice(pipeline, to="unknown@example.com"))
    assert "--again" in refused(notice(pipeline))
    assert pipeline.mails() == []
    (row,) = rows(pipeline, "uncertain")
    assert (row["to"], row["subject"]) == ("ana@example.com", "Your invoice")


def test_what_was_not_sent_may_be_sent_without_more_ado(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "a.pdf"
    empty.write_bytes(b"")
    assert "is empty" in refused(notice(pipeline, "--attach", str(empty)))
    for words in (("--subject", " "), ("--subject", "x" * 151), ("--text", "\n"), ("--text", "x\n" * 61)):
        assert isinstance(notice(pipeline, *words).exception, Rejected)
    set_for(pipeline.publisher, "main", "template:notice", {"text": "{{ total }} {{ unsubscribe_url }}"})
    assert "total is not known" in refused(notice(pipeline))
    assert pipeline.records("subscriber-events") == []
    set_for(pipeline.publisher, "main", "template:notice", {})
    monkeypatch.setattr("cartwake.commands.notice._PATIENCE_S", 0.0)
    assert "nobody said within 0 s" in refused(notice(pipeline))
    monkeypatch.undo()
    monkeypatch.setattr("reminders.outbox.PAUSES", (0.0,))
    assert "not sent: the mail server" in refused(notice(pipeline, smtp_port=str(free_port())))
    assert all(x["reason"] == "not_sent" for x in rows(pipeline, "failed"))
    assert notice(pipeline).exit_code == 0
    assert len(pipeline.mails()) == 1
