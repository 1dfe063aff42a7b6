"""Whether and when a person is written to. Pure: facts in, the person with decisions and records out.

`decide` runs after every record: it makes plans and ends those that facts have stopped. `wake` runs when time has
come: what is due is sent, or ends with its reason. `settle` takes in how a sending went. Each plan ends in exactly
one of sent, suppressed, recovered, expired, failed, uncertain.
"""

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from cartwake import topics
from cartwake.clock import rfc3339, to_datetime
from cartwake.model import SubscriberEvent, derived_id, encode
from cartwake.shops import Shop
from reminders.gates import held_back, silence, stopped
from reminders.letter import Letter, letter_for
from reminders.messages import plan_id_for, say
from reminders.outcomes import Cancelled, Failed, Held, Later, Result, Sent, Uncertain
from reminders.person import MOST_DONE, Cart, Key, Out, Person, Plan, Request, Stop

FORGET_MS: Final = timedelta(days=90) // timedelta(milliseconds=1)
FORGET_CLOSED_MS: Final = timedelta(days=30) // timedelta(milliseconds=1)
AGAIN_MS: Final = tuple(timedelta(minutes=m) // timedelta(milliseconds=1) for m in (1, 5, 15, 60))


def decide(person: Person, key: Key, *, now: int, shop: Shop) -> Person:
    """Plans for what was left or asked for; an end for every plan that facts have stopped."""
    for cart_id, cart in person.carts.items():
        if cart.abandonment_id is not None and cart.planned != cart.abandonment_id:
            person = _planned(person, key, _automatic(cart_id, cart, key, now, shop), now=now)
            marked = replace(cart, planned=cart.abandonment_id)
            person = replace(person, carts=person.carts | {cart_id: marked})
    for request in person.requests:
        person = _asked(person, key, request, now=now, shop=shop)
    if person.requests:
        person = replace(person, requests=())
    return _forget(_end_stopped(person, key, now=now), now=now)


def wake(person: Person, key: Key, *, now: int, shop: Shop) -> tuple[Person, Letter | None]:
    """What time demands: ends, and at most one letter. While one is being sent, the others wait for its result."""
    person = _end_expired(_end_stopped(person, key, now=now), key, now=now)
    for plan in sorted(person.plans.values(), key=lambda p: (p.due_at, p.plan_id)):
        if plan.due_at > now or any(p.sending_at is not None for p in person.plans.values()):
            break
        stop = held_back(person, plan, now=now, shop=shop)
        if stop is not None:
            person = _end(person, key, plan, stop, now=now)
            continue
        sending = replace(plan, sending_at=now, tries=plan.tries + 1)
        person = replace(person, plans=person.plans | {plan.plan_id: sending})
        return person, letter_for(person, key, sending)
    return _forget(person, now=now), None


def settle(person: Person, key: Key, plan_id: str, result: Result, *, now: int) -> Person:
    """The person after the plan's sending ended in `result`."""
    plan = person.plans.get(plan_id)
    if plan is None or plan.sending_at is None:
        return person
    match result:
        case Sent() | Uncertain():
            # said to be sent when it was handed over: progress may have run on while the relay thought about it
            person = replace(person, written_at=max(person.written_at, plan.sending_at))
            person = _end(person, key, plan, _left(person, result), now=plan.sending_at, mail=result.mail)
        case Held():
            person = _end(person, key, plan, Stop("message.suppressed", result.reason, result.words), now=now)
        case Failed():
            person = _end(person, key, plan, Stop("message.failed", result.reason, result.words), now=now)
            if result.bounced:
                person = _bounced(person, key, plan, result.words, now=now)
        case Later():
            person = _again(person, plan, now + AGAIN_MS[min(plan.tries, len(AGAIN_MS)) - 1])
        case Cancelled():
            person = _again(person, plan, now)  # what stopped it ends it, unless that was taken back
    return _forget(_end_stopped(person, key, now=now), now=now)


def interrupted(person: Person, key: Key) -> Person:
    """After a crash: nobody knows whether what was being sent has left, so it is held and said."""
    for plan in list(person.plans.values()):
        if plan.sending_at is not None:
            person = settle(person, key, plan.plan_id, Uncertain(message_id=plan.plan_id), now=plan.sending_at)
    return person


def cancelled(person: Person) -> list[str]:
    """The plans under way that facts have stopped: no further try for them."""
    return [p.plan_id for p in person.plans.values() if p.sending_at is not None and stopped(person, p) is not None]


def next_wake(person: Person) -> int | None:
    """When `wake` has something to do, or None."""
    sending = any(p.sending_at is not None for p in person.plans.values())
    waiting = [p for p in person.plans.values() if p.sending_at is None]
    times = [p.expires_at if sending else min(p.due_at, p.expires_at) for p in waiting]
    in_use = {p.cart_id for p in person.plans.values()}
    times += [_forget_at(cart) for cart_id, cart in person.carts.items() if cart_id not in in_use]
    return min(times, default=None)


def uncertain_words(email: str | None, message_id: str) -> str:
    """What a shop should do about a mail of which nobody knows whether it left."""
    return (
        f"The connection or the process ended after the mail to {email or 'this person'} was handed over and before "
        "the mail server answered, so it may or may not have arrived. It is not sent again by itself. Look for "
        f"Message-ID {message_id} in the mail server's log; if it is not there, send the reminder by hand tomorrow."
    )


# -- making plans --------------------------------------------------------------------------------------------------
def _automatic(cart_id: str, cart: Cart, key: Key, now: int, shop: Shop) -> Plan:
    assert cart.abandonment_id is not None
    return Plan(
        plan_id=plan_id_for(cart.abandonment_id, key[1]),
        cart_id=cart_id,
        abandonment_id=cart.abandonment_id,
        made_at=now,
        due_at=cart.abandoned_at + shop.delay_ms,
        expires_at=cart.abandoned_at + shop.expiry_ms,
        last_activity=cart.last_activity,
    )


def _asked(person: Person, key: Key, request: Request, *, now: int, shop: Shop) -> Person:
    cart = person.carts.get(request.cart_id)
    plan = Plan(
        plan_id=derived_id("request", request.event_id),
        cart_id=request.cart_id,
        abandonment_id=cart.abandonment_id if cart else None,
        request_id=request.request_id or request.event_id,
        requested_by=request.requested_by,
        made_at=now,
        due_at=now,
        expires_at=now + shop.expiry_ms,
        last_activity=cart.last_activity if cart else now,
    )
    person = _planned(person, key, plan, now=now)
    unknown = cart is None or cart.abandonment_id is None
    if unknown and silence(person) is None and plan.plan_id in person.plans:
        words = f"No cart {request.cart_id} left by this person is known; it may be in use, or older than 90 days."
        return _end(person, key, plan, Stop("message.suppressed", "unknown_cart", words), now=now)
    return person


def _planned(person: Person, key: Key, plan: Plan, *, now: int) -> Person:
    if plan.plan_id in person.plans or plan.plan_id in person.done:
        return person
    said = say(person, key, plan, "message.planned", now=now, due_at=rfc3339(plan.due_at), words=_planned_words(plan))
    return replace(person, plans=person.plans | {plan.plan_id: plan}, outbox=(*person.outbox, said))


def _planned_words(plan: Plan) -> str | None:
    return f"Asked for by {plan.requested_by}." if plan.requested_by else None


def _again(person: Person, plan: Plan, due_at: int) -> Person:
    waiting = replace(plan, sending_at=None, due_at=due_at)
    return replace(person, plans=person.plans | {plan.plan_id: waiting})


# -- ending plans ---------------------------------------------------------------------------------------------------
def _end_stopped(person: Person, key: Key, *, now: int) -> Person:
    for plan in list(person.plans.values()):
        stop = stopped(person, plan)
        if stop is not None and plan.sending_at is None:
            person = _end(person, key, plan, stop, now=now)
    return person


def _end_expired(person: Person, key: Key, *, now: int) -> Person:
    for plan in list(person.plans.values()):
        if plan.sending_at is not None or now < plan.expires_at:
            continue
        if plan.tries:
            words = f"The mail server could not be reached or put us off {plan.tries} times, until it was too late."
            stop = Stop("message.failed", "mail_unavailable", words)
        else:
            stop = Stop(
                "message.expired", "expired", f"Too late for a reminder since {rfc3339(plan.expires_at)[:16]} UTC."
            )
        person = _end(person, key, plan, stop, now=now)
    return person


def _end(person: Person, key: Key, plan: Plan, stop: Stop, *, now: int, mail: dict[str, str] | None = None) -> Person:
    said = say(person, key, plan, stop.type, now=now, reason=stop.reason or None, words=stop.words, **(mail or {}))
    plans = {plan_id: other for plan_id, other in person.plans.items() if plan_id != plan.plan_id}
    done = (*person.done, plan.plan_id)[-MOST_DONE:]
    return replace(person, plans=plans, done=done, outbox=(*person.outbox, said))


def _left(person: Person, result: Sent | Uncertain) -> Stop:
    if isinstance(result, Sent):
        return Stop("message.sent", "", result.words)
    return Stop("message.uncertain", "no_answer", uncertain_words(person.email, result.message_id))


def _bounced(person: Person, key: Key, plan: Plan, words: str, *, now: int) -> Person:
    event = SubscriberEvent(
        event_id=derived_id(plan.plan_id, "bounced"),
        type="subscriber.bounced",
        shop_id=key[0],
        subscriber_id=key[1],
        occurred_at=to_datetime(now),
        reason=f"hard: {words}"[:500],
    )
    said = Out(topics.SUBSCRIBER_EVENTS.name, key[1], encode(event))
    return replace(person, silenced=person.silenced or "bounced", outbox=(*person.outbox, said))


# -- forgetting -----------------------------------------------------------------------------------------------------
def _forget_at(cart: Cart) -> int:
    return cart.touched_at + (FORGET_MS if cart.closed is None else FORGET_CLOSED_MS)


def _forget(person: Person, *, now: int) -> Person:
    in_use = {plan.cart_id for plan in person.plans.values()}
    erased = person.silenced == "erased"
    old = [c for c, cart in person.carts.items() if c not in in_use and (erased or now >= _forget_at(cart))]
    return replace(person, carts={c: cart for c, cart in person.carts.items() if c not in old}) if old else person
