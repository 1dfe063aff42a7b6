"""Who is written to, when, and how each plan ends."""

import pytest

from cartwake.errors import MailUnavailable
from cartwake.model import SubscriberEvent, person_id
from reminders.outcomes import Failed, Sent, Uncertain
from tests.reminders.world import ANA, DAY, HOUR, LINKS, MINUTE, T0, FakeRecord, Server, World, cart, event


def left_with_consent(**rules: str | bool) -> World:
    """Ana left a cart at T0 and had agreed to reminders before."""
    return World(**rules).hear(event("consented", T0 - DAY), cart(), at=T0).work()


# -- the mail ------------------------------------------------------------------------------------------------
def test_a_left_cart_is_planned_and_written_about_once() -> None:
    world = left_with_consent().time(T0 + HOUR).work()
    assert [m.type for m in world.messages] == ["message.planned", "message.sent"]
    assert [m.recipient for m in world.server.mails] == [ANA]


def test_the_plan_says_whom_when_and_at_which_step() -> None:
    planned = left_with_consent(delay="1h").messages[0]
    assert (planned.to, planned.due_at, planned.stage) == (ANA, "2026-11-23T11:15:00.000Z", "shipping")
    assert (planned.cart_id, planned.abandonment_id) == ("c-1", "ab-1")


@pytest.mark.parametrize(("at", "said"), [(T0 + HOUR - 1, []), (T0 + HOUR, ["sent"]), (T0 + HOUR + 1, ["sent"])])
def test_a_mail_leaves_at_its_due_time_and_not_before(at: int, said: list[str]) -> None:
    assert left_with_consent(delay="1h").time(at).work().said == said


def test_nothing_is_sent_before_the_state_is_on_the_broker() -> None:
    world = World().hear(cart(consent=True), at=T0)
    assert world.server.asked == 0
    assert world.emitted == []


# -- consent -------------------------------------------------------------------------------------------------
def test_without_recorded_consent_nobody_is_written_to() -> None:
    assert World().hear(cart(), at=T0).work().said == ["suppressed:no_consent"]


def test_a_box_ticked_at_checkout_is_consent() -> None:
    assert World().hear(cart(consent=True), at=T0).work().said == ["sent"]


def test_a_refusal_at_checkout_is_no_consent() -> None:
    assert World().hear(cart(consent=False), at=T0).work().said == ["suppressed:no_consent"]


def test_the_newest_word_on_consent_counts_in_whatever_order_it_arrives() -> None:
    yes, no = event("consented", T0 - 2 * HOUR), event("consented", T0 - HOUR, consent=False)
    for order in ((yes, no), (no, yes)):
        assert World().hear(*order, cart(), at=T0).work().said == ["suppressed:no_consent"]


def test_of_a_yes_and_a_no_at_the_same_time_the_no_counts() -> None:
    yes, no = event("consented", T0 - HOUR), event("consented", T0 - HOUR, consent=False)
    for order in ((yes, no), (no, yes)):
        assert World().hear(*order, cart(), at=T0).work().said == ["suppressed:no_consent"]


@pytest.mark.parametrize(
    ("withdrawn", "said"),
    [(T0 - DAY - 1, "sent"), (T0 - DAY, "suppressed:unsubscribed"), (T0 - DAY + 1, "suppressed:unsubscribed")],
)
def test_an_unsubscription_is_lifted_only_by_a_later_consent(withdrawn: int, said: str) -> None:
    consented = event("consented", T0 - DAY)
    assert World().hear(event("withdrawn", withdrawn), consented, cart(), at=T0).work().said == [said]


def test_a_box_ticked_at_checkout_does_not_lift_an_unsubscription() -> None:
    world = World().hear(event("withdrawn", T0 - DAY), cart(consent=True), at=T0).work()
    assert world.said == ["suppressed:unsubscribed"]


def test_unsubscribing_ends_what_was_planned() -> None:
    world = left_with_consent(delay="1h").hear(event("withdrawn", T0 + MINUTE), at=T0 + MINUTE).work()
    assert world.said == ["suppressed:unsubscribed"]


@pytest.mark.parametrize("kind", ["bounced", "complained"])
def test_a_dead_or_offended_mailbox_stays_silent_even_after_a_new_consent(kind: str) -> None:
    world = World().hear(event(kind, T0 - DAY), event("consented", T0 - HOUR), cart(), at=T0).work()
    assert world.said == [f"suppressed:{kind}"]


