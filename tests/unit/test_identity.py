"""Whose cart it is: evidence, late knowledge, wrong knowledge, and input that comes again after a crash."""

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cartwake.clock import rfc3339, to_ms
from cartwake.model import (
    CartOutcome,
    Consent,
    DeviceEvent,
    SubscriberCart,
    decode_subscriber_cart,
    derived_id,
    encode,
    person_id,
)
from streams.identity import (
    SEEN_FOR_MS,
    WAIT_MS,
    Device,
    Match,
    identify,
    match,
    prune,
    take,
    unlink,
    usable_email,
)
from streams.identity_stage import IdentityStage, Key
from tests.fakes import FakeContext, FakeRecord, hand

DAY = 24 * 3600 * 1000
T0 = to_ms(datetime.fromisoformat("2026-11-23T10:00:00Z"))
ANN, BEN = "ann@example.com", "ben@example.com"


def outcome(
    at: int = T0, *, cart: str = "c-1", revision: int = 1, kind: str = "cart.abandoned", **more: Any
) -> CartOutcome:
    """An outcome of a cart on device d-1."""
    fields: dict[str, Any] = {"device_id": "d-1"} | more
    return CartOutcome(
        outcome_id=derived_id(cart, revision, kind),
        type=kind,  # type: ignore[arg-type]  # the tests name real ones
        shop_id="main",
        cart_id=cart,
        revision=revision,
        occurred_at=rfc3339(at),
        **fields,
    )


def seen(at: int = T0, email: str | None = ANN, *, event_id: str | None = None, **more: Any) -> DeviceEvent:
    """Somebody is seen on device d-1."""
    return DeviceEvent(
        event_id=event_id or derived_id("seen", at, email, *more.values()),
        type="device.identified",
        occurred_at=at,
        device_id="d-1",
        email=email,
        **more,
    )


def unlinked(at: int = T0, email: str | None = None, **more: Any) -> DeviceEvent:
    """Device d-1 is not that person's; nobody named means everybody."""
    return DeviceEvent(
        event_id=derived_id("unlinked", at, email),
        type="device.unlinked",
        occurred_at=at,
        device_id="d-1",
        email=email,
        **more,
    )


def device(*events: DeviceEvent) -> Device:
    """A device on which these were seen."""
    made = Device()
    for event in events:
        identify(made, event, event.at)
    return made


def said(told: list[SubscriberCart]) -> list[tuple[str, str]]:
    """What was told, to whom."""
    return [(record.type.removeprefix("cart."), record.subscriber_id) for record in told]


def matched(found: Match | None) -> str | None:
    return found and found.subscriber_id


# -- evidence --------------------------------------------------------------------------------------------------
def test_email_typed_in_the_cart_wins_over_the_device() -> None:
    found = match(device(seen()), outcome(email=BEN), T0)
    assert found is not None
    assert (found.subscriber_id, found.email, found.evidence.how) == (person_id(BEN), BEN, "checkout")


def test_customer_of_the_cart_wins_over_the_device() -> None:
    found = match(device(seen()), outcome(customer_id="k-7"), T0)
    assert found is not None
    assert (found.subscriber_id, found.evidence.how) == ("k-7", "login")


def test_email_of_the_cart_wins_over_its_customer() -> None:
    assert matched(match(Device(), outcome(email=BEN, customer_id="k-7"), T0)) == person_id(BEN)


@pytest.mark.parametrize(
    ("age", "whose"),
    [(0, person_id(ANN)), (SEEN_FOR_MS - 1, person_id(ANN)), (SEEN_FOR_MS, person_id(ANN)), (SEEN_FOR_MS + 1, None)],
)
def test_device_says_whose_the_cart_is_for_180_days(age: int, whose: str | None) -> None:
    assert matched(match(device(seen(T0 - age)), outcome(), T0)) == whose


def test_same_person_seen_many_times_is_one_person() -> None:
    found = match(
        device(
            seen(T0 - 3 * DAY, "ANN@example.com "),
            seen(T0 - 2 * DAY, None, subscriber_id=person_id(ANN), how="link"),
            seen(T0 - DAY, ANN, customer_id="k-1"),
            seen(T0, None, customer_id="k-1", how="login"),
        ),
        outcome(),
        T0,
    )
    assert found is not None
    assert found.subscriber_id == person_id(ANN)
    assert found.evidence.seen_at == rfc3339(T0)


