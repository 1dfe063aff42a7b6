"""What stands between a plan and a message: each gate is a rule with the words the shop's staff read. Pure.

`stopped` looks at what has become of the cart and the person, at any time; `held_back` at what must hold in the
moment of writing, and `wait` at what only puts that moment off.
"""

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from cartwake.clock import DAY_MS, rfc3339, to_datetime, to_ms
from cartwake.rules import Audience, QuietHours, Step, zone
from cartwake.shops import Shop
from reminders.address import check_address
from reminders.numbers import check_number
from reminders.person import Cart, Person, Plan, Stop, Wait, suppressed

AGAIN_MS: Final = timedelta(minutes=5) // timedelta(milliseconds=1)

_CLOSED: Final = {
    "returned": "The shopper came back to the cart.",
    "withdrawn": "Late events showed that the cart had not been left.",
    "unmatched": "The cart turned out not to be this person's.",
}
SILENCED: Final = {
    "bounced": "Earlier messages came back: the address is dead, or took none for a long time.",
    "complained": "The person reported an earlier mail as spam.",
    "erased": "The person's data was erased on request.",
    "unsubscribed": "The person unsubscribed.",
}
_MISSING: Final = {
    "email": "No e-mail address of this person is known.",
    "sms": "No telephone number of this person is known.",
    "push": "No browser of this person takes push messages.",
}
_NAMES: Final = {"email": "mails", "sms": "text messages", "push": "push messages"}


def dead(person: Person, channel: str) -> str | None:
    """Why nothing at all may be written by this channel, not even about an order, or None."""
    return person.silenced or ("bounced" if person.on(channel).bounced else None)


def silence(person: Person, channel: str) -> str | None:
    """Why this person must not be reminded by this channel whatever else holds, or None."""
    if (reason := dead(person, channel)) is not None:
        return reason
    standing = person.on(channel)
    return "unsubscribed" if standing.withdrawn_at >= max(standing.consented_at, 0) else None


def stopped(person: Person, plan: Plan) -> Stop | None:
    """Why the plan is over, or None while it stands."""
    cart = person.carts.get(plan.cart_id)
    if cart is not None and cart.closed == "bought" and not _another_episode(person, plan):
        return Stop("message.recovered", "bought", _bought_words(cart.order_id))
    if person.bought_at >= plan.last_activity:
        return Stop("message.recovered", "bought", _bought_words(person.order_id))
    if cart is not None and cart.closed is not None and cart.closed != "bought":
        return suppressed(cart.closed, _CLOSED[cart.closed])
    if _another_episode(person, plan):
        return suppressed("returned", _CLOSED["returned"])
    reason = silence(person, plan.channel)
    return None if reason is None else suppressed(reason, SILENCED[reason])


def held_back(person: Person, plan: Plan, *, now: int, shop: Shop) -> Stop | None:
    """Why no message may be written `now`, or None when it may."""
    return (
        _switched_off(plan, shop)
        or _unreachable(person, plan, shop)
        or _not_agreed(person, plan)
        or _not_meant(person, plan, shop)
        or _too_many(person, plan, now, shop)
    )


def wait(person: Person, plan: Plan, *, now: int, shop: Shop, orders_flow: bool, alarm: bool = False) -> Wait | None:
    """Why the message is put off, and until when, or None. What staff ask for by hand is not put off."""
    if plan.by_hand:
        return None
    if shop.reminders.hold_when_orders_stop and not orders_flow:
        words = "No orders have come for far longer than is usual for this shop, so purchases may be missing."
        return Wait(now + AGAIN_MS, "orders_silent", words)
    if shop.alarms.pause_reminders and alarm:
        words = "The shop's checkout does not work as usual (see the alarm), so who comes back could not buy."
        return Wait(now + AGAIN_MS, "alarm", words)
    quiet = shop.reminders.quiet_hours
    if quiet is not None and (until := _end_of_quiet(quiet, now, _zone(person, shop))) is not None:
        return Wait(until, "quiet_hours", f"It is between {quiet.begin} and {quiet.end} where the person lives.")
    if plan.step > 1 and (free_at := _free_at(person, plan, now, shop)) is not None:
        return Wait(free_at, "daily_limit", _limit_words(person, plan, now, shop))
    return None


# -- gates -----------------------------------------------------------------------------------------------------------
def _switched_off(plan: Plan, shop: Shop) -> Stop | None:
    if plan.by_hand:
        return None
    if not shop.reminders.enabled:
        return suppressed("disabled", "Reminders are switched off for this shop.")
    if step_of(plan, shop) is None:
        return suppressed("no_rules", f"The shop's rules have no step {plan.step} by {plan.channel} any more.")
    return None


def _unreachable(person: Person, plan: Plan, shop: Shop) -> Stop | None:
    known = {"email": person.email, "sms": person.phone, "push": person.push or None}[plan.channel]
    if known is None:
        return suppressed("no_address", _MISSING[plan.channel])
    if plan.channel == "email" and person.email and is_blocked(person.email, shop.reminders.blocked):
        return suppressed("blocked", "The address is on the shop's block list.")
    problem = None
    if plan.channel == "email":
        problem = check_address(person.email or "")
    elif plan.channel == "sms":
        problem = check_number(person.phone or "", shop.profile.phone_region)
    name = "telephone number" if plan.channel == "sms" else "e-mail address"
    return None if problem is None else suppressed("invalid_address", f"The {name} can't be written to: {problem}")


