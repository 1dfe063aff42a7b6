"""What must hold in the moment of writing, and what only puts it off."""

from datetime import datetime
from typing import Any

import pytest

from cartwake.clock import rfc3339, to_ms
from cartwake.model import Alert, Consent, OfferCode, PushTarget, Setting
from reminders.outcomes import Failed, Uncertain
from reminders.rhythm import MISSED, Rhythm, flows, heard, missed
from tests.reminders.world import ANA, DAY, HOUR, MINUTE, T0, Server, World, cart, event

TARGET = PushTarget(endpoint="https://push.example.com/1", p256dh="B" * 87, auth="a" * 22)


def at(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


# -- quiet hours -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("zone", "left_at", "sent_at"),
    [
        ("", "2026-11-23T20:59:59.999Z", "2026-11-23T20:59:59.999Z"),
        ("", "2026-11-23T21:00:00Z", "2026-11-24T08:00:00Z"),
        ("", "2026-11-24T07:59:59.999Z", "2026-11-24T08:00:00Z"),
        ("", "2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
        ("Europe/Bucharest", "2026-11-23T19:30:00Z", "2026-11-24T06:00:00Z"),
        ("America/New_York", "2026-11-23T21:00:00Z", "2026-11-23T21:00:00Z"),
        # the night of the change to and from summer time: 08:00 on the wall both times
        ("Europe/Berlin", "2026-03-28T22:00:00Z", "2026-03-29T06:00:00Z"),
        ("Europe/Berlin", "2026-10-24T20:00:00Z", "2026-10-25T07:00:00Z"),
    ],
)
def test_in_quiet_hours_of_the_person_a_message_waits_for_the_morning(zone: str, left_at: str, sent_at: str) -> None:
    world = World(quiet_hours={})
    known = event("consented", at(left_at) - DAY, time_zone=zone or None)
    world.hear(known, cart(at(left_at)), at=at(left_at)).work()
    if sent_at != left_at:
        assert (world.said, world.held) == ([], ["quiet_hours"])
        assert world.messages[-1].due_at == rfc3339(at(sent_at))
        assert world.time(at(sent_at) - 1).work().said == []
    assert world.time(at(sent_at)).work().said == ["sent"]


def test_quiet_hours_by_day_and_the_zone_of_the_shop() -> None:
    world = World(quiet_hours={"begin": "12:00", "end": "14:00"})
    world.shops.apply(Setting(shop_id="main", name="shop", value={"time_zone": "Europe/Berlin"}))
    world.hear(cart(T0 + HOUR, consent=True), at=T0 + HOUR).work()  # 12:15 in Berlin
    assert world.held == ["quiet_hours"]
    assert world.time(at("2026-11-23T13:00:00Z")).work().said == ["sent"]


def test_a_purchase_in_quiet_hours_ends_what_waits() -> None:
    night = at("2026-11-23T22:00:00Z")
    world = World(quiet_hours={}).hear(cart(night, consent=True), at=night).work()
    world.hear(event("purchased", night + HOUR), at=night + HOUR).work()
    assert world.time(night + DAY).work().said == ["recovered:bought"]


def test_what_waits_past_its_expiry_ends_as_expired_with_the_reason() -> None:
    night = at("2026-11-23T22:00:00Z")
    world = World(quiet_hours={}, expiry="2h").hear(cart(night, consent=True), at=night).work()
    assert world.time(night + 2 * HOUR).work().said == ["expired:quiet_hours"]


# -- steps and caps --------------------------------------------------------------------------------------------
def test_a_second_step_leaves_a_day_later_and_stops_on_a_purchase() -> None:
    steps = [{}, {"after": "1d"}, {"after": "2d"}]
    world = World(steps=steps).hear(cart(consent=True), at=T0).work()
    assert world.time(T0 + DAY + MINUTE).work().said == ["sent", "sent"]
    world.hear(event("purchased", T0 + DAY + HOUR), at=T0 + DAY + HOUR).work()
    assert world.time(T0 + 3 * DAY).work().said == ["sent", "sent", "recovered:bought"]


def test_a_message_speaks_of_an_earlier_one_only_where_there_was_one() -> None:
    steps = [{"only": {"stages": ["cart"]}}, {"only": {"stages": ["shipping"]}}, {"after": "1d"}]
    world = World(steps=steps).hear(cart(consent=True), at=T0)
    sent = [e.letter for e in world.commit() if type(e).__name__ == "Send"]
    assert [(letter.step, letter.again) for letter in sent] == [(2, False)]
    world = World(steps=steps).hear(cart(consent=True), at=T0).work().time(T0 + DAY)
    sent = [e.letter for e in world.commit() if type(e).__name__ == "Send"]
    assert [(letter.step, letter.again) for letter in sent] == [(3, True)]


def test_a_later_step_waits_until_the_cap_lets_it_through() -> None:
    world = World(steps=[{}, {"after": "12h"}]).hear(cart(consent=True), at=T0 + HOUR).work()
    world.time(T0 + 12 * HOUR).work()
    assert (world.said, world.held) == (["sent"], ["daily_limit"])
    assert world.time(T0 + HOUR + DAY).work().said == ["sent", "sent"]


def test_a_cap_of_two_lets_two_through_and_no_third() -> None:
    world = World(cap=2)
    for n in range(3):
        world.hear(cart(T0 + n, cart_id=f"c-{n}", abandonment_id=f"ab-{n}", consent=True), at=T0 + n).work()
    assert world.said == ["sent", "sent", "suppressed:daily_limit"]
    assert world.ends[-1].words == f"{ANA} was already written to today at 10:15 (UTC); 2 by email per person and day."


# -- audience --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("audience", "facts", "said"),
    [
        ({"who": "subscribers"}, {}, "suppressed:audience"),
        ({"who": "subscribers"}, {"subscribed": True}, "sent"),
        ({"who": "logged-in"}, {}, "suppressed:audience"),
        ({"who": "logged-in"}, {"customer_id": "7"}, "sent"),
        ({"who": "guests"}, {"customer_id": "7"}, "suppressed:audience"),
        ({"who": "guests"}, {}, "sent"),
        ({"groups": ["vip", "staff"]}, {"groups": ("vip",)}, "sent"),
        ({"groups": ["vip"]}, {"groups": ("trade",)}, "suppressed:audience"),
        ({"not_groups": ["trade"]}, {"groups": ("trade", "vip")}, "suppressed:audience"),
        ({"not_groups": ["trade"]}, {}, "sent"),
    ],
)
def test_a_step_is_sent_to_its_audience(audience: dict[str, Any], facts: dict[str, Any], said: str) -> None:
    world = World(steps=[{"audience": audience}])
    if facts.get("subscribed"):
        world.hear(event("consented", T0 - DAY), at=T0)
    if "groups" in facts:
        world.hear(event("updated", T0 - DAY, groups=facts["groups"]), at=T0)
    known = {"customer_id": facts["customer_id"]} if "customer_id" in facts else {}
    assert world.hear(cart(consent=True, **known), at=T0).work().said == [said]


