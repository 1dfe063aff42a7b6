"""What the rows of mail would see: a header that is not ours, a changed address, a night in which the hour changes."""

import dataclasses
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reminders.outbox import Mail
from reminders.render import Renderer
from tests.faults.headers import judge
from tests.faults.hostile import Case, case
from tests.faults.mail_clock import NIGHTS, ZONE, Window, write_zone
from tests.faults.mailing import Plan, first, not_once
from tests.reminders.world import LINKS

MIDDLE = 1_795_600_000


@pytest.fixture(scope="module")
def one() -> Case:
    """A letter of which a mail can be made."""
    draw = random.Random(1)
    return next(found for number in range(100) if (found := case(draw, number)).must_go)


@pytest.fixture(scope="module")
def mail(one: Case) -> Mail:
    sender = f"bounces+{'a' * 56}@example.com"
    return Renderer(links=LINKS, mail_from="Shop <carts@shop.example.com>", return_path=lambda *_: sender)(
        one.letter, one.shop
    )


def changed(mail: Mail, old: bytes, new: bytes) -> Mail:
    assert mail.wire.count(old) >= 1
    return dataclasses.replace(mail, wire=mail.wire.replace(old, new, 1))


def test_a_mail_as_it_was_meant_is_right(mail: Mail, one: Case) -> None:
    assert judge(mail, one, extra=False) == (0, [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"MIME-Version", b"Bcc: eve@e.test\r\nMIME-Version"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        (b"<https://t.shop.example.com/u/", b"<https://e.test/u/"),
        (b"Auto-Submitted:", b"X" * 999 + b"\r\nAuto-Submitted:"),
        (b"To: ", b"To: eve@e.test, "),
        (b"From: ", b"From: eve@e.test, "),
        (b"Subject: ", b"Subject: =?utf-8?b?4oCu?= "),
        (b"From: ", b"From: =?utf-8?q?a=0D=0ABcc:_eve@e.test?= "),
        (b"</body>", b"<script>alert(1)</script></body>"),
    ],
)
def test_a_mail_that_says_something_else_is_seen(mail: Mail, one: Case, old: bytes, new: bytes) -> None:
    plain = dataclasses.replace(mail, wire=mail.wire)
    _, found = judge(changed(plain, old, new), one, extra=False)
    assert found


def test_a_mail_to_somebody_else_is_seen(mail: Mail, one: Case) -> None:
    assert judge(dataclasses.replace(mail, recipient="eve@e.test"), one, extra=False)[1]


@pytest.mark.parametrize("name", NIGHTS)
def test_the_night_of_the_change_is_now(name: str, tmp_path: Path) -> None:
    night = NIGHTS[name]
    write_zone(tmp_path, night, MIDDLE)
    with (tmp_path / ZONE).open("rb") as file:
        zone = ZoneInfo.from_file(file)

    def clock(at: int) -> Any:
        return datetime.fromtimestamp(at, UTC).astimezone(zone)

    change = MIDDLE - night.changed_s
    assert (clock(MIDDLE).hour, clock(MIDDLE).minute, clock(MIDDLE).second) == (night.hour, 0, 0)
    moved = clock(change).utcoffset() - clock(change - 1).utcoffset()
    assert moved == timedelta(seconds=-night.before)


def test_quiet_hours_put_a_mail_off_until_they_end() -> None:
    assert Window([999, 1_000], 0, 1_000).leaves(0) == 1_000
    assert Window([999, 1_000], 0, 1_000).leaves(1) == 1_000
    ends = Window([999, 1_000], 1_000, 2**62)
    assert (ends.leaves(0), ends.leaves(1)) == (999, None)


def test_a_plan_with_two_ends_and_a_mail_of_no_plan_are_seen() -> None:
    found = {"a": Plan("p", "c", "", {"sent", "suppressed"})}
    assert len(not_once(found, Counter(["b"]), 1)) == 3
    assert first([(5, 7), (6, 9)], 7) == 6
    assert first([(5, 7)], 7) is None