def test_click_on_our_mail_does_not_make_a_second_person_of_who_typed_the_address() -> None:
    made = device(seen(T0 - DAY, ANN), seen(T0, None, subscriber_id=person_id(ANN), how="link"))
    assert matched(match(made, outcome(), T0)) == person_id(ANN)


def test_shared_device_says_nothing() -> None:
    assert match(device(seen(), seen(email=BEN)), outcome(), T0) is None


def test_second_person_more_than_180_days_ago_does_not_share_the_device() -> None:
    made = device(seen(T0 - SEEN_FOR_MS - 1, BEN), seen(T0))
    assert matched(match(made, outcome(), T0)) == person_id(ANN)


def test_only_the_same_session_tells_on_a_shared_device() -> None:
    made = device(seen(session_id="s-1"), seen(email=BEN, session_id="s-2"))
    assert matched(match(made, outcome(session_id="s-2"), T0)) == person_id(BEN)
    assert match(made, outcome(session_id="s-3"), T0) is None
    assert match(made, outcome(session_id=None), T0) is None


def test_two_people_in_the_same_session_tell_nothing() -> None:
    assert match(device(seen(session_id="s"), seen(email=BEN, session_id="s")), outcome(session_id="s"), T0) is None


def test_sightings_without_a_session_are_not_of_a_cart_without_one() -> None:
    assert match(device(seen(session_id=None), seen(email=BEN, session_id="s")), outcome(session_id=None), T0) is None


@pytest.mark.parametrize(
    "typed", ["", "a", "ann@", "ann@example", "ann@example.c", "@example.com", "a b@example.com", "ann@ex ample.com"]
)
def test_half_typed_address_is_nobody(typed: str) -> None:
    assert usable_email(typed) is None
    assert match(Device(), outcome(email=typed), T0) is None
    assert device(seen(email=typed)).sightings == []


def test_consent_of_the_newest_sighting_that_has_one_is_handed_on() -> None:
    made = device(seen(T0 - 2, consent=True), seen(T0 - 1, consent=Consent(granted=False)), seen(T0))
    found = match(made, outcome(), T0)
    assert found is not None
    assert found.consent == Consent(granted=False)


# -- late knowledge --------------------------------------------------------------------------------------------
def test_waiting_cart_is_matched_as_soon_as_somebody_is_seen() -> None:
    made = Device()
    assert take(made, outcome(), T0) == []
    told = identify(made, seen(T0 + 1), T0 + 1)
    assert said(told) == [("abandoned", person_id(ANN))]
    assert told[0].evidence.event_id == seen(T0 + 1).event_id


@pytest.mark.parametrize(("after", "found"), [(0, True), (WAIT_MS - 1, True), (WAIT_MS, False), (WAIT_MS + 1, False)])
@pytest.mark.parametrize("pruned_first", [True, False])
def test_cart_waits_seven_days_whether_or_not_time_was_told_before(after: int, found: bool, pruned_first: bool) -> None:
    made = Device()
    take(made, outcome(), T0)
    if pruned_first:
        prune(made, T0 + after)
    assert bool(identify(made, seen(T0 + after), T0 + after)) is found


def test_everything_that_happened_to_a_waiting_cart_is_told_in_order() -> None:
    made = Device()
    take(made, outcome(T0), T0)
    take(made, outcome(T0 + 1, revision=2, kind="cart.reactivated"), T0 + 1)
    take(made, outcome(T0 + 2, revision=3, kind="cart.completed"), T0 + 2)
    assert [kind for kind, _ in said(identify(made, seen(T0 + 3), T0 + 3))] == ["abandoned", "reactivated", "completed"]


def test_new_episode_of_a_waiting_cart_takes_the_place_of_the_old_one() -> None:
    made = Device()
    take(made, outcome(T0), T0)
    take(made, outcome(T0 + DAY, revision=2), T0 + DAY)
    told = identify(made, seen(T0 + DAY), T0 + DAY)
    assert [record.outcome.revision for record in told] == [2]