@pytest.mark.parametrize("entry", [ANA, "ANA@example.com", "@example.com"])
def test_who_is_on_the_block_list_is_not_written_to(entry: str) -> None:
    assert World(blocked=[entry]).hear(cart(consent=True), at=T0).work().said == ["suppressed:blocked"]
    assert World(blocked=["@ample.com"]).hear(cart(consent=True), at=T0).work().said == ["sent"]


# -- channels --------------------------------------------------------------------------------------------------
def by(channel: str, **facts: Any) -> World:
    world = World(steps=[{"channel": channel}])
    world.task._media["sms"] = world.task._media["push"] = world.task._media["email"]  # type: ignore[index]
    return world.hear(event("updated", T0 - DAY, **facts), cart(), at=T0).work()


def test_consent_counts_for_the_channel_it_was_given_for() -> None:
    number = "+40 721 234 567"
    assert by("sms", consent=True, phone=number).said == ["suppressed:no_consent"]
    assert by("push", consent=Consent(channels=("sms",)), push=TARGET).said == ["suppressed:no_consent"]


@pytest.mark.parametrize(
    ("channel", "facts", "said"),
    [
        ("sms", {}, "suppressed:no_address"),
        ("sms", {"phone": "12"}, "suppressed:invalid_address"),
        ("sms", {"phone": "+40 721 234 567\r\nX"}, "suppressed:invalid_address"),
        ("push", {}, "suppressed:no_address"),
    ],
)
def test_without_a_number_or_a_browser_the_step_ends_with_its_reason(channel: str, facts: Any, said: str) -> None:
    assert by(channel, consent=Consent(channels=("sms", "push")), **facts).said == [said]