def test_a_soft_bounce_silences_nobody() -> None:
    soft = event("bounced", T0 - DAY, reason="soft: mailbox full")
    assert World().hear(soft, cart(consent=True), at=T0).work().said == ["sent"]


# -- erasure -------------------------------------------------------------------------------------------------
def test_after_erasure_only_a_salted_hash_is_left_and_it_still_silences() -> None:
    world = left_with_consent(delay="1h").hear(event("erased", T0 + MINUTE, email=None), at=T0 + MINUTE).work()
    assert world.said == ["suppressed:erased"]
    assert list(world.table.states) == [LINKS.tombstone(("main", person_id(ANA)))]
    assert ANA not in repr(world.table.states)
    assert person_id(ANA) not in repr(world.table.states)
    world.hear(cart(T0 + DAY, cart_id="c-2", abandonment_id="ab-2", consent=True), at=T0 + DAY).work()
    assert world.said == ["suppressed:erased"] * 2
    assert len(world.table.states) == 1


# -- one mail per person and day -----------------------------------------------------------------------------
def second_cart(at: int) -> World:
    world = left_with_consent()
    return world.hear(cart(at, cart_id="c-2", abandonment_id="ab-2", last_activity=None), at=at).work()


@pytest.mark.parametrize(
    ("at", "said"), [(T0 + DAY - 1, "suppressed:daily_limit"), (T0 + DAY, "sent"), (T0 + DAY + 1, "sent")]
)
def test_a_person_is_written_to_once_in_24_hours_over_all_carts(at: int, said: str) -> None:
    assert second_cart(at).said == ["sent", said]


def test_of_two_carts_due_together_one_is_written_about() -> None:
    both = (cart(consent=True), cart(cart_id="c-2", abandonment_id="ab-2"))
    world = World().hear(event("consented", T0 - DAY), *both, at=T0).work()
    assert sorted(world.said) == ["sent", "suppressed:daily_limit"]


def test_a_mail_that_failed_does_not_use_up_the_day() -> None:
    server = Server(answers=[Failed("refused", "554 policy")])
    world = World(server=server, delay="1h")
    world.hear(event("consented", T0 - DAY), cart(), cart(cart_id="c-2", abandonment_id="ab-2"), at=T0)
    assert world.time(T0 + HOUR).work().said == ["failed:refused", "sent"]


def test_carts_of_two_people_do_not_share_a_day() -> None:
    world = left_with_consent()
    bob = cart(T0, email="bob@example.com", consent=True, cart_id="c-2", abandonment_id="ab-2")
    assert world.hear(bob, at=T0).work().said == ["sent", "sent"]


# -- by hand -------------------------------------------------------------------------------------------------
def asked(at: int, **changes: str) -> SubscriberEvent:
    return event("reminder_requested", at, cart_id="c-1", requested_by="eva", request_id="q-1", **changes)


def test_a_reminder_asked_for_by_hand_leaves_at_once() -> None:
    world = left_with_consent(delay="1d").hear(asked(T0 + MINUTE), at=T0 + MINUTE).work()
    assert world.said == ["sent"]
    assert world.ends[0].request_id == "q-1"


def test_a_second_one_on_a_day_is_refused_with_words_for_the_staff() -> None:
    world = left_with_consent().hear(asked(T0 + HOUR), at=T0 + HOUR).work()
    refused = world.ends[-1]
    assert (refused.type, refused.reason, refused.request_id) == ("message.suppressed", "daily_limit", "q-1")
    assert refused.words == f"{ANA} was already written to today at 10:15 (UTC); one by email per person and day."


def test_asking_by_hand_does_not_pass_over_consent_or_purchase() -> None:
    assert World().hear(cart(), at=T0).work().hear(asked(T0), at=T0).work().said == ["suppressed:no_consent"] * 2
    bought = left_with_consent(delay="1d").hear(event("purchased", T0, order_id="o-7"), asked(T0), at=T0).work()
    assert bought.said == ["recovered:bought"] * 2


def test_a_cart_nobody_left_can_not_be_reminded_of() -> None:
    world = left_with_consent(delay="1d")
    request = event("reminder_requested", T0, cart_id="c-none", requested_by="eva")
    assert world.hear(request, at=T0).work().said == ["suppressed:unknown_cart"]


def test_a_shop_that_switched_reminders_off_can_still_send_one_by_hand() -> None:
    world = left_with_consent(enabled=False)
    assert world.said == ["suppressed:disabled"]
    assert world.hear(asked(T0 + HOUR), at=T0 + HOUR).work().said == ["suppressed:disabled", "sent"]