def _not_agreed(person: Person, plan: Plan) -> Stop | None:
    consent = person.on(plan.channel).consent
    if consent is not None and consent.granted:
        return None
    name = _NAMES[plan.channel]
    words = f"The person refused reminders as {name}." if consent else f"No consent to {name} is recorded."
    return suppressed("no_consent", words)


def _not_meant(person: Person, plan: Plan, shop: Shop) -> Stop | None:
    step = None if plan.by_hand else step_of(plan, shop)
    if step is None:
        return None
    words = _outside(step.audience, person, person.carts.get(plan.cart_id), plan)
    return None if words is None else suppressed("audience", words)


def _outside(audience: Audience, person: Person, cart: Cart | None, plan: Plan) -> str | None:
    logged_in = cart is not None and cart.logged_in
    subscriber = person.on(plan.channel).consented_at >= 0
    if audience.who == "subscribers" and not subscriber:
        return "The step is for subscribers, and the person has not subscribed."
    if audience.who == "logged-in" and not logged_in:
        return "The step is for shoppers who were logged in."
    if audience.who == "guests" and logged_in:
        return "The step is for guests, and the shopper was logged in."
    if audience.groups and not set(audience.groups) & set(person.groups):
        return f"The step is for the groups {', '.join(audience.groups)}; the person is in none of them."
    if unwanted := sorted(set(audience.not_groups) & set(person.groups)):
        return f"The step leaves out the group {unwanted[0]}, and the person is in it."
    return None


def _too_many(person: Person, plan: Plan, now: int, shop: Shop) -> Stop | None:
    waits = plan.step > 1 and not plan.by_hand  # for its day
    again = plan.held == "uncertain"  # what may have left is sent once more
    if waits or again or _free_at(person, plan, now, shop) is None:
        return None
    return suppressed("daily_limit", _limit_words(person, plan, now, shop))


def _free_at(person: Person, plan: Plan, now: int, shop: Shop) -> int | None:
    """When the cap lets the next message through, or None when it does now."""
    recent = [at for at in person.on(plan.channel).written if now < at + DAY_MS]
    return sorted(recent)[-shop.reminders.cap] + DAY_MS if len(recent) >= shop.reminders.cap else None


def _limit_words(person: Person, plan: Plan, now: int, shop: Shop) -> str:
    when = _when(max(person.on(plan.channel).written), now)
    most = "one" if shop.reminders.cap == 1 else str(shop.reminders.cap)
    whom = person.email if plan.channel == "email" else "This person"
    return f"{whom} was already written to {when} (UTC); {most} by {plan.channel} per person and day."


def step_of(plan: Plan, shop: Shop) -> Step | None:
    """The step a plan belongs to, as the rules are now, or None when they have no such step any more."""
    steps = shop.reminders.steps
    step = steps[plan.step - 1] if 0 < plan.step <= len(steps) else None
    return step if step is not None and step.channel == plan.channel else None


# -- time of day -----------------------------------------------------------------------------------------------------
def _zone(person: Person, shop: Shop) -> tzinfo:
    names = (person.time_zone, shop.profile.time_zone)
    return next((found for name in names if name and (found := zone(name))), UTC)


def _end_of_quiet(quiet: QuietHours, now: int, where: tzinfo) -> int | None:
    """When the quiet hours end in which `now` lies (epoch ms), or None when it lies outside."""
    here = to_datetime(now).astimezone(where)
    begin, end = time.fromisoformat(quiet.begin), time.fromisoformat(quiet.end)
    clock = here.time()
    inside = begin <= clock < end if begin < end else clock >= begin or clock < end
    if not inside:
        return None
    day = here.date() + timedelta(days=1) if clock >= end else here.date()
    until = to_ms(datetime.combine(day, end, where))
    return until if until > now else now + AGAIN_MS  # an hour that does not exist, or comes twice


def is_blocked(email: str, blocked: tuple[str, ...]) -> bool:
    """Whether a block list names the address or its host."""
    address = email.strip().lower()
    host = "@" + address.rpartition("@")[2]
    return any(entry.lower() in (address, host) for entry in blocked)


def _another_episode(person: Person, plan: Plan) -> bool:
    """Whether the cart has been used, and left again, since the plan was made."""
    cart = person.carts.get(plan.cart_id)
    return cart is not None and plan.abandonment_id is not None and cart.abandonment_id != plan.abandonment_id


def _bought_words(order_id: str | None) -> str:
    order = f" (order {order_id})" if order_id else ""
    return f"Bought before a reminder was sent{order}."


def _when(at: int, now: int) -> str:
    day, clock = rfc3339(at)[:10], rfc3339(at)[11:16]
    return f"today at {clock}" if rfc3339(now)[:10] == day else f"on {day} at {clock}"