def test_unsubscribing_from_one_channel_leaves_the_others() -> None:
    gone = event("withdrawn", T0 - HOUR, channels=("sms",))
    assert World().hear(event("consented", T0 - DAY), gone, cart(), at=T0).work().said == ["sent"]
    everything = event("withdrawn", T0 - HOUR)
    assert World().hear(event("consented", T0 - DAY), everything, cart(), at=T0).work().said == [
        "suppressed:unsubscribed"
    ]


# -- an unknown result -----------------------------------------------------------------------------------------
def test_a_shop_may_have_what_is_uncertain_sent_once_more() -> None:
    server = Server(answers=[Uncertain("<m@x>"), Uncertain("<m@x>")])
    world = World(server=server, uncertain="resend").hear(cart(consent=True), at=T0).work()
    assert world.said == []
    assert world.time(T0 + HOUR).work().said == ["uncertain:no_answer"]
    assert server.asked == 2


# -- orders that stop ------------------------------------------------------------------------------------------
def a_week(every: int) -> Rhythm:
    rhythm = Rhythm()
    for moment in range(T0 - 8 * DAY, T0, every):
        rhythm = heard(rhythm, moment)
    return rhythm


def test_a_shop_without_history_is_taken_to_flow() -> None:
    assert flows(Rhythm(), T0)
    young = Rhythm()
    for moment in range(T0 - 2 * DAY, T0, MINUTE):
        young = heard(young, moment)
    assert flows(young, T0 + DAY)
    assert flows(heard(Rhythm(), T0), T0 + 30 * DAY)


def test_silence_is_measured_in_orders_that_should_have_come() -> None:
    rhythm = a_week(5 * MINUTE)  # twelve an hour
    assert missed(rhythm, rhythm.last_at + HOUR) == pytest.approx(12, rel=0.05)
    assert flows(rhythm, rhythm.last_at + 50 * MINUTE)
    assert not flows(rhythm, rhythm.last_at + 70 * MINUTE)
    assert flows(heard(rhythm, T0 + 70 * MINUTE), T0 + 71 * MINUTE)


def test_a_quiet_night_is_no_silence() -> None:
    rhythm = Rhythm()
    for day in range(8, -1, -1):
        for moment in range(T0 - day * DAY, T0 - day * DAY + 8 * HOUR, 2 * MINUTE):  # 10:15 … 18:15
            rhythm = heard(rhythm, moment)
    assert flows(rhythm, T0 + 8 * HOUR + 15 * HOUR)
    assert not flows(rhythm, T0 + DAY + HOUR)


def test_orders_that_come_late_are_a_stream_that_has_stopped() -> None:
    rhythm = a_week(MINUTE)
    late = heard(rhythm, T0 - HOUR)
    assert late.last_at == rhythm.last_at
    assert not flows(heard(late, T0 + MINUTE), T0 + 2 * HOUR)


def test_while_orders_are_missing_sends_are_held_and_said_once() -> None:
    world = World(delay="1h")
    for n, moment in enumerate(range(T0 - 5 * DAY, T0 - 3 * HOUR, 5 * MINUTE)):
        world.hear(event("purchased", moment, email=f"b{n % 7}@example.com", order_id=f"o-{n}"), at=moment)
    world.hear(cart(consent=True), at=T0).work()
    for minutes in range(60, 120, 5):
        world.time(T0 + minutes * MINUTE).work()
    assert (world.said, world.held) == ([], ["orders_silent"])
    assert world.counters["orders_silent"] == 1
    world.hear(event("purchased", T0 + 2 * HOUR, email="b1@example.com", order_id="o-x"), at=T0 + 2 * HOUR).work()
    assert world.time(T0 + 2 * HOUR + 5 * MINUTE).work().said == ["sent"]
    assert MISSED == 12


def test_a_shop_can_switch_that_off() -> None:
    world = World(delay="1h", hold_when_orders_stop=False)
    for moment in range(T0 - 5 * DAY, T0 - 3 * HOUR, 5 * MINUTE):
        world.hear(event("purchased", moment, email="b@example.com", order_id=f"o-{moment}"), at=moment)
    world.hear(cart(consent=True), at=T0)
    assert world.time(T0 + HOUR).work().said == ["sent"]


