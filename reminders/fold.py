"""Facts about a person: what each record adds to what is known. Pure; order and repetition do not matter.

Newest by time wins, for each channel by itself. What silences an address is never lifted here, but for an
unsubscription that a later consent, given by the person, takes back.
"""

from datetime import datetime
from typing import Any, Final

from msgspec.structs import replace

from cartwake.clock import DAY_MS, to_ms
from cartwake.errors import InvalidEvent
from cartwake.model import (
    Consent,
    PushTarget,
    SubscriberCart,
    SubscriberEvent,
    consent_of,
    derived_id,
    normal_email,
    person_id,
)
from cartwake.money import total
from reminders.person import MOST_ITEMS, MOST_PUSH, Cart, Line, Person, Request, Standing

CHANNELS: Final = ("email", "sms", "push")

MOST_ALIASES: Final = 20
MOST_REQUESTS: Final = 20
#: So many days with a soft bounce, within so many days, and the address counts as dead.
MOST_SOFT: Final = 5
SOFT_DAYS: Final = 90
MOST_SOFT_IDS: Final = 20  # remembered of the last soft bounces
_CLOSED: Final[dict[str, Any]] = {
    "cart.reactivated": "returned",
    "cart.withdrawn": "withdrawn",
    "cart.completed": "bought",
    "cart.recovered": "bought",
    "cart.unmatched": "unmatched",
}


def moment(text: str | None, name: str) -> int:
    """Epoch milliseconds of an RFC 3339 time; raises InvalidEvent."""
    try:
        return to_ms(datetime.fromisoformat(text or ""))
    except (ValueError, OverflowError, TypeError) as exc:  # TypeError: without an offset
        raise InvalidEvent(f"{name}: {text!r} is no RFC 3339 time") from exc


def fold(person: Person, record: SubscriberCart | SubscriberEvent) -> Person:
    """The person with what `record` says; raises InvalidEvent when it can't be right."""
    if record.email and person_id(record.email) != record.subscriber_id:
        raise InvalidEvent("email: is not the mailbox that subscriber_id stands for")
    if person.silenced == "erased":
        person = _only_erased(person)
        return _cart(person, record) if isinstance(record, SubscriberCart) else _request(person, record)
    if record.email and (person.email is None or normal_email(person.email) != normal_email(record.email)):
        person = replace(person, email=record.email.strip())
    if record.forwarded_from:
        person = with_alias(person, record.forwarded_from)
    return _cart(person, record) if isinstance(record, SubscriberCart) else _event(person, record)


def with_alias(person: Person, alias: str) -> Person:
    """The person, also known under `alias`."""
    if alias in person.aliases or len(person.aliases) >= MOST_ALIASES:
        return person
    return replace(person, aliases=(*person.aliases, alias))


# -- carts -----------------------------------------------------------------------------------------------------
def _cart(person: Person, record: SubscriberCart) -> Person:
    outcome = record.outcome
    at = moment(record.occurred_at, "occurred_at")
    known = person.carts.get(record.cart_id)
    if known is not None and _is_repeat(known, record):
        return person
    last_activity = moment(outcome.last_activity, "outcome.last_activity") if outcome.last_activity else 0
    if record.type == "cart.abandoned":
        cart = _abandoned(record, at, last_activity, known)
    else:
        before = known or Cart(revision=outcome.revision, touched_at=at)
        cart = replace(
            before,
            revision=max(before.revision, outcome.revision),
            touched_at=max(before.touched_at, at),
            closed=_CLOSED[record.type],
            order_id=outcome.order_id or before.order_id,
        )
    if record.type in ("cart.completed", "cart.recovered"):
        person = _bought(person, moment(outcome.occurred_at, "outcome.occurred_at"), outcome.order_id)
    if record.consent is not None:
        # the box was ticked while the cart was in use, whenever it counts as left
        given_at = (
            moment(record.evidence.seen_at, "evidence.seen_at") if record.evidence.seen_at else last_activity or at
        )
        person = _consent(person, record.consent, min(given_at, at))
    return replace(person, carts=person.carts | {record.cart_id: cart})


def _is_repeat(known: Cart, record: SubscriberCart) -> bool:
    revision = record.outcome.revision
    if record.type == "cart.unmatched" or known.closed == "unmatched":
        return revision < known.revision  # taking back, and matching again, repeat the revision
    return revision <= known.revision


def _abandoned(record: SubscriberCart, at: int, last_activity: int, known: Cart | None) -> Cart:
    outcome = record.outcome
    if outcome.abandonment_id is None:
        raise InvalidEvent("cart.abandoned without outcome.abandonment_id")
    value = total(outcome.items) if outcome.value is None else outcome.value
    return Cart(
        revision=outcome.revision,
        touched_at=at,
        last_activity=last_activity or at,
        abandonment_id=outcome.abandonment_id,
        abandoned_at=moment(outcome.abandoned_at, "outcome.abandoned_at") if outcome.abandoned_at else at,
        planned=known is not None and known.planned and known.abandonment_id == outcome.abandonment_id,
        stage=outcome.stage,
        currency=outcome.currency,
        value=str(value),
        units=sum(item.quantity or 1 for item in outcome.items) if outcome.units is None else outcome.units,
        lines=tuple(map(Line.of, outcome.items[:MOST_ITEMS])),
        cart_url=outcome.cart_url,
        logged_in=outcome.customer_id is not None or record.evidence.how == "login",
    )