def test_cart_without_device_is_matched_by_what_it_says_itself_later() -> None:
    made = Device()
    assert take(made, outcome(device_id=None), T0) == []
    told = take(made, outcome(T0 + 1, revision=2, kind="cart.completed", email=ANN, device_id=None), T0 + 1)
    assert said(told) == [("abandoned", person_id(ANN)), ("completed", person_id(ANN))]


def test_matched_cart_stays_with_its_person_when_the_device_becomes_shared() -> None:
    made = device(seen())
    take(made, outcome(), T0)
    assert identify(made, seen(T0 + 1, BEN), T0 + 1) == []
    assert said(take(made, outcome(T0 + 2, revision=2, kind="cart.completed"), T0 + 2)) == [
        ("completed", person_id(ANN))
    ]


def test_cart_that_names_somebody_else_later_is_taken_back_and_given_to_them() -> None:
    made = device(seen())
    take(made, outcome(), T0)
    told = take(made, outcome(T0 + 1, revision=2, kind="cart.reactivated", email=BEN), T0 + 1)
    assert said(told) == [("unmatched", person_id(ANN)), ("abandoned", person_id(BEN)), ("reactivated", person_id(BEN))]


# -- wrong knowledge -------------------------------------------------------------------------------------------
def test_unlinking_takes_a_matched_cart_back() -> None:
    made = device(seen())
    take(made, outcome(), T0)
    told = unlink(made, unlinked(T0 + 1, ANN), T0 + 1)
    assert said(told) == [("unmatched", person_id(ANN))]
    assert take(made, outcome(T0 + 2, revision=2), T0 + 2) == []


@pytest.mark.parametrize("late", [1, WAIT_MS + DAY])
def test_unlinking_gives_a_matched_cart_to_the_person_who_remains(late: int) -> None:
    made = device(seen(T0 - 1, BEN, session_id="s-2"), seen(session_id="s-1"))
    take(made, outcome(session_id="s-1"), T0)
    told = unlink(made, unlinked(T0 + late, ANN), T0 + late)
    assert said(told) == [("unmatched", person_id(ANN)), ("abandoned", person_id(BEN))]


def test_unlinking_everybody_leaves_nobody() -> None:
    made = device(seen(), seen(T0, BEN))
    take(made, outcome(), T0)
    unlink(made, unlinked(T0 + 1), T0 + 1)
    assert made.sightings == []


def test_unlinking_one_of_two_makes_the_device_the_others() -> None:
    made = device(seen(), seen(T0, BEN))
    assert take(made, outcome(), T0) == []
    assert said(unlink(made, unlinked(T0 + 1, ANN), T0 + 1)) == [("abandoned", person_id(BEN))]


def test_unlinking_does_not_touch_who_is_seen_afterwards() -> None:
    made = device(seen())
    unlink(made, unlinked(T0 + 1, ANN), T0 + 1)
    identify(made, seen(T0 + 2), T0 + 2)
    assert matched(match(made, outcome(), T0 + 2)) == person_id(ANN)


@pytest.mark.parametrize("who", [ANN, None])
def test_unlinking_heard_before_the_older_sighting_undoes_it_too(who: str | None) -> None:
    made = Device()
    unlink(made, unlinked(T0 + 1, who), T0 + 1)
    assert identify(made, seen(T0), T0) == []
    assert match(made, outcome(), T0 + 2) is None


def test_unlinking_somebody_else_changes_nothing() -> None:
    made = device(seen())
    take(made, outcome(), T0)
    assert unlink(made, unlinked(T0 + 1, BEN), T0 + 1) == []
    assert len(made.sightings) == 1


def test_unlinking_does_not_take_back_what_the_cart_said_itself() -> None:
    made = device(seen())
    take(made, outcome(email=ANN), T0)
    assert unlink(made, unlinked(T0 + 1, ANN), T0 + 1) == []


def test_unlinking_by_the_id_we_gave_the_person_works() -> None:
    made = device(seen())
    take(made, outcome(), T0)
    told = unlink(made, unlinked(T0 + 1, None, subscriber_id=person_id(ANN)), T0 + 1)
    assert said(told) == [("unmatched", person_id(ANN))]
    assert made.sightings == []


