"""What must hold in any order, with any crash: one end for each plan, and a replay changes nothing."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cartwake.errors import MailUnavailable
from reminders.outcomes import Failed, Sent, Uncertain
from reminders.person import Person
from tests.reminders.world import DAY, HOUR, MINUTE, T0, Server, World, cart, event

_EVENTS = ("consented", "withdrawn", "purchased", "bounced", "complained", "erased", "updated")
_OUTCOMES = (
    "cart.abandoned",
    "cart.reactivated",
    "cart.withdrawn",
    "cart.completed",
    "cart.recovered",
    "cart.unmatched",
)
_TIMES = st.sampled_from([T0 - 2 * HOUR, T0 - HOUR, T0, T0 + MINUTE, T0 + HOUR, T0 + DAY, T0 + 3 * DAY])

records = st.one_of(
    st.builds(event, st.sampled_from(_EVENTS), _TIMES),
    st.builds(
        lambda at, n: event("reminder_requested", at, cart_id=f"c-{n}", requested_by="eva", event_id=f"q-{at}-{n}"),
        _TIMES,
        st.integers(1, 3),
    ),
    st.builds(
        lambda kind, at, n, revision, consent: cart(
            at, type=kind, cart_id=f"c-{n}", revision=revision, abandonment_id=f"ab-{n}-{revision}", consent=consent
        ),
        st.sampled_from(_OUTCOMES),
        _TIMES,
        st.integers(1, 2),
        st.integers(1, 4),
        st.sampled_from([True, True, None, False]),
    ),
)
answers = st.lists(
    st.sampled_from([Sent("250"), Sent("250"), Failed("bounced", "550", bounced=True), Failed("refused", "554"),
                     Uncertain("<m>"), MailUnavailable("451")]),
    max_size=6,
)  # fmt: skip
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hear"), records),
        st.tuples(st.just("time"), st.sampled_from([0, MINUTE, HOUR, DAY])),
        st.tuples(st.just("work"), st.none()),
        st.tuples(st.just("commit"), st.none()),
        st.tuples(st.just("crash"), st.booleans()),
    ),
    max_size=25,
)
thorough = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def play(story: list[tuple[str, Any]], server: Server) -> World:
    world, now = World(server=server, delay="1h"), T0
    for what, how in story:
        if what == "hear":
            world.hear(how, at=now)
        elif what == "time":
            now += how
            world.time(now)
        elif what == "work":
            world.work()
        elif what == "commit":
            world.commit()  # effects are started, and then the process dies
            world.crash().read(now)
        else:
            world.crash(state_was_written=how).read(now)
    for _ in range(30):
        now += DAY
        world.time(now).work()
    return world


@thorough
@given(steps, answers)
def test_each_plan_ends_in_exactly_one_and_no_one_is_written_to_twice_a_day(story: Any, said: Any) -> None:
    world = play(story, Server(answers=list(said)))
    planned = [m.plan_id for m in world.messages if m.type == "message.planned"]
    assert sorted(planned) == sorted(m.plan_id for m in world.ends)
    assert len(set(planned)) == len(planned)
    mails = [mail.message_id for mail in world.server.mails]
    assert len(set(mails)) == len(mails)
    known = {f"<{m.plan_id}@shop.example.com>" for m in world.ends if m.type in ("message.sent", "message.uncertain")}
    assert set(mails) <= known
    assert world.dead == []


@thorough
@given(steps, st.integers(0, 25))
def test_reading_any_part_of_the_log_again_changes_nothing(story: Any, back: int) -> None:
    world = play(story, Server())
    states, messages = dict(world.table.states), world.messages
    world.taken = max(0, world.taken - back)
    world.read().work()
    assert world.table.states == states
    assert world.messages == messages


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.builds(event, st.sampled_from(_EVENTS[:5]), _TIMES), max_size=6),
    st.randoms(),
)
def test_what_is_known_of_consent_does_not_depend_on_the_order(events: Any, random: Any) -> None:
    def known(order: Any) -> tuple[Any, ...]:
        world = World().hear(*order, at=T0 + 4 * DAY)
        person = next((s for s in world.table.states.values() if isinstance(s, Person)), Person())
        return (person.standing, person.silenced, person.bought_at, person.first_bought_at)

    shuffled = random.sample(events, len(events))
    assert known(events) == known(shuffled)