def _bought(person: Person, at: int, order_id: str | None) -> Person:
    first = at if person.first_bought_at < 0 else min(at, person.first_bought_at)
    if first != person.first_bought_at:
        person = replace(person, first_bought_at=first)
    return replace(person, bought_at=at, order_id=order_id) if at > person.bought_at else person


# -- consent and profile ---------------------------------------------------------------------------------------
def _event(person: Person, event: SubscriberEvent) -> Person:
    at = event.at
    consent = consent_of(event.consent)
    person = _profile(person, event)
    match event.type:
        case "subscriber.consented":
            consent = consent or Consent(channels=event.channels or ("email",))
            person = _consent(person, consent, at)
            for channel in consent.channels if consent.granted else ():
                known = person.on(channel)
                person = stand(person, channel, consented_at=max(known.consented_at, at))
            return person
        case "subscriber.withdrawn":
            for channel in event.channels or CHANNELS:
                person = stand(person, channel, withdrawn_at=max(person.on(channel).withdrawn_at, at))
            return person
        case "subscriber.purchased":
            person = _bought(person, at, event.order_id)
        case "subscriber.bounced":
            for channel in event.channels or ("email",):
                person = _bounced(person, channel, event)
        case "subscriber.complained":
            person = replace(person, silenced="complained")
        case "subscriber.erased":
            return replace(_only_erased(person), silenced="erased")
        case "subscriber.reminder_requested":
            person = _request(person, event)
    return person if consent is None else _consent(person, consent, at)


def stand(person: Person, channel: str, **changes: Any) -> Person:
    """The person with another standing to a channel."""
    known = person.on(channel)
    now = replace(known, **changes)
    return person if now == known else replace(person, standing=person.standing | {channel: now})


def _bounced(person: Person, channel: str, event: SubscriberEvent) -> Person:
    """Dead at once when the bounce is hard, and after soft ones on MOST_SOFT different days, each event once."""
    if not (event.reason or "").lower().startswith("soft"):
        return stand(person, channel, bounced=True)
    known = person.on(channel)
    told = derived_id(event.event_id)[:16]  # a shop's own ids may be long
    if told in known.soft_ids:
        return person
    days = {*known.soft, event.at // DAY_MS}
    kept = tuple(sorted(day for day in days if day > max(days) - SOFT_DAYS))[-MOST_SOFT:]
    ids = (*known.soft_ids, told)[-MOST_SOFT_IDS:]
    return stand(person, channel, soft=kept, soft_ids=ids, bounced=known.bounced or len(kept) >= MOST_SOFT)


def _consent(person: Person, consent: Consent, at: int) -> Person:
    """The newest counts; of two at the same time, the no."""
    for channel in consent.channels:
        known = person.on(channel)
        if at > known.consent_at or (at == known.consent_at and not consent.granted):
            person = stand(person, channel, consent=consent, consent_at=at)
    return person


def _profile(person: Person, event: SubscriberEvent) -> Person:
    if event.customer_id and event.customer_id != event.subscriber_id:
        person = with_alias(person, event.customer_id)
    if event.push is not None or event.push_gone is not None:
        person = replace(person, push=_browsers(person, event.push, event.push_gone))
    told = {
        name: value
        for name in ("name", "locale", "phone", "time_zone", "groups")
        if (value := getattr(event, name)) or (name == "groups" and value is not None)
    }
    if told and event.at > person.profile_at:
        if "phone" in told and told["phone"] != person.phone:
            person = stand(person, "sms", bounced=False)
        person = replace(person, **told, profile_at=event.at)
    return person


def _browsers(person: Person, new: PushTarget | None, gone: str | None) -> tuple[PushTarget, ...]:
    """The newest browsers of the person: a new one replaces itself, one that is gone goes."""
    kept = tuple(b for b in person.push if b.endpoint != gone and (new is None or b.endpoint != new.endpoint))
    return kept if new is None else (*kept, new)[-MOST_PUSH:]


def _request(person: Person, event: SubscriberEvent) -> Person:
    if event.type != "subscriber.reminder_requested":
        return person
    if event.cart_id is None:
        raise InvalidEvent("subscriber.reminder_requested without cart_id")
    request = Request(
        event_id=event.event_id,
        cart_id=event.cart_id,
        requested_by=event.requested_by or "somebody of the shop",
        request_id=event.request_id,
        text=event.message,
    )
    return replace(person, requests=(*person.requests, request)[-MOST_REQUESTS:])


def _only_erased(person: Person) -> Person:
    """Nothing but what is under way: plans end first, then their carts go as well."""
    return Person(
        seen=person.seen,
        outbox=person.outbox,
        silenced=person.silenced,
        standing={channel: Standing(written=known.written) for channel, known in person.standing.items()},
        aliases=person.aliases,
        requests=person.requests,
        carts={
            cart_id: replace(cart, lines=(), cart_url=None, value=None, currency=None)
            for cart_id, cart in person.carts.items()
        },
        plans=person.plans,
        done=person.done,
    )
