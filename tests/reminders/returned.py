"""Builders for the tests of what comes back: mails as servers write them, a publisher, a signer."""

from collections.abc import Callable
from typing import Any

from cartwake.clock import FakeClock
from cartwake.errors import KafkaUnavailable
from cartwake.model import Message, SubscriberEvent, decode_message, decode_subscriber_event, derived_id, person_id
from cartwake.topics import MESSAGES, Topic
from reminders.bounces.intake import Intake
from reminders.bounces.verp import Secret, make_token, sender
from tests.reminders.world import ANA, T0

SIGNER = Secret("secret of the tests")
PERSON = person_id(ANA)
PLAN = derived_id("plan", "ab-1", 1, "email", PERSON)
TOKEN = make_token(SIGNER, ("main", PERSON), PLAN)
RETURN_PATH = sender("bounces@example.com", TOKEN)


class Written:
    """A publisher that remembers, or is away. Deliveries are told from `poll`, as librdkafka does."""

    def __init__(self) -> None:
        self.records: list[tuple[Topic, str | bytes | None, bytes]] = []
        self.away = False
        self.silent = False
        self._waiting: list[Callable[[str | None], None]] = []

    def send(
        self,
        topic: Topic,
        key: str | bytes | None,
        value: bytes | None,
        *,
        on_delivery: Callable[[str | None], None] | None = None,
    ) -> None:
        if self.away:
            raise KafkaUnavailable("away")
        assert value is not None
        assert on_delivery is not None
        self.records.append((topic, key, value))
        self._waiting.append(on_delivery)

    def poll(self, timeout: float = 0) -> None:
        while self._waiting and not self.silent:
            self._waiting.pop()(None)

    @property
    def events(self) -> list[SubscriberEvent]:
        return [decode_subscriber_event(value) for topic, _, value in self.records if topic is not MESSAGES]

    @property
    def messages(self) -> list[Message]:
        return [decode_message(value) for topic, _, value in self.records if topic is MESSAGES]

    @property
    def said(self) -> list[str]:
        """What was said of people, in short."""
        return [x.type.removeprefix("subscriber.") + ":" + (x.reason or "").partition(":")[0] for x in self.events]


def intake(written: Written, *, shops: tuple[str, ...] = (), **changes: Any) -> Intake:
    return Intake(SIGNER, written, lambda: shops, **({"clock": FakeClock(T0), "patience": 0.05} | changes))


# -- mails -----------------------------------------------------------------------------------------------------
def mail(body: str, *more: str, to: str = RETURN_PATH, sent_by: str = "MAILER-DAEMON@mx.example.net") -> bytes:
    """A mail with `more` header lines."""
    head = ("Return-Path: <>", f"From: {sent_by}", f"To: <{to}>", "Date: Mon, 23 Nov 2026 10:00:00 +0000", *more)
    return ("\n".join(head) + "\n\n" + body).replace("\n", "\r\n").encode()


def multipart(*parts: str, kind: str = "report; report-type=delivery-status", end: str = "--") -> tuple[str, str]:
    """(body, Content-Type) of several parts."""
    body = "".join(f"--=_b\n{part}\n" for part in parts) + f"--=_b{end}\n"
    return body, f'Content-Type: multipart/{kind}; boundary="=_b"'


ORIGINAL = f"Return-Path: <{RETURN_PATH}>\nFrom: Shop <carts@example.com>\nSubject: Your cart\n\nHello\n"


def report(
    status: str = "5.1.1",
    answer: str = "550 5.1.1 <ana@example.com>: Recipient address rejected: User unknown",
    *,
    action: str = "failed",
    notice: str = "The mail system could not deliver your message.",
    answered_by: str = "smtp",
    also: str = "",
    **changes: Any,
) -> bytes:
    """A delivery report (RFC 3464) on one recipient; `also` are groups of further ones."""
    group = f"Final-Recipient: rfc822; ana@example.com\nAction: {action}\nStatus: {status}\n"
    if answer:
        group += f"Diagnostic-Code: {answered_by}; {answer}\n"
    body, content_type = multipart(
        f"Content-Type: text/plain\n\n{notice}\n",
        f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example.net\n\n{group}\n{also}",
        f"Content-Type: message/rfc822\n\n{ORIGINAL}",
    )
    subject = "Subject: Undelivered Mail Returned to Sender"
    return mail(body, subject, "MIME-Version: 1.0", content_type, **changes)


def complaint(kind: str = "abuse", *, original: str = ORIGINAL, **changes: Any) -> bytes:
    """A feedback report (RFC 5965), as a mailbox provider sends it to the address for complaints."""
    body, content_type = multipart(
        "Content-Type: text/plain\n\nThis is an email abuse report.\n",
        f"Content-Type: message/feedback-report\n\nFeedback-Type: {kind}\nUser-Agent: Example/1.0\nVersion: 1\n",
        f"Content-Type: message/rfc822\n\n{original}",
        kind="report; report-type=feedback-report",
    )
    changes = {"to": "complaints@example.com", "sent_by": "fbl@isp.example.net"} | changes
    return mail(body, "MIME-Version: 1.0", "Subject: FW: Your cart", content_type, **changes)
