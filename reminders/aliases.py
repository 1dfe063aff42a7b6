"""A shop's own ids for a person: each remembers its mailbox and sends every record on to the person. Pure.

Until the mailbox is known an alias holds what comes: carts for 7 days and at most 50 of them, of other records the
newest of each kind. Two ids in one record belong together, and what one learns it teaches the other.
"""

from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from cartwake import topics
from cartwake.clock import to_datetime
from cartwake.model import SubscriberCart, SubscriberEvent, derived_id, encode, person_id
from cartwake.stage import NEVER
from reminders.fold import with_alias
from reminders.messages import plan_id_for, say
from reminders.person import MOST_ITEMS, Alias, Held, Key, Out, Person, Plan, Stop

HOLD_MS: Final = timedelta(days=7) // timedelta(milliseconds=1)
MOST_HELD_CARTS: Final = 50
MOST_OTHERS: Final = 10
_RETURNED: Final = Stop("message.suppressed", "returned", "The shopper came back to the cart.")
_BOUGHT: Final = Stop("message.recovered", "bought", "Bought before a reminder was sent.")
_WITHDRAWN: Final = Stop("message.suppressed", "withdrawn", "Late events showed that the cart had not been left.")
_UNMATCHED: Final = Stop("message.suppressed", "unmatched", "The cart turned out not to be this subscriber's.")
_BECAME: Final = {
    "cart.reactivated": _RETURNED,
    "cart.abandoned": _RETURNED,
    "cart.withdrawn": _WITHDRAWN,
    "cart.completed": _BOUGHT,
    "cart.recovered": _BOUGHT,
}
_NO_MAILBOX: Final = "No e-mail address became known for this subscriber"


def hear(alias: Alias, key: Key, record: SubscriberCart | SubscriberEvent, *, now: int) -> Alias:
    """The alias after a record about it: learned, sent on or held."""
    if isinstance(record, SubscriberEvent):
        alias = _learn(alias, key, record)
        if record.type == "subscriber.erased":
            return _erase(alias, key, record, now=now)
    if alias.email is not None:
        return _send_on(alias, key, record, alias.email)
    if isinstance(record, SubscriberEvent) and record.type == "subscriber.reminder_requested":
        return _refuse(alias, key, record, now=now)
    return _hold(alias, key, record, now=now)


def give_up(alias: Alias, key: Key, *, now: int) -> Alias:
    """The alias without the carts it has held for 7 days; each one's plan ends as `no_address`."""
    for held in [h for h in alias.held if h.cart_id is not None and now >= h.held_at + HOLD_MS]:
        alias = _drop(alias, key, held, _stop(alias, held, f"{_NO_MAILBOX} within 7 days."), now=now)
    return alias


def next_give_up(alias: Alias) -> int:
    """When `give_up` has something to do, or NEVER."""
    return min((h.held_at + HOLD_MS for h in alias.held if h.cart_id is not None), default=NEVER)


def teach(before: Person, person: Person, key: Key, record: SubscriberCart | SubscriberEvent) -> Person:
    """The person with what its aliases must hear of `record`: their mailbox, or that it is erased."""
    if not isinstance(record, SubscriberEvent):
        return person
    if record.type == "subscriber.erased":
        outs = [_say(record, "subscriber.erased", key[0], alias) for alias in person.aliases]
        return replace(person, aliases=(), outbox=(*person.outbox, *outs))
    if person.email is None or record.forwarded_from:
        return person
    new = [alias for alias in person.aliases if alias not in before.aliases]
    outs = [_say(record, "subscriber.updated", key[0], alias, email=person.email) for alias in new]
    return replace(person, outbox=(*person.outbox, *outs)) if outs else person


def answering(person: Person, key: Key, number_id: str, plan_id: str, *, now: int) -> Person:
    """The person that a reply will find by the id of the number that is written to: whoever was written to last."""
    if person.email is None:
        return person
    event = SubscriberEvent(
        event_id=derived_id("number", plan_id), type="subscriber.updated", shop_id=key[0], subscriber_id=number_id,
        occurred_at=to_datetime(now), email=person.email,
    )  # fmt: skip
    said = Out(topics.SUBSCRIBER_EVENTS.name, number_id, encode(event))
    person = with_alias(person, number_id)
    return replace(person, outbox=(*person.outbox, said))


# -- learning --------------------------------------------------------------------------------------------------
def _learn(alias: Alias, key: Key, event: SubscriberEvent) -> Alias:
    other = event.customer_id
    if other and other != key[1] and other not in alias.others and len(alias.others) < MOST_OTHERS:
        alias = replace(alias, others=(*alias.others, other))
        link = _say(event, "subscriber.updated", key[0], other, customer_id=key[1], email=alias.email)
        alias = replace(alias, outbox=(*alias.outbox, link))
    if not event.email or (event.at, event.email) <= (alias.email_at, alias.email or ""):
        return alias
    changed = event.email != alias.email
    alias = replace(alias, email=event.email, email_at=event.at)
    if changed:
        outs = [_say(event, "subscriber.updated", key[0], name, email=event.email) for name in alias.others]
        alias = replace(alias, outbox=(*alias.outbox, *outs))
        for held in alias.held:
            alias = _send_on(alias, key, _decode(held), event.email)
    return replace(alias, held=())