def test_unlinking_by_one_name_undoes_every_sighting_of_that_person() -> None:
    made = device(seen(T0 - 2, ANN), seen(T0 - 1, ANN, customer_id="k-1"), seen(T0, ANN))
    take(made, outcome(), T0)
    assert said(unlink(made, unlinked(T0 + 1, None, customer_id="k-1"), T0 + 1)) == [("unmatched", person_id(ANN))]


# -- what comes again ------------------------------------------------------------------------------------------
def test_repeated_outcome_says_nothing() -> None:
    made = device(seen())
    assert len(take(made, outcome(revision=3), T0)) == 1
    assert take(made, outcome(revision=3), T0) == []
    assert take(made, outcome(revision=2), T0) == []


def test_repeated_device_event_says_nothing() -> None:
    made = Device()
    take(made, outcome(), T0)
    assert len(identify(made, seen(), T0)) == 1
    before = msgspec.msgpack.encode(made)
    assert identify(made, seen(), T0) == []
    assert msgspec.msgpack.encode(made) == before


def test_memory_of_a_device_is_bounded() -> None:
    made = Device()
    for n in range(500):
        identify(made, seen(T0 + n, f"p{n}@example.com"), T0 + n)
        unlink(made, unlinked(T0 - DAY + n, f"q{n}@example.com"), T0 - DAY + n)
        take(made, outcome(T0 + n, revision=n + 1, kind="cart.completed"), T0 + n)
    assert len(made.sightings) <= 50
    assert len(made.unlinkings) <= 10
    assert len(made.carts["c-1"].outcomes) <= 16


def test_device_of_many_carts_keeps_a_state_that_fits_into_a_record() -> None:
    made = Device()
    for n in range(2_000):
        take(made, outcome(T0 + n, cart=f"cart-{n}", cart_url="https://shop.example/" + "x" * 500), T0 + n)
    assert len(msgspec.msgpack.encode(made)) < 900_000
    assert said(identify(made, seen(T0 + 2_000), T0 + 2_000))[-1] == ("abandoned", person_id(ANN))


def test_old_knowledge_is_forgotten() -> None:
    made = device(seen())
    take(made, outcome(), T0)
    assert prune(made, T0) == T0 + 90 * DAY
    assert prune(made, T0 + 90 * DAY) == T0 + SEEN_FOR_MS
    assert made.carts == {}
    assert prune(made, T0 + SEEN_FOR_MS) is None


# -- the stage -------------------------------------------------------------------------------------------------
TOPICS = ("cart-outcomes", "device-events")


def stage(context: FakeContext | None = None) -> tuple[FakeContext, IdentityStage]:
    context = context or FakeContext(inputs=TOPICS)
    made = IdentityStage(context)
    made.on_restored()
    return context, made


def record(said_: CartOutcome | DeviceEvent, offset: int, arrival: int = T0 + 300 * DAY) -> FakeRecord:
    topic = TOPICS[isinstance(said_, DeviceEvent)]
    return FakeRecord(encode(said_), offset=offset, timestamp=arrival, topic=topic)


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b"[" * 5_000, b'{"outcome_id":"x"}'])
@pytest.mark.parametrize("topic", TOPICS)
def test_what_cannot_be_read_goes_to_the_dead_letters(topic: str, value: bytes | None) -> None:
    context, made = stage()
    hand(context, made, FakeRecord(value, topic=topic))
    assert len(context.dead) == 1
    assert context.emitted == []


@pytest.mark.parametrize("when", ["", "2026", "2026-11-23T10:00:00", "10000-01-01T00:00:00Z", "never"])
def test_outcome_with_a_wrong_time_goes_to_the_dead_letters(when: str) -> None:
    context, made = stage()
    raw = encode(outcome()).replace(rfc3339(T0).encode(), when.encode())
    hand(context, made, FakeRecord(raw, topic=TOPICS[0]))
    assert len(context.dead) == 1


def test_device_event_of_another_partition_is_not_taken() -> None:
    context, made = stage(FakeContext(inputs=TOPICS, place=lambda key: key != "d-1"))
    hand(context, made, record(seen(), 0))
    assert len(context.table) == 0