# -- stops ---------------------------------------------------------------------------------------------------
LAST_ACTIVITY = T0 - 2 * HOUR


@pytest.mark.parametrize(
    ("at", "said"),
    [(LAST_ACTIVITY - 1, "sent"), (LAST_ACTIVITY, "recovered:bought"), (LAST_ACTIVITY + 1, "recovered:bought")],
)
@pytest.mark.parametrize("purchase_first", [True, False])
def test_a_purchase_covers_carts_last_used_up_to_it(at: int, said: str, purchase_first: bool) -> None:
    world = World(delay="1h").hear(event("consented", T0 - DAY), at=T0)
    purchase = event("purchased", at, order_id="o-7")
    records = (purchase, cart()) if purchase_first else (cart(), purchase)
    assert world.hear(*records, at=T0).time(T0 + HOUR).work().said == [said]


def test_buying_another_cart_stops_the_reminder_and_names_the_order() -> None:
    world = left_with_consent(delay="1h")
    bought = cart(T0 + MINUTE, type="cart.completed", cart_id="c-2", order_id="o-7", abandonment_id=None)
    end = world.hear(bought, at=T0 + MINUTE).work().ends[0]
    assert (end.type, end.reason) == ("message.recovered", "bought")
    assert end.words == "Bought before a reminder was sent (order o-7)."


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cart.reactivated", "suppressed:returned"),
        ("cart.withdrawn", "suppressed:withdrawn"),
        ("cart.unmatched", "suppressed:unmatched"),
        ("cart.completed", "recovered:bought"),
        ("cart.recovered", "recovered:bought"),
    ],
)
def test_what_becomes_of_the_cart_ends_its_plan(kind: str, said: str) -> None:
    world = left_with_consent(delay="1h").hear(cart(T0 + MINUTE, type=kind, revision=2), at=T0 + MINUTE).work()
    assert world.time(T0 + DAY).work().said == [said]


def test_a_cart_taken_back_after_the_mail_is_only_recorded() -> None:
    world = left_with_consent().hear(cart(T0 + MINUTE, type="cart.unmatched", revision=1), at=T0 + MINUTE).work()
    assert world.said == ["sent"]


def test_leaving_the_cart_again_is_a_new_plan() -> None:
    world = left_with_consent(delay="1h")
    world.hear(cart(T0 + MINUTE, type="cart.reactivated", revision=2), at=T0 + MINUTE)
    again = cart(T0 + 3 * HOUR, revision=3, abandonment_id="ab-2", last_activity="2026-11-23T11:15:00Z")
    assert world.hear(again, at=T0 + 3 * HOUR).time(T0 + 4 * HOUR).work().said == ["suppressed:returned", "sent"]


def test_an_outcome_of_an_older_revision_changes_nothing() -> None:
    world = left_with_consent(delay="1h").hear(cart(T0, type="cart.reactivated", revision=1), at=T0)
    assert world.time(T0 + HOUR).work().said == ["sent"]


def test_a_purchase_between_two_tries_stops_the_next() -> None:
    server = Server(answers=[MailUnavailable("451 try later")])
    world = World(server=server).hear(cart(consent=True), at=T0)
    server.before = lambda: (
        world.hear(event("purchased", T0, order_id="o-7"), at=T0) and None if server.asked == 1 else None
    )
    assert world.work().said == ["recovered:bought"]
    assert (server.asked, server.mails) == (1, [])


# -- time ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("at", "said"),
    [(T0 + 3 * DAY - 1, "sent"), (T0 + 3 * DAY, "expired:expired"), (T0 + 3 * DAY + 1, "expired:expired")],
)
def test_a_plan_expires_exactly_at_its_expiry(at: int, said: str) -> None:
    assert World().hear(cart(consent=True), at=at).work().said == [said]


def test_switching_on_does_not_write_to_all_old_carts() -> None:
    world = World()
    for n in range(20):
        world.hear(
            cart(T0, cart_id=f"c-{n}", abandonment_id=f"ab-{n}", consent=True, email=f"a{n}@example.com"),
            at=T0 + 30 * DAY,
        )
    assert world.work().said == ["expired:expired"] * 20


def test_carts_are_forgotten_and_the_person_stays() -> None:
    world = left_with_consent().time(T0 + 90 * DAY).work()
    (state,) = world.table.states.values()
    assert state.carts == {}  # type: ignore[union-attr]
    assert state.on("email").consent is not None  # type: ignore[union-attr]


