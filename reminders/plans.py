"""The life of plans. Pure: facts in, the person with decisions and records out.

`decide` runs after every record: it makes plans (`planning.plan`) and ends those that facts have stopped. `wake` runs
when time has come: what is due is sent, waits, or ends with its reason. `settle` takes in how a sending went. Each plan
ends in exactly one of sent, suppressed, recovered, expired, failed, uncertain.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from cartwake import topics
from cartwake.clock import rfc3339, to_datetime
from cartwake.durations import duration_ms
from cartwake.model import SubscriberEvent, derived_id, encode
from cartwake.rules import Offer
from cartwake.shops import Shop
from cartwake.stage import NEVER
from reminders import planning
from reminders.fold import stand
from reminders.gates import held_back, silence, step_of, stopped, wait
from reminders.letter import Letter, letter_for
from reminders.messages import contact, say
from reminders.outcomes import Cancelled, Failed, Held, Later, Result, Sent, Uncertain
from reminders.person import MOST_DONE, Cart, Gift, Key, Out, Person, Plan, Request, Shown, Stop, Wait, with_plan
from reminders.planning import Left, template_of

MOST_WRITTEN: Final = 10
MOST_SHOWN: Final = 10
SHOWN_MS: Final = timedelta(days=3) // timedelta(milliseconds=1)
FORGET_MS: Final = timedelta(days=90) // timedelta(milliseconds=1)
FORGET_CLOSED_MS: Final = timedelta(days=30) // timedelta(milliseconds=1)
AGAIN_MS: Final = tuple(timedelta(minutes=m) // timedelta(milliseconds=1) for m in (1, 5, 15, 60))


@dataclass(frozen=True, slots=True)
class Woken:
    """What time demanded: the person then, at most one letter, and the plan that needs an offer's code first."""

    person: Person
    letter: Letter | None = None
    wants: Plan | None = None


def decide(person: Person, key: Key, *, now: int, shop: Shop) -> Person:
    """Plans for what was left or asked for; an end for every plan that facts have stopped."""
    for cart_id, cart in person.carts.items():
        if cart.abandonment_id is not None and not cart.planned:
            for decision in planning.plan(person, Left(key, cart_id, cart), now=now, rules=shop.reminders):
                person = _planned(person, key, decision.plan, decision.words, now=now)
                if decision.stop is not None and person.plan(decision.plan.plan_id):
                    person = _end(person, key, decision.plan, decision.stop, now=now)
            person = replace(person, carts=person.carts | {cart_id: replace(cart, planned=True)})
    for request in person.requests:
        person = _asked(person, key, request, now=now, shop=shop)
    if person.requests:
        person = replace(person, requests=())
    return _forget(_end_stopped(person, key, now=now), now=now)


def wake(person: Person, key: Key, *, now: int, shop: Shop, orders_flow: bool = True, alarm: bool = False) -> Woken:
    """What time demands: ends, and at most one letter. While one is being sent, the others wait for its result."""
    person = _end_expired(_end_stopped(person, key, now=now), key, now=now)
    for due in sorted(person.plans, key=lambda p: (p.due_at, p.plan_id)):
        if due.due_at > now or person.is_sending:
            break
        stop = held_back(person, due, now=now, shop=shop)
        if stop is not None:
            person = _end(person, key, due, stop, now=now)
            continue
        pause = wait(person, due, now=now, shop=shop, orders_flow=orders_flow, alarm=alarm)
        if pause is not None:
            person = _put_off(person, key, due, pause, now=now)
            continue
        if offer_of(due, shop) is not None and due.gift is None and not due.asked:
            return Woken(person, wants=due)
        return send(person, key, due, now=now)
    return Woken(_forget(person, now=now))


def send(person: Person, key: Key, due: Plan, *, now: int) -> Woken:
    """The plan is on its way: the state says so before the letter leaves."""
    sending = replace(due, sending_at=now, tries=due.tries + 1)
    person = with_plan(person, sending)
    return Woken(person, letter_for(person, key, sending))


