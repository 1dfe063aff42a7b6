"""Order notices in stage 3: no consent needed, nobody silenced is written to, none goes twice by mistake."""

from typing import Any

import pytest

from cartwake.model import Message, SubscriberEvent, person_id
from reminders.notices import MOST_NOTICES, notice_id
from tests.reminders.world import ANA, HOUR, T0, World, cart, event

KEY = ("main", person_id(ANA))


def asked(number: int = 1, kind: str = "notice_requested", **changes: Any) -> SubscriberEvent:
    values: dict[str, Any] = {
        "email": None, "order_id": "o-7", "message": "Your invoice", "request_id": f"q-{number}",
        "requested_by": "eva", "event_id": f"e-{kind}-{number}",
    }  # fmt: skip
    return event(kind, T0 + number, **(values | changes))


def answers(world: World) -> list[str]:
    said = [m for m in world.work().messages if m.type.startswith("message.notice_")]
    return [m.type.removeprefix("message.notice_") + (f":{m.reason}" if m.reason else "") for m in said]


def last(world: World) -> Message:
    return world.work().messages[-1]


def test_somebody_nobody_knows_is_let_through_and_the_record_says_what_for() -> None:
    message = last(World().hear(asked(), at=T0))
    assert (message.type, message.order_id, message.request_id) == ("message.notice_sending", "o-7", "q-1")
    assert message.plan_id == notice_id(KEY, "o-7", "Your invoice")
    assert (message.words, message.abandonment_id) == ("Asked for by eva.", None)


@pytest.mark.parametrize(
    ("before", "answer"),
    [
        (event("withdrawn"), "sending"),  # that is about reminders
        (event("bounced", reason="soft: full"), "sending"),
        (event("bounced", channels=("sms",)), "sending"),
        (event("bounced", reason="hard: 550 5.1.1"), "suppressed:bounced"),
        (event("complained"), "suppressed:complained"),
        (event("erased", email=None), "suppressed:erased"),
    ],
)
def test_unsubscribing_does_not_stop_a_notice_and_what_silences_an_address_does(
    before: SubscriberEvent, answer: str
) -> None:
    world = World().hear(before, at=T0).work()
    assert answers(world.hear(asked(), at=T0 + HOUR)) == [answer]
    assert answers(world.hear(asked(2, message="Again", reason="again"), at=T0 + HOUR)) == [answer, answer]


def test_the_same_notice_is_let_through_once_unless_it_is_wanted_again() -> None:
    world = World().hear(asked(1), asked(2), asked(3, message="Shipped"), asked(4, order_id="o-8"), at=T0)
    assert answers(world) == ["sending", "suppressed:repeated", "sending", "sending"]
    assert answers(world.hear(asked(5, reason="again"), asked(6)))[-2:] == ["sending", "suppressed:repeated"]
    assert "--again" in str(last(world).words)


def test_a_notice_that_did_not_leave_may_be_asked_for_again() -> None:
    world = World().hear(asked(1), asked(1, "notice_failed", reason="the mail server is away"), asked(2), at=T0)
    assert answers(world) == ["sending", "failed:not_sent", "sending"]
    assert [m.words for m in world.messages if m.reason == "not_sent"] == ["the mail server is away"]


def test_only_the_last_notices_are_remembered() -> None:
    world = World().hear(*(asked(n, order_id=f"o-{n}") for n in range(MOST_NOTICES + 1)), at=T0)
    world.hear(asked(100, order_id="o-1"), asked(101, order_id="o-0"))
    assert answers(world)[-2:] == ["suppressed:repeated", "sending"]


def test_a_crash_neither_repeats_an_answer_nor_loses_the_memory_of_it() -> None:
    world = World().hear(asked(1), at=T0).crash(state_was_written=True).read()
    assert answers(world.hear(asked(2))) == ["sending", "suppressed:repeated"]


def test_a_notice_is_no_reminder_and_takes_nobodys_day() -> None:
    world = World().hear(asked(), cart(consent=True), at=T0).time(T0).work()
    assert [m.type for m in world.messages if m.type == "message.sent"] == ["message.sent"]


@pytest.mark.parametrize("missing", ["order_id", "message", "request_id"])
def test_a_request_without_what_it_needs_is_set_aside(missing: str) -> None:
    world = World().hear(asked(**{missing: None}), at=T0).work()
    assert len(world.dead) == 1
    assert world.messages == []
