"""Ten thousand reports on mails: dead mailboxes, full ones, complaints, with tokens that are right, forged or cut.

What a report means stands beside its text, by RFC 3463 and docs/mail-feedback.md. With the variable TEST_BOUNCES, a
folder of mails (*.eml) that servers have really written, and of what they mean (expected.json), those come as well.
"""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from cartwake.model import derived_id, person_id
from reminders.bounces.verp import Secret, make_token
from tests.reminders.mailservers import USER
from tests.reminders.returned import complaint, report

VARIABLE: Final = "TEST_BOUNCES"
#: Status, words of the server.
HARD: Final = (
    ("5.1.1", "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown"), ("5.1.1", "550 5.1.1 no mailbox"),
    ("5.1.2", "550 5.1.2 bad destination"), ("5.1.3", "501 5.1.3 bad syntax"), ("5.1.6", "550 5.1.6 has moved"),
    ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound"), ("5.0.0", "550 No such user here"),
    ("5.5.0", "550 Requested action not taken: mailbox unknown user"), ("5.1.1", ""),
)  # fmt: skip
SOFT: Final = (
    ("5.2.2", "552 5.2.2 Mailbox full"), ("4.2.2", "452 4.2.2 over quota"), ("5.7.1", "554 5.7.1 blocked as spam"),
    ("5.1.1", "550 5.7.1 rejected by policy"), ("4.4.1", "421 4.4.1 connection timed out"), ("5.3.4", "552 5.3.4 big"),
    ("5.2.1", "550 5.2.1 mailbox disabled"), ("5.1.8", "550 5.1.8 bad sender's address"), ("5.0.0", "554 no"), ("", ""),
    ("5.1.1", "550 blocked: user unknown, or listed in an RBL"),
)  # fmt: skip
NOTICES: Final = (
    "The mail system could not deliver your message.", "Ihre Nachricht konnte nicht zugestellt werden. Grüße 😀",
    "Mesajul nu a putut fi livrat.\n\n> On Monday you wrote:\n> user unknown", "x" * 5_000, "\n\n--=_c\n\n", "",
)  # fmt: skip
#: Of the classes in expected.json: the kind of the event, None for none.
CLASSES: Final[dict[str, str | None]] = {
    "hard": "hard", "soft": "soft", "complaint": "complained", "complaint-opt-out": "withdrawn",
    "complaint-auth-failure": None, "not-a-bounce": None,
}  # fmt: skip
#: Of these docs/mail-feedback.md says that and why they are taken for something else.
DISPUTED: Final = frozenset({"lhost-postfix-01.eml"})


@dataclass(frozen=True)
class Told:
    """An event that must come of reports: what, on which mail, on which day (None: when it was taken in)."""

    what: str
    plan_id: str
    day: int | None = None


@dataclass
class Person:
    """Somebody mails came back from: the reports, the events that must come of them, and why no more is written."""

    number: int
    group: str
    reports: list[bytes] = field(default_factory=list)
    told: set[Told] = field(default_factory=set)
    silenced: str | None = None

    @property
    def subscriber_id(self) -> str:
        """Of the address that `bench.reminders.abandonment` gives."""
        return person_id(f"shopper-{self.number}@example.com")