def _say(cause: SubscriberEvent, type_: str, shop_id: str, alias: str, **details: Any) -> Out:
    event = SubscriberEvent(
        event_id=derived_id(type_, cause.event_id, alias, *details.values()),
        type=type_,
        shop_id=shop_id,
        subscriber_id=alias,
        occurred_at=to_datetime(cause.at),
        **details,
    )
    return Out(topics.SUBSCRIBER_EVENTS.name, alias, encode(event))


# -- sending on and holding --------------------------------------------------------------------------------------
def _send_on(alias: Alias, key: Key, record: SubscriberCart | SubscriberEvent, email: str) -> Alias:
    person = person_id(email)
    if isinstance(record, SubscriberCart):
        changed: SubscriberCart | SubscriberEvent = replace(
            record,
            record_id=derived_id(record.record_id, person),
            subscriber_id=person,
            email=email,
            forwarded_from=key[1],
        )
        topic = topics.SUBSCRIBER_CARTS.name
    else:
        changed = replace(
            record,
            event_id=derived_id(record.event_id, person),
            subscriber_id=person,
            email=None if record.type == "subscriber.erased" else email,
            forwarded_from=key[1],
        )
        topic = topics.SUBSCRIBER_EVENTS.name
    return replace(alias, outbox=(*alias.outbox, Out(topic, person, encode(changed))))


def _hold(alias: Alias, key: Key, record: SubscriberCart | SubscriberEvent, *, now: int) -> Alias:
    if isinstance(record, SubscriberEvent):
        if any(h.kind == record.type and _at(h) > record.at for h in alias.held):
            return alias
        kept = tuple(h for h in alias.held if h.kind != record.type)
        held = Held(topics.SUBSCRIBER_EVENTS.name, record.type, None, None, now, encode(record))
        return replace(alias, held=(*kept, held))
    if record.type == "cart.unmatched":
        for held in [h for h in alias.held if h.cart_id == record.cart_id]:
            alias = _drop(alias, key, held, _UNMATCHED, now=now)
        return alias
    outcome = replace(record.outcome, items=record.outcome.items[:MOST_ITEMS])
    value = encode(replace(record, outcome=outcome))
    if any(held.value == value for held in alias.held):
        return alias
    abandonment = outcome.abandonment_id if record.type == "cart.abandoned" else None
    held = Held(topics.SUBSCRIBER_CARTS.name, record.type, record.cart_id, abandonment, now, value)
    alias = replace(alias, held=(*alias.held, held))
    carts = [h for h in alias.held if h.cart_id is not None]
    if len(carts) > MOST_HELD_CARTS:
        stop = _stop(alias, carts[0], f"{_NO_MAILBOX}, and newer carts came.")
        alias = _drop(alias, key, carts[0], stop, now=now)
    return alias


def _at(held: Held) -> int:
    return msgspec.json.decode(held.value, type=SubscriberEvent).at


def _decode(held: Held) -> SubscriberCart | SubscriberEvent:
    if held.cart_id is not None:
        return msgspec.json.decode(held.value, type=SubscriberCart)
    return msgspec.json.decode(held.value, type=SubscriberEvent)


# -- ends ------------------------------------------------------------------------------------------------------------
def _stop(alias: Alias, held: Held, words: str) -> Stop:
    """How a held abandonment ends: by what became of the cart later, if anything did."""
    after = alias.held[alias.held.index(held) + 1 :]
    ends = (_BECAME[h.kind] for h in after if h.cart_id == held.cart_id and h.kind in _BECAME)
    return next(ends, Stop("message.suppressed", "no_address", words))


def _drop(alias: Alias, key: Key, held: Held, stop: Stop, *, now: int) -> Alias:
    alias = replace(alias, held=tuple(h for h in alias.held if h is not held))
    if held.abandonment_id is None:
        return alias
    plan = _never(plan_id_for(held.abandonment_id, key[1]), held.cart_id or "", held.abandonment_id, now)
    return replace(alias, outbox=(*alias.outbox, *_both(key, plan, stop, now)))


def _refuse(alias: Alias, key: Key, event: SubscriberEvent, *, now: int) -> Alias:
    plan = _never(derived_id("request", event.event_id), event.cart_id or "", None, now)
    plan = replace(plan, request_id=event.request_id or event.event_id, requested_by=event.requested_by or "shop")
    stop = Stop("message.suppressed", "no_address", "No e-mail address of this subscriber is known.")
    return replace(alias, outbox=(*alias.outbox, *_both(key, plan, stop, now)))


def _erase(alias: Alias, key: Key, event: SubscriberEvent, *, now: int) -> Alias:
    """Forget the mailbox and the carts; the person it led to is erased as well."""
    if alias.email is not None:
        alias = _send_on(alias, key, event, alias.email)
    for held in [h for h in alias.held if h.cart_id is not None]:
        stop = Stop("message.suppressed", "erased", "The person's data was erased on request.")
        alias = _drop(alias, key, held, stop, now=now)
    return Alias(seen=alias.seen, outbox=alias.outbox)


def _never(plan_id: str, cart_id: str, abandonment_id: str | None, now: int) -> Plan:
    return Plan(
        plan_id=plan_id, cart_id=cart_id, abandonment_id=abandonment_id,
        made_at=now, due_at=now, expires_at=now, last_activity=now,
    )  # fmt: skip


def _both(key: Key, plan: Plan, stop: Stop, now: int) -> tuple[Out, Out]:
    nobody = Person()
    return (
        say(nobody, key, plan, "message.planned", now=now),
        say(nobody, key, plan, stop.type, now=now, reason=stop.reason, words=stop.words),
    )