# -- addresses -----------------------------------------------------------------------------------------------
def test_an_address_that_is_none_is_never_written_to() -> None:
    for address in (
        "ana@example",
        "ana@exa mple.com",
        "ana@example.com\r\nRCPT TO:<eve@example.com>",
        "a,b@example.com",
    ):
        assert World().hear(cart(consent=True, email=address), at=T0).work().said == ["suppressed:invalid_address"]


def test_a_record_whose_mailbox_is_not_its_key_is_put_aside() -> None:
    wrong = cart(consent=True, subscriber_id=person_id("eve@example.com"))
    world = World().hear(wrong, at=T0).work()
    assert world.messages == []
    assert world.dead == ["email: is not the mailbox that subscriber_id stands for"]


# -- what the server says ------------------------------------------------------------------------------------
def test_a_refused_mailbox_ends_in_failed_and_is_not_written_to_again() -> None:
    world = World(server=Server(answers=[Failed("bounced", "550 5.1.1 no such user", bounced=True)]))
    world.hear(cart(consent=True), at=T0).work()
    world.loop_back().hear(cart(T0 + DAY, cart_id="c-2", abandonment_id="ab-2"), at=T0 + DAY).work()
    assert world.said == ["failed:bounced", "suppressed:bounced"]
    assert world.dead == []


def test_an_unknown_result_is_uncertain_and_counts_for_the_day() -> None:
    world = World(server=Server(answers=[Uncertain("<m@x>")])).hear(cart(consent=True), at=T0).work()
    world.hear(asked(T0 + HOUR), at=T0 + HOUR).work()
    assert world.said == ["uncertain:no_answer", "suppressed:daily_limit"]
    assert f"Message-ID {world.server.mails[0].message_id} " in (world.ends[0].words or "")


def test_while_the_server_is_away_the_plan_waits_and_then_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reminders.outbox.PAUSES", (0.0, 0.0))
    server = Server(answers=[MailUnavailable("refused")] * 3 + [Sent("250")])
    world = World(server=server).hear(cart(consent=True), at=T0).work()
    assert (world.said, server.asked) == ([], 3)
    assert world.time(T0 + MINUTE - 1).work().said == []
    assert world.time(T0 + MINUTE).work().said == ["sent"]


def test_a_server_that_stays_away_until_it_is_too_late_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reminders.outbox.PAUSES", ())
    world = World(server=Server(answers=[MailUnavailable("refused")] * 999)).hear(cart(consent=True), at=T0).work()
    for hour in range(1, 73):
        world.time(T0 + hour * HOUR).work()
    assert world.said == ["failed:mail_unavailable"]


# -- crashes -------------------------------------------------------------------------------------------------
def test_a_crash_while_sending_ends_as_uncertain_and_is_never_sent_again() -> None:
    world = World().hear(cart(consent=True), at=T0)
    world.commit()  # the state says `sending`, and then the process dies
    world.crash().read().time(T0 + DAY).work()
    assert world.said == ["uncertain:no_answer"]
    assert world.server.mails == []


def test_a_crash_after_the_answer_says_sent_or_uncertain_but_not_both() -> None:
    world = World().hear(cart(consent=True), at=T0)
    results = [(e, Sent("250", {"subject": "s"})) for e in world.commit() if type(e).__name__ == "Send"]
    for effect, result in results:
        world.task.on_result(effect, result)
    world.crash().read().time(T0 + DAY).work()
    assert world.said == ["uncertain:no_answer"]


def test_a_crash_after_the_decision_was_written_says_the_same_again() -> None:
    world = World(delay="1h").hear(event("consented", T0 - DAY), cart(), at=T0)
    world.crash(state_was_written=True).read().work().time(T0 + HOUR).work()
    assert [m.type for m in world.messages] == ["message.planned", "message.sent"]


# -- bad input -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff\xfe", b"[" * 10_000, b'{"type":"cart.abandoned"}', b"null"])
def test_bad_records_are_put_aside_and_the_rest_goes_on(value: bytes | None) -> None:
    world = World()
    world.log.append(FakeRecord("cartwake.subscriber-carts", 0, value))
    world.log.append(FakeRecord("cartwake.subscriber-events", 1, value))
    assert world.hear(cart(consent=True), at=T0).work().said == ["sent"]
    assert len(world.dead) == 2