# -- alarms ------------------------------------------------------------------------------------------------------
def alert(kind: str, at: int) -> Alert:
    return Alert(
        record_id=kind,
        type=f"alert.{kind}",
        alert_id="a1",
        shop_id="main",
        number=1,
        occurred_at=rfc3339(at),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("pauses", "sent_at"), [(True, T0 + 2 * HOUR + 5 * MINUTE), (False, T0 + HOUR)])
def test_while_an_alarm_is_open_sends_wait_where_the_shop_has_said_so(pauses: bool, sent_at: int) -> None:
    world = World(delay="1h")
    world.shops.apply(Setting(shop_id="main", name="alarms", value={"pause_reminders": pauses}))
    world.alarms.apply(alert("opened", T0 + 50 * MINUTE), T0 + 50 * MINUTE)
    world.hear(cart(consent=True), at=T0).work()
    for minutes in range(55, 120, 5):
        world.time(T0 + minutes * MINUTE).work()
    world.alarms.apply(alert("closed", T0 + 2 * HOUR), T0 + 2 * HOUR)
    world.time(T0 + 2 * HOUR + 5 * MINUTE).work()
    assert world.held == (["alarm"] if pauses else [])
    assert [(m.type, m.occurred_at) for m in world.ends if m.type == "message.sent"] == [
        ("message.sent", rfc3339(sent_at))
    ]


def test_what_is_asked_for_by_hand_does_not_wait_for_an_alarm() -> None:
    world = World(delay="3h")
    world.shops.apply(Setting(shop_id="main", name="alarms", value={"pause_reminders": True}))
    world.alarms.apply(alert("opened", T0), T0)
    world.hear(cart(consent=True), at=T0)
    world.hear(event("reminder_requested", T0 + MINUTE, cart_id="c-1", requested_by="staff"), at=T0 + MINUTE).work()
    assert "sent" in world.said


# -- offers ----------------------------------------------------------------------------------------------------
def offering(*codes: str, **offer: Any) -> World:
    world = World(delay="1h", steps=[{"after": "1h", "offer": {"pool": "winter"} | offer}])
    return world.hear(*(code(text) for text in codes), at=T0)


def code(text: str) -> OfferCode:
    return OfferCode(pool="winter", code=text)


def test_each_message_gets_a_code_of_its_own_and_none_is_given_twice() -> None:
    world = offering("A-1", "A-2", "A-1", text="10 % off")
    for n in range(3):
        world.hear(cart(cart_id=f"c-{n}", abandonment_id=f"ab-{n}", consent=True, email=f"a{n}@example.com"), at=T0)
    world.time(T0 + HOUR).work()
    assert sorted(m.code for m in world.ends if m.code) == ["A-1", "A-2"]
    assert (world.said, world.held) == (["sent", "sent"], ["no_code"])
    world.hear(code("A-2"), code("A-3"), at=T0 + HOUR).time(T0 + 2 * HOUR).work()
    assert sorted(m.code for m in world.ends if m.code) == ["A-1", "A-2", "A-3"]


def test_without_a_code_a_shop_may_have_the_message_sent_all_the_same() -> None:
    world = offering(empty="without").hear(cart(consent=True), at=T0)
    assert world.time(T0 + HOUR).work().said == ["sent"]
    assert world.ends[0].code is None


def test_the_code_of_a_message_that_never_left_goes_to_the_next() -> None:
    world = offering("A-1")
    world.server.answers = [Failed("refused", "554 policy")]
    world.hear(cart(consent=True), at=T0).time(T0 + HOUR).work()
    other = cart(T0 + HOUR, cart_id="c-2", abandonment_id="ab-2", consent=True, email="bob@example.com")
    world.hear(other, at=T0 + HOUR).time(T0 + 2 * HOUR).work()
    assert [(m.type, m.code) for m in world.ends] == [("message.failed", "A-1"), ("message.sent", "A-1")]


def test_a_crash_between_giving_and_sending_gives_the_code_to_nobody_else() -> None:
    world = offering("A-1", "A-2").hear(cart(consent=True), at=T0).work().time(T0 + HOUR)
    world.commit()  # the state says `sending`, and then the process dies
    world.crash().read().time(T0 + 2 * HOUR).work()
    other = cart(T0 + 2 * HOUR, cart_id="c-2", abandonment_id="ab-2", consent=True, email="bob@example.com")
    world.hear(other, at=T0 + 2 * HOUR).time(T0 + 3 * HOUR).work()
    assert [(m.type, m.code) for m in world.ends] == [("message.uncertain", "A-1"), ("message.sent", "A-2")]
