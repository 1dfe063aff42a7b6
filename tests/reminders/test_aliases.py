"""A shop's own ids: what is held, what is sent on, what is taught."""

from typing import Any

import msgspec
import pytest

from cartwake.model import SubscriberCart, SubscriberEvent, person_id
from reminders.person import Alias
from tests.reminders.world import ANA, DAY, HOUR, T0, World, cart, event

WEEK = 7 * DAY


def own(at: int = T0, *, alias: str = "u-7", **changes: Any) -> SubscriberCart:
    """A cart known only by the shop's own id."""
    return cart(at, email=None, subscriber_id=alias, **changes)


def about(kind: str, at: int = T0, *, alias: str = "u-7", email: str | None = None, **changes: Any) -> SubscriberEvent:
    return event(kind, at, subscriber_id=alias, email=email, event_id=f"e-{kind}-{at}-{alias}", **changes)


def settled(world: World) -> World:
    """Let the stage's own records come back until nothing is left."""
    for _ in range(6):
        world.work().loop_back()
    return world.work()


def test_a_cart_of_an_unknown_mailbox_waits_and_is_sent_on_once_it_is_known() -> None:
    world = World().hear(own(consent=True), at=T0)
    assert settled(world).messages == []
    world.hear(about("updated", T0 + HOUR, email=ANA), at=T0 + HOUR)
    assert settled(world).said == ["sent"]
    assert world.ends[0].subscriber_id == person_id(ANA)


def test_a_known_alias_sends_everything_on() -> None:
    world = settled(World().hear(about("consented", T0 - DAY, email=ANA), own(), at=T0))
    assert world.said == ["sent"]
    world.hear(about("withdrawn", T0 + HOUR), own(T0 + DAY, cart_id="c-2", abandonment_id="ab-2"), at=T0 + DAY)
    assert settled(world).said == ["sent", "suppressed:unsubscribed"]


def test_consent_given_before_the_mailbox_was_known_is_not_lost() -> None:
    world = World().hear(about("consented", T0 - DAY), own(), about("updated", email=ANA), at=T0)
    assert settled(world).said == ["sent"]


@pytest.mark.parametrize(("at", "said"), [(T0 + WEEK - 1, []), (T0 + WEEK, ["suppressed:no_address"])])
def test_after_seven_days_without_a_mailbox_a_cart_ends(at: int, said: list[str]) -> None:
    world = settled(World().hear(own(), at=T0))
    assert settled(world.time(at)).said == said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cart.completed", "recovered:bought"),
        ("cart.reactivated", "suppressed:returned"),
        ("cart.withdrawn", "suppressed:withdrawn"),
    ],
)
def test_a_held_cart_ends_as_what_became_of_it(kind: str, said: str) -> None:
    world = World().hear(own(), own(T0 + HOUR, type=kind, revision=2), at=T0 + HOUR).time(T0 + 8 * DAY)
    assert settled(world).said == [said]


def test_a_held_cart_that_was_somebody_elses_ends_at_once() -> None:
    assert settled(World().hear(own(), own(type="cart.unmatched"), at=T0)).said == ["suppressed:unmatched"]


def test_what_is_held_is_bounded_and_nothing_ends_unsaid() -> None:
    world = World()
    for n in range(60):
        world.hear(own(cart_id=f"c-{n}", abandonment_id=f"ab-{n}"), at=T0)
    assert settled(world).said == ["suppressed:no_address"] * 10
    (alias,) = world.table.states.values()
    assert isinstance(alias, Alias)
    assert len(alias.held) == 50


def test_two_ids_of_one_person_teach_each_other_in_whatever_order() -> None:
    link = about("updated", T0, alias="u-7", customer_id="k-9")
    mailbox = about("updated", T0 + 1, alias="u-7", email=ANA)
    for order in ((link, mailbox), (mailbox, link)):
        world = settled(World().hear(*order, own(alias="k-9", consent=True), at=T0))
        assert world.said == ["sent"]
        assert world.messages[0].subscriber_id == person_id(ANA)


def test_a_person_with_a_customer_id_teaches_it() -> None:
    world = settled(World().hear(event("updated", customer_id="k-9"), own(alias="k-9", consent=True), at=T0))
    assert world.said == ["sent"]


def test_teaching_comes_to_an_end() -> None:
    world = World().hear(about("updated", alias="u-7", customer_id="k-9", email=ANA), at=T0)
    settled(world)
    told = len(world.emitted)
    assert settled(world).emitted[told:] == []
    assert told < 12


def test_a_request_by_hand_for_somebody_without_a_mailbox_is_answered_at_once() -> None:
    world = settled(World().hear(about("reminder_requested", cart_id="c-1", requested_by="eva", request_id="q"), at=T0))
    assert (world.said, world.ends[0].request_id) == (["suppressed:no_address"], "q")


def test_erasing_an_alias_erases_the_person_and_the_other_way_round() -> None:
    for erased in (about("erased", T0 + HOUR), event("erased", T0 + HOUR, email=None)):
        world = settled(World().hear(about("consented", email=ANA), own(), at=T0))
        world.hear(erased, at=T0 + HOUR)
        states = settled(world).table.states
        assert ANA not in repr(states)
        world.hear(cart(T0 + 3 * DAY, cart_id="c-2", abandonment_id="ab-2", consent=True), at=T0 + 3 * DAY)
        assert settled(world).said == ["sent", "suppressed:erased"]


def test_erasing_a_person_reaches_every_id_that_led_to_it() -> None:
    world = settled(World().hear(about("updated", customer_id="k-9", email=ANA), at=T0))
    world.hear(event("erased", T0 + HOUR, email=None), at=T0 + HOUR)
    states = settled(world).table.states
    assert ("main", "k-9") in states
    assert ANA not in repr(states)


def test_a_record_sent_on_says_from_where() -> None:
    world = settled(World().hear(about("updated", email=ANA), own(), at=T0))
    sent_on = [msgspec.json.decode(value) for topic, _, value in world.emitted if topic == "subscriber-carts"]
    assert [(r["subscriber_id"], r["email"], r["forwarded_from"]) for r in sent_on] == [(person_id(ANA), ANA, "u-7")]
