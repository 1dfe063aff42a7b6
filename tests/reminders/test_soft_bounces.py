"""Soft bounces: an address that takes nothing on five different days counts as dead."""

import itertools

import pytest

from cartwake.model import SubscriberEvent, person_id
from reminders.fold import MOST_SOFT, SOFT_DAYS, fold
from reminders.gates import silence
from reminders.person import Person
from tests.reminders.world import ANA, DAY, T0


def soft(at: int, reason: str = "soft: 5.2.2 full", event_id: str = "") -> SubscriberEvent:
    return SubscriberEvent(
        event_id=event_id or f"e-{at}", type="subscriber.bounced", subscriber_id=person_id(ANA), occurred_at=at,
        reason=reason, channels=("email",),
    )  # fmt: skip


def after(*events: SubscriberEvent) -> str | None:
    person = Person()
    for event in events:
        person = fold(person, event)
    return silence(person, "email")


@pytest.mark.parametrize(
    ("days", "reason"), [(MOST_SOFT - 1, None), (MOST_SOFT, "bounced"), (MOST_SOFT + 1, "bounced")]
)
def test_soft_bounces_on_five_days_silence_and_on_four_do_not(days: int, reason: str | None) -> None:
    assert after(*[soft(T0 + n * DAY) for n in range(days)]) == reason


def test_many_on_one_day_or_the_same_one_again_count_once() -> None:
    assert after(*[soft(T0 + n) for n in range(50)]) is None


def test_one_mail_that_a_server_reports_day_after_day_counts_once() -> None:
    assert after(*[soft(T0 + n * DAY, event_id="of one mail") for n in range(30)]) is None


def test_days_further_apart_do_not_count_together() -> None:
    assert after(*[soft(T0 + n * SOFT_DAYS * DAY // 2) for n in range(20)]) is None


def test_the_order_does_not_matter() -> None:
    for order in itertools.permutations([soft(T0 + n * DAY) for n in range(MOST_SOFT)]):
        assert after(*order) == "bounced"