def offer_of(plan: Plan, shop: Shop) -> Offer | None:
    """The offer of a plan's step, as the rules are now."""
    step = None if plan.by_hand else step_of(plan, shop)
    return step.offer if step else None


def wants_products(letter: Letter, shop: Shop) -> bool:
    """Whether the step of a letter, as the rules are now, proposes products."""
    steps = shop.reminders.steps
    return letter.by_rule and letter.step <= len(steps) and steps[letter.step - 1].products


def give(person: Person, due: Plan, gift: Gift, shop: Shop) -> Person:
    """The code is this person's: the plan has it, and later steps of the episode with the same offer, too."""
    offer = offer_of(due, shop)
    plans = tuple(
        replace(plan, gift=gift)
        if plan.abandonment_id == due.abandonment_id and offer_of(plan, shop) == offer and plan.gift is None
        else plan
        for plan in person.plans
    )
    return replace(person, plans=plans)


def no_code(person: Person, key: Key, due: Plan, words: str, *, now: int, shop: Shop) -> Person:
    """There is no code for the plan: it goes without one, or waits for one, as the offer says."""
    offer = offer_of(due, shop)
    if offer is None or offer.empty == "without":
        return with_plan(person, replace(due, asked=True, due_at=min(due.due_at, now)))
    return _put_off(person, key, due, Wait(now + AGAIN_MS[1], "no_code", words), now=now)


def asking(person: Person, due: Plan, *, now: int) -> Person:
    """The shop is asked for a code; the plan waits for the answer, and asks again when none comes."""
    return with_plan(person, replace(due, due_at=now + AGAIN_MS[0]))


def ready(person: Person, plan_id: str, *, now: int) -> Person:
    """The answer is there: the plan need not wait for it any more."""
    plan = person.plan(plan_id)
    if plan is None or plan.sending_at is not None:
        return person
    return with_plan(person, replace(plan, due_at=min(plan.due_at, now)))


def bought(person: Person, *, now: int) -> tuple[Person, tuple[Shown, ...]]:
    """The person, and the push messages to replace on their screens, because what they remind of has been bought."""
    fresh = tuple(one for one in person.shown if now < one.at + SHOWN_MS)
    over = tuple(one for one in fresh if _is_bought(person, one) and silence(person, "push") is None)
    kept = tuple(one for one in fresh if one not in over)
    return (person if kept == person.shown else replace(person, shown=kept)), over


def _is_bought(person: Person, one: Shown) -> bool:
    cart = person.carts.get(one.cart_id)
    return person.bought_at >= one.at or (cart is not None and cart.closed == "bought")


def settle(
    person: Person, key: Key, plan_id: str, result: Result, *, now: int, resend: bool = False, to: str = ""
) -> Person:
    """The person after the plan's sending `to` somewhere ended in `result`.

    `resend`: what may have left is sent once more.
    """
    plan = person.plan(plan_id)
    if plan is None or plan.sending_at is None:
        return person
    match result:
        case Sent() | Uncertain():
            # said to be sent when it was handed over: progress may have run on while the relay thought about it
            recent = (*person.on(plan.channel).written, plan.sending_at)[-MOST_WRITTEN:]
            person = _used(stand(person, plan.channel, written=recent), plan)
            if plan.channel == "push" and isinstance(result, Sent):
                person = _on_show(person, plan, to)
            if isinstance(result, Uncertain) and resend and plan.tries <= 1:
                person = _again(person, replace(plan, held="uncertain"), now + AGAIN_MS[1])
            else:
                person = _end(person, key, plan, _left(person, plan, result), now=plan.sending_at, mail=result.mail)
        case Held():
            person = _end(person, key, plan, Stop("message.suppressed", result.reason, result.words), now=now)
        case Failed(bounced=True) if plan.channel == "push" and any(one.endpoint != to for one in person.push):
            person = _bounced(
                _again(person, plan, now), key, plan, to, result.words, now=now
            )  # another browser takes it
        case Failed():
            person = _end(person, key, plan, Stop("message.failed", result.reason, result.words), now=now)
            if result.bounced:
                person = _bounced(person, key, plan, to, result.words, now=now)
        case Later():
            person = _again(person, plan, now + AGAIN_MS[min(plan.tries, len(AGAIN_MS)) - 1])
        case Cancelled():
            person = _again(person, plan, now)  # what stopped it ends it, unless that was taken back
    return _forget(_end_stopped(person, key, now=now), now=now)