@pytest.mark.parametrize("name", ["\x00", "'; drop table", "x" * 200, "…", "\U0001f6d2", "a/b\x1fc"])
def test_hostile_ids_are_only_names(name: str) -> None:
    context, made = stage()
    hand(context, made, record(outcome(cart=name, device_id=name), 0))
    event = msgspec.structs.replace(seen(None or T0, None, subscriber_id=name), device_id=name)
    hand(context, made, record(event, 0))
    assert [key for _, key, _ in context.emitted] == [name]
    context.crashed(Key, Device)


def test_carts_and_devices_of_the_same_name_are_apart() -> None:
    context, made = stage()
    hand(context, made, record(outcome(cart="x", device_id=None), 0), record(outcome(cart="y", device_id="x"), 1))
    assert len(context.table) == 2


def test_waiting_cart_is_forgotten_by_time_alone() -> None:
    context, made = stage()
    hand(context, made, record(outcome(), 0))
    made.on_progress(T0 + WAIT_MS - 1)
    assert len(context.table) == 1
    made.on_progress(T0 + WAIT_MS)
    assert len(context.table) == 0


@st.composite
def stories(draw: st.DrawFn) -> list[FakeRecord]:
    """What is heard about two devices, in any order."""
    offsets = dict.fromkeys(TOPICS, -1)
    revisions: dict[str, int] = {}
    heard = []
    for _ in range(draw(st.integers(1, 14))):
        at = T0 + draw(st.sampled_from([0, 1, 2, DAY, WAIT_MS, WAIT_MS + 1, 179 * DAY, 181 * DAY]))
        where = draw(st.sampled_from(["d-1", "d-2"]))
        who = draw(st.sampled_from([ANN, BEN, None, "half@typed"]))
        session = draw(st.sampled_from([None, "s-1", "s-2"]))
        what = draw(st.sampled_from(["outcome", "outcome", "seen", "seen", "unlinked", "again"]))
        event: CartOutcome | DeviceEvent
        if what == "outcome":
            cart = f"{where}/{draw(st.sampled_from('ab'))}"
            revisions[cart] = revisions.get(cart, 0) + 1
            kind = draw(st.sampled_from(["cart.abandoned", "cart.reactivated", "cart.completed", "cart.withdrawn"]))
            event = outcome(
                at, cart=cart, revision=revisions[cart], kind=kind, email=who, session_id=session, device_id=where
            )
        elif what == "seen":
            event = msgspec.structs.replace(
                seen(at, who, subscriber_id="x" if who is None else None, session_id=session), device_id=where
            )
        elif what == "unlinked":
            event = msgspec.structs.replace(unlinked(at, who), device_id=where)
        elif heard:
            again = draw(st.sampled_from(heard))
            offsets[again.topic] += 1
            heard.append(
                FakeRecord(again.value, offset=offsets[again.topic], timestamp=again.timestamp, topic=again.topic)
            )
            continue
        else:
            continue
        made = record(event, 0)
        offsets[made.topic] += 1
        made.offset = offsets[made.topic]
        heard.append(made)
    return heard


@settings(max_examples=300, deadline=None)
@given(stories(), st.integers(0, 14), st.integers(0, 14))
def test_any_suffix_read_again_after_a_crash_says_nothing_new(heard: list[FakeRecord], crash: int, back: int) -> None:
    context, made = stage()
    hand(context, made, *heard)
    undisturbed = context.emitted

    first, before = stage()
    hand(first, before, *heard[:crash])
    second, after = stage(first.crashed(Key, Device))
    hand(second, after, *heard[max(0, crash - back) :])
    assert first.emitted + second.emitted == undisturbed


@settings(max_examples=300, deadline=None)
@given(stories())
def test_cart_belongs_to_at_most_one_person_at_a_time(heard: list[FakeRecord]) -> None:
    context, made = stage()
    hand(context, made, *heard)
    owner: dict[str, str] = {}
    for _, key, value in context.emitted:
        told = decode_subscriber_cart(value)
        assert key == told.subscriber_id
        if told.type == "cart.unmatched":
            assert owner.pop(told.cart_id) == told.subscriber_id
        else:
            assert owner.setdefault(told.cart_id, told.subscriber_id) == told.subscriber_id