class Writer:
    """Writes reports as all sorts of servers do."""

    def __init__(self, draw: random.Random, secret: str, now: datetime) -> None:
        self._draw, self._now = draw, now
        self._ours, self._others = Secret(secret), Secret("the secret of another installation")
        folder = os.environ.get(VARIABLE)
        self.real = list(_real(Path(folder))) if folder else []

    def people(self, reports: int) -> list[Person]:
        """As many as are needed for so many reports."""
        found: list[Person] = []
        written = 0
        groups = ["hard", "hard twice", "five days", "one day", "one mail", "four days", "forged", "complaint"]
        groups += ["real"] * 2 * bool(self.real)
        while written < reports:
            person = Person(len(found), groups[len(found) % len(groups)])
            self._write(person)
            found.append(person)
            written += len(person.reports)
        return found

    def _write(self, person: Person) -> None:
        plans = [derived_id("reports", person.number, n) for n in range(5)]
        match person.group:
            case "hard" | "hard twice":  # of two mails, one of them twice
                for plan in (plans[0], *([plans[1]] * 2 if person.group == "hard twice" else ())):
                    self._hard(person, plan)
            case "five days" | "four days" | "one day":
                days = {"five days": range(5), "four days": range(4), "one day": [3] * 5}[person.group]
                for plan, day in zip(plans, days, strict=False):
                    self._soft(person, plan, day)
                person.silenced = "bounced" if person.group == "five days" else None
            case "one mail":  # which a server reports day after day
                for day in range(6):
                    self._soft(person, plans[0], day)
            case "complaint":
                self._complaint(person, plans[0])
            case "forged":
                for plan in plans[: self._draw.randrange(2, 5)]:
                    status, answer = self._draw.choice(HARD)
                    person.reports.append(self._report(self._forged(person, plan), status, answer))
                self._soft(person, plans[4], 1)
            case "real":
                self._really(person, plans[0])

    def _complaint(self, person: Person, plan: str) -> None:
        address = self._address(self._token(person, plan))
        person.reports.append(complaint(original=f"Return-Path: <{address}>\nSubject: Your cart\n\nHello\n"))
        person.told.add(Told("complained", plan))
        person.silenced = "complained"

    def _hard(self, person: Person, plan: str) -> None:
        status, answer = self._draw.choice(HARD)
        person.reports.append(self._report(self._address(self._token(person, plan)), status, answer))
        person.told.add(Told("hard", plan))
        person.silenced = "bounced"

    def _soft(self, person: Person, plan: str, days_ago: int) -> None:
        status, answer = self._draw.choice(SOFT)
        at = (self._now - timedelta(days=days_ago)).replace(hour=12)
        address = self._address(self._token(person, plan))
        person.reports.append(self._report(address, status, answer, at=at, notice=NOTICES[0]))
        person.told.add(Told("soft", plan, None if person.group == "one mail" else int(at.timestamp()) // 86_400))

    def _really(self, person: Person, plan: str) -> None:
        raw, kind = self.real[person.number % len(self.real)]
        head = f"X-Original-To: {self._address(self._token(person, plan))}\n"
        head += "".join(f"X-Hop-{n}: {self._draw.random()}\n" for n in range(self._draw.randrange(4)))
        ends = b"\r\n" if b"\r\n" in raw else b"\n"
        person.reports.append(head.encode().replace(b"\n", ends) + raw)
        if kind is not None:
            person.told.add(Told(kind, plan))
            person.silenced = {"hard": "bounced", "complained": "complained", "withdrawn": "unsubscribed"}.get(kind)

    def _report(
        self, address: str, status: str, answer: str, *, at: datetime | None = None, notice: str | None = None
    ) -> bytes:
        """A delivery report in one of its many forms, of `at` (else of a time that can't be)."""
        notice = self._draw.choice(NOTICES) if notice is None else notice
        raw = report(status, answer, to=address, notice=notice)
        date = b"Date: " + (format_datetime(at).encode() if at else b"Mon, 01 Jan 1990 00:00:00 +0000")
        raw = raw.replace(b"Date: Mon, 23 Nov 2026 10:00:00 +0000", date, 1)
        where = self._draw.choice(("To", "X-Original-To", "Delivered-To", "Envelope-To"))
        raw = raw.replace(b"\r\nTo: <", f"\r\n{where}: <".encode(), 1)
        return raw.replace(b"\r\n", b"\n") if self._draw.random() < 0.2 else raw

    def _token(self, person: Person, plan: str) -> str:
        token = make_token(self._ours, ("main", person.subscriber_id), plan)
        return token.upper() if self._draw.random() < 0.2 else token

    def _address(self, token: str) -> str:
        local, _, host = USER.partition("@")
        return f"{local}+{token}@{host}"

    def _forged(self, person: Person, plan: str) -> str:
        """An address with a token that is not ours, or with none."""
        token, key = self._token(person, plan), ("main", person.subscriber_id)
        at = self._draw.randrange(len(token))
        return self._draw.choice((
            self._address(make_token(self._others, key, plan)), self._address(token[:at]), self._address(token[at:]),
            self._address(token[:at] + ("a" if token[at] not in "aA" else "b") + token[at + 1 :]),
            self._address(make_token(self._ours, ("another-shop", key[1]), plan)), USER, self._address(token + "a"),
            f"{token}@example.com", f"shopper-{person.number}@example.com",
        ))  # fmt: skip


def _real(folder: Path) -> Iterator[tuple[bytes, str | None]]:
    for each in json.loads((folder / "expected.json").read_text(encoding="utf-8")):
        if each["file"] not in DISPUTED:
            yield (folder / each["file"]).read_bytes(), CLASSES[each["expected_class"]]


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)