def interrupted(person: Person, key: Key, *, resend: bool = False) -> Person:
    """After a crash: nobody knows whether what was being sent has left, so it is held and said, or sent again."""
    for plan in person.plans:
        if plan.sending_at is not None:
            unknown = Uncertain(message_id=plan.plan_id)
            person = settle(person, key, plan.plan_id, unknown, now=plan.sending_at, resend=resend)
    return person


def cancelled(person: Person) -> list[str]:
    """The plans under way that facts have stopped: no further try for them."""
    return [p.plan_id for p in person.plans if p.sending_at is not None and stopped(person, p) is not None]


def next_wake(person: Person) -> int:
    """When `wake` has something to do, or NEVER."""
    sending = person.is_sending
    waiting = [p for p in person.plans if p.sending_at is None]
    times = [p.expires_at if sending else min(p.due_at, p.expires_at) for p in waiting]
    in_use = {p.cart_id for p in person.plans}
    times += [_forget_at(cart) for cart_id, cart in person.carts.items() if cart_id not in in_use]
    return min(times, default=NEVER)


def uncertain_words(to: str | None, message_id: str) -> str:
    """What a shop should do about a message of which nobody knows whether it left."""
    return (
        f"The connection or the process ended after the message to {to or 'this person'} was handed over and before "
        "the server answered, so it may or may not have arrived. It is not sent again by itself. Look for "
        f"Message-ID {message_id} in the server's log; if it is not there, send the reminder by hand tomorrow."
    )


# -- making plans --------------------------------------------------------------------------------------------------
def _asked(person: Person, key: Key, request: Request, *, now: int, shop: Shop) -> Person:
    cart = person.carts.get(request.cart_id)
    asked = Plan(
        plan_id=derived_id("request", request.event_id),
        cart_id=request.cart_id,
        abandonment_id=cart.abandonment_id if cart else None,
        template=template_of(cart.stage if cart else None),
        request_id=request.request_id or request.event_id,
        requested_by=request.requested_by,
        text=request.text,
        made_at=now,
        due_at=now,
        expires_at=now + duration_ms(shop.reminders.expiry),
        last_activity=cart.last_activity if cart else now,
    )
    person = _planned(person, key, asked, f"Asked for by {asked.requested_by}.", now=now)
    unknown = cart is None or cart.abandonment_id is None
    if unknown and silence(person, asked.channel) is None and person.plan(asked.plan_id):
        words = f"No cart {request.cart_id} left by this person is known; it may be in use, or older than 90 days."
        return _end(person, key, asked, Stop("message.suppressed", "unknown_cart", words), now=now)
    return person


def _planned(person: Person, key: Key, plan: Plan, words: str, *, now: int) -> Person:
    if person.plan(plan.plan_id) or plan.plan_id in person.done:
        return person
    said = say(person, key, plan, "message.planned", now=now, due_at=rfc3339(plan.due_at), words=words)
    return replace(person, plans=(*person.plans, plan), outbox=(*person.outbox, said))


def _put_off(person: Person, key: Key, due: Plan, pause: Wait, *, now: int) -> Person:
    """The plan looked at again later; the reason is said when it is a new one."""
    later = replace(due, due_at=pause.until, held=pause.reason)
    person = with_plan(person, later)
    if due.held == pause.reason:
        return person
    details = {"reason": pause.reason, "words": pause.words, "due_at": rfc3339(pause.until)}
    said = say(person, key, later, "message.held", now=now, part=str(now), **details)
    return replace(person, outbox=(*person.outbox, said))


def _again(person: Person, plan: Plan, due_at: int) -> Person:
    return with_plan(person, replace(plan, sending_at=None, due_at=due_at))


