"""Whose cart is it (design section 3, identity): pure, without clock or I/O.

A `Device` holds who was seen on it and the carts that went through it. `take`, `identify` and `unlink` change the
device they are given, which its caller owns, and say what to tell stage 3. Times are epoch milliseconds.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, Literal

from msgspec import Struct

from cartwake.clock import DAY_MS, rfc3339
from cartwake.model import (
    CartOutcome,
    Consent,
    DeviceEvent,
    Evidence,
    SubscriberCart,
    consent_of,
    derived_id,
    encode,
    normal_email,
    person_id,
    subscriber_id_for,
)

SEEN_FOR_MS: Final = 180 * DAY_MS
WAIT_MS: Final = 7 * DAY_MS
KEEP_CART_MS: Final = 90 * DAY_MS
_MOST_SIGHTINGS: Final = 50
_MOST_OUTCOMES: Final = 16
#: A state is written as one record: a device id that a whole shop shares must not outgrow it.
_MOST_CARTS: Final = 100
_MOST_BYTES: Final = 768 * 1024  # of outcomes kept for later
_TYPED: Final = re.compile(r"^[^@\s]{1,64}@[^@\s]+\.[^@\s.]{2,}$")


class Sighting(Struct, array_like=True, frozen=True):
    """Somebody was seen on the device."""

    event_id: str
    at: int
    how: str
    subscriber_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    session_id: str | None = None
    consent: Consent | None = None

    def names(self) -> set[tuple[str, str]]:
        """By what the person is known here."""
        named = [("s", self.subscriber_id), ("c", self.customer_id)]
        if self.email:  # whoever clicks in our mail comes back with the id made from the address
            named += [("e", normal_email(self.email)), ("s", person_id(self.email))]
        return {(kind, name) for kind, name in named if name}


class Unlinking(Struct, array_like=True, frozen=True):
    """What was seen up to `at` is not this person's; no names mean everybody's."""

    at: int
    names: list[tuple[str, str]]


class SeenCart(Struct, array_like=True):
    """A cart of this device: what happened to it, and whose it is taken to be."""

    revision: int
    at: int
    outcomes: list[CartOutcome]
    subscriber_id: str | None = None
    evidence: Evidence | None = None
    size: int = 0  # of the outcomes, in bytes


class Device(Struct, array_like=True):
    """One device, or a cart without one; `offsets` are the records it was last folded with, by topic."""

    offsets: dict[str, int] = {}
    sightings: list[Sighting] = []
    unlinkings: list[Unlinking] = []
    carts: dict[str, SeenCart] = {}


class Match(Struct, frozen=True):
    """A person with the evidence."""

    subscriber_id: str
    evidence: Evidence
    customer_id: str | None = None
    email: str | None = None
    consent: Consent | None = None


def usable_email(text: str | None) -> str | None:
    """What was typed, if it looks like an address; shoppers are heard while they type."""
    return text.strip() if text and _TYPED.match(text.strip()) else None


def match(device: Device, outcome: CartOutcome, at: int) -> Match | None:
    """Whose cart this is at time `at`, or None: the cart's own evidence first, then its device's."""
    email = usable_email(outcome.email)
    own = subscriber_id_for(email=email, customer_id=outcome.customer_id)
    if own is not None:
        words = (
            "the e-mail address was typed in this cart's checkout"
            if email
            else "the shopper was logged in on this cart"
        )
        evidence = Evidence(how="checkout" if email else "login", words=words, device_id=outcome.device_id)
        return Match(own, evidence, outcome.customer_id, email, outcome.consent)
    people = _people(s for s in device.sightings if abs(at - s.at) <= SEEN_FOR_MS)
    if len(people) == 1:
        return _by_device(people[0], outcome, "nobody else was seen on this device in 180 days")
    here = [person for person in people if any(_same_session(s, outcome) for s in person)]
    if len(here) == 1:
        several = f"{len(people)} people use this device, but only this one was seen in the cart's own session"
        return _by_device(here[0], outcome, several)
    return None


def take(device: Device, outcome: CartOutcome, at: int) -> list[SubscriberCart]:
    """Take an outcome in; what to tell about it now. A repeat (by revision) says nothing."""
    cart = device.carts.get(outcome.cart_id)
    if cart is not None and outcome.revision <= cart.revision:
        return []
    if cart is None:
        cart = device.carts[outcome.cart_id] = SeenCart(outcome.revision, at, [])
    before = cart.subscriber_id
    cart.revision, cart.at = outcome.revision, max(cart.at, at)
    cart.outcomes = [*cart.outcomes[1 - _MOST_OUTCOMES :], outcome]
    if outcome.type == "cart.abandoned":
        cart.outcomes = [outcome]  # an earlier episode is over
    cart.size = sum(len(encode(kept)) for kept in cart.outcomes)
    _make_room(device, cart)
    found = match(device, outcome, at)
    if found is None and before is not None and cart.evidence is not None:
        found = Match(before, cart.evidence)  # once matched it stays so until it is unlinked
    if found is None:
        return []
    told: list[SubscriberCart] = []
    if before is not None and before != found.subscriber_id:
        told.append(_unmatched(cart, before, "the cart named somebody else", outcome.outcome_id))
    fresh = [outcome] if before == found.subscriber_id else cart.outcomes
    return told + _tell(cart, found, fresh)


def identify(device: Device, event: DeviceEvent, at: int) -> list[SubscriberCart]:
    """Somebody was seen: remember it, and match the carts that waited for it."""
    seen = Sighting(
        event_id=event.event_id,
        at=at,
        how=event.how or "login",
        subscriber_id=event.subscriber_id,
        customer_id=event.customer_id,
        email=usable_email(event.email),
        session_id=event.session_id,
        consent=consent_of(event.consent),
    )
    known = any(seen.event_id == s.event_id for s in device.sightings)
    if known or not seen.names() or _is_unlinked(device, seen):
        return []
    newest = sorted([*device.sightings, seen], key=lambda s: s.at)
    device.sightings = newest[-_MOST_SIGHTINGS:]
    return _match(device, [cart for cart in device.carts.values() if at < cart.at + WAIT_MS])


def unlink(device: Device, event: DeviceEvent, at: int) -> list[SubscriberCart]:
    """Wrong person: forget what said so, take their carts back, and look whose they are without it."""
    names = Sighting(event.event_id, at, "", event.subscriber_id, event.customer_id, usable_email(event.email)).names()
    for person in _people(s for s in device.sightings if s.at <= at):
        known = {name for seen in person for name in seen.names()}
        if known & names:
            names |= known  # by whatever else they are known here
    device.unlinkings = [*device.unlinkings[-9:], Unlinking(at, sorted(names))]
    gone = [s for s in device.sightings if _is_unlinked(device, s)]
    device.sightings = [s for s in device.sightings if s not in gone]
    lost = {s.event_id for s in gone}
    told: list[SubscriberCart] = []
    free = [cart for cart in device.carts.values() if cart.subscriber_id is not None or at < cart.at + WAIT_MS]
    for cart in free:
        if cart.subscriber_id is not None and cart.evidence is not None and cart.evidence.event_id in lost:
            told.append(
                _unmatched(cart, cart.subscriber_id, "the device was unlinked from this person", event.event_id)
            )
            cart.subscriber_id = cart.evidence = None
    return told + _match(device, free)


def prune(device: Device, now: int) -> int | None:
    """Forget what is too old at `now`; returns when to look again, or None when nothing is left."""
    device.sightings = [s for s in device.sightings if s.at + SEEN_FOR_MS > now]
    device.unlinkings = [u for u in device.unlinkings if u.at + SEEN_FOR_MS > now]
    device.carts = {cart_id: cart for cart_id, cart in device.carts.items() if _forget_at(cart) > now}
    moments = [s.at + SEEN_FOR_MS for s in device.sightings]
    moments += [u.at + SEEN_FOR_MS for u in device.unlinkings]
    moments += [_forget_at(cart) for cart in device.carts.values()]
    return min(moments, default=None)


def _forget_at(cart: SeenCart) -> int:
    return cart.at + (WAIT_MS if cart.subscriber_id is None else KEEP_CART_MS)


def _make_room(device: Device, newest: SeenCart) -> None:
    """Forget what is oldest, first of the cart itself, then carts that wait, then matched ones."""
    while newest.size > _MOST_BYTES and len(newest.outcomes) > 1:
        newest.size -= len(encode(newest.outcomes.pop(0)))
    carts = device.carts
    room = _MOST_BYTES - sum(cart.size for cart in carts.values())
    if len(carts) <= _MOST_CARTS and room >= 0:
        return
    for cart_id, cart in sorted(carts.items(), key=lambda kept: (kept[1].subscriber_id is not None, kept[1].at)):
        if len(carts) <= _MOST_CARTS and room >= 0:
            return
        if cart is not newest:
            del carts[cart_id]
            room += cart.size


def _match(device: Device, carts: Iterable[SeenCart]) -> list[SubscriberCart]:
    told: list[SubscriberCart] = []
    for cart in carts:
        if cart.subscriber_id is None and cart.outcomes:
            found = match(device, cart.outcomes[-1], cart.at)
            if found is not None:
                told += _tell(cart, found, cart.outcomes)
    return told


def _people(sightings: Iterable[Sighting]) -> list[list[Sighting]]:
    """Sightings grouped by person: those that share any name are of one."""
    people: list[tuple[set[tuple[str, str]], list[Sighting]]] = []
    for seen in sightings:
        names, group = seen.names(), [seen]
        others = []
        for known, sightings_of in people:
            if known & names:
                names |= known
                group = sightings_of + group
            else:
                others.append((known, sightings_of))
        people = [*others, (names, group)]
    return [group for _, group in people]


def _same_session(seen: Sighting, outcome: CartOutcome) -> bool:
    return seen.session_id is not None and seen.session_id == outcome.session_id


def _by_device(person: list[Sighting], outcome: CartOutcome, why: str) -> Match:
    last = max(person, key=lambda s: (_same_session(s, outcome), s.at))
    newest = sorted(person, key=lambda s: s.at, reverse=True)

    def latest(field: Literal["email", "customer_id", "subscriber_id", "consent"]) -> Any:
        return next((value for s in newest if (value := getattr(s, field)) is not None), None)

    email, customer_id = latest("email"), latest("customer_id")
    subscriber_id = subscriber_id_for(email=email, customer_id=customer_id, subscriber_id=latest("subscriber_id"))
    assert subscriber_id is not None  # a sighting without a name is not kept
    evidence = Evidence(
        how=last.how,
        words=f"seen on this device by {last.how} on {rfc3339(last.at)[:16].replace('T', ' ')} UTC; {why}",
        seen_at=rfc3339(last.at),
        device_id=outcome.device_id,
        event_id=last.event_id,
    )
    return Match(subscriber_id, evidence, customer_id, email, latest("consent"))


def _is_unlinked(device: Device, seen: Sighting) -> bool:
    return any(seen.at <= u.at and (not u.names or seen.names() & set(u.names)) for u in device.unlinkings)


def _tell(cart: SeenCart, found: Match, outcomes: Iterable[CartOutcome]) -> list[SubscriberCart]:
    cart.subscriber_id, cart.evidence = found.subscriber_id, found.evidence
    return [
        SubscriberCart(
            record_id=derived_id("match", outcome.outcome_id, found.subscriber_id),
            type=outcome.type,
            subscriber_id=found.subscriber_id,
            shop_id=outcome.shop_id,
            cart_id=outcome.cart_id,
            occurred_at=outcome.occurred_at,
            evidence=found.evidence,
            outcome=outcome,
            customer_id=found.customer_id,
            email=found.email,
            consent=found.consent,
        )
        for outcome in outcomes
    ]


def _unmatched(cart: SeenCart, subscriber_id: str, why: str, cause: str) -> SubscriberCart:
    last = cart.outcomes[-1]
    evidence = Evidence(how="unlinked", words=why, device_id=last.device_id)
    return SubscriberCart(
        record_id=derived_id("unmatched", last.cart_id, subscriber_id, cause),
        type="cart.unmatched",
        subscriber_id=subscriber_id,
        shop_id=last.shop_id,
        cart_id=last.cart_id,
        occurred_at=last.occurred_at,
        evidence=evidence,
        outcome=last,
    )