# -- ending plans ---------------------------------------------------------------------------------------------------
def _end_stopped(person: Person, key: Key, *, now: int) -> Person:
    for plan in person.plans:
        stop = stopped(person, plan)
        if stop is not None and plan.sending_at is None:
            person = _end(person, key, plan, stop, now=now)
    return person


def _end_expired(person: Person, key: Key, *, now: int) -> Person:
    for plan in person.plans:
        if plan.sending_at is not None or now < plan.expires_at:
            continue
        if plan.tries:
            words = f"The server could not be reached or put us off {plan.tries} times, until it was too late."
            stop = Stop("message.failed", "mail_unavailable", words)
        elif plan.held:
            words = f"Held ({plan.held}) until it was too late, since {rfc3339(plan.expires_at)[:16]} UTC."
            stop = Stop("message.expired", plan.held, words)
        else:
            stop = Stop(
                "message.expired", "expired", f"Too late for a reminder since {rfc3339(plan.expires_at)[:16]} UTC."
            )
        person = _end(person, key, plan, stop, now=now)
    return person


def _end(person: Person, key: Key, plan: Plan, stop: Stop, *, now: int, mail: dict[str, str] | None = None) -> Person:
    said = say(person, key, plan, stop.type, now=now, reason=stop.reason or None, words=stop.words, **(mail or {}))
    plans = tuple(other for other in person.plans if other.plan_id != plan.plan_id)
    done = (*person.done, plan.plan_id)[-MOST_DONE:]
    return replace(person, plans=plans, done=done, outbox=(*person.outbox, said))


def _left(person: Person, plan: Plan, result: Sent | Uncertain) -> Stop:
    if isinstance(result, Sent):
        return Stop("message.sent", "", result.words)
    return Stop("message.uncertain", "no_answer", uncertain_words(contact(person, plan.channel), result.message_id))


def _used(person: Person, plan: Plan) -> Person:
    """A code that has left goes to nobody else, whatever becomes of later steps with it."""
    if plan.gift is None:
        return person
    plans = tuple(
        replace(other, gift=replace(other.gift, used=True))
        if other.gift is not None and other.gift.code == plan.gift.code
        else other
        for other in person.plans
    )
    return replace(person, plans=plans)


def _on_show(person: Person, plan: Plan, to: str) -> Person:
    browser = next((one for one in person.push if one.endpoint == to), None)
    if browser is None or plan.sending_at is None:
        return person
    shown = Shown(plan.cart_id, plan.plan_id, browser, plan.sending_at)
    return replace(person, shown=(*person.shown, shown)[-MOST_SHOWN:])


def _bounced(person: Person, key: Key, plan: Plan, to: str, words: str, *, now: int) -> Person:
    """A dead mailbox or number is not written to again; a browser that is gone is forgotten."""
    browser = plan.channel == "push"
    event = SubscriberEvent(
        event_id=derived_id(plan.plan_id, "bounced", *([to] if browser else ())),
        type="subscriber.updated" if browser else "subscriber.bounced",
        shop_id=key[0],
        subscriber_id=key[1],
        occurred_at=to_datetime(now),
        reason=f"hard: {words}"[:500],
        channels=(plan.channel,),
        push_gone=to if browser else None,
    )
    kept = tuple(one for one in person.push if one.endpoint != to)
    person = replace(person, push=kept) if browser else stand(person, plan.channel, bounced=True)
    said = Out(topics.SUBSCRIBER_EVENTS.name, key[1], encode(event))
    return replace(person, outbox=(*person.outbox, said))


# -- forgetting -----------------------------------------------------------------------------------------------------
def _forget_at(cart: Cart) -> int:
    return cart.touched_at + (FORGET_MS if cart.closed is None else FORGET_CLOSED_MS)


def _forget(person: Person, *, now: int) -> Person:
    in_use = {plan.cart_id for plan in person.plans}
    erased = person.silenced == "erased"
    old = [c for c, cart in person.carts.items() if c not in in_use and (erased or now >= _forget_at(cart))]
    return replace(person, carts={c: cart for c, cart in person.carts.items() if c not in old}) if old else person
