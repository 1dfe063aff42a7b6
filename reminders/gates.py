"""What stands between a plan and a mail: each gate is a rule with the words the shop's staff read. Pure.

`stopped` looks at what has become of the cart and the person, at any time; `held_back` at what must hold in the
moment of writing.
"""

from datetime import timedelta
from typing import Final

from cartwake.clock import rfc3339
from cartwake.shops import Shop
from reminders.address import check_address
from reminders.person import Person, Plan, Stop

DAY_MS: Final = timedelta(days=1) // timedelta(milliseconds=1)

_CLOSED: Final = {
    "returned": "The shopper came back to the cart.",
    "withdrawn": "Late events showed that the cart had not been left.",
    "unmatched": "The cart turned out not to be this person's.",
}
_SILENCED: Final = {
    "bounced": "The mailbox does not exist: an earlier mail came back.",
    "complained": "The person reported an earlier mail as spam.",
    "erased": "The person's data was erased on request.",
    "unsubscribed": "The person unsubscribed.",
}


def silence(person: Person) -> str | None:
    """Why this mailbox must not be written to whatever else holds, or None."""
    if person.silenced is not None:
        return person.silenced
    return "unsubscribed" if person.withdrawn_at >= max(person.consented_at, 0) else None


def stopped(person: Person, plan: Plan) -> Stop | None:
    """Why the plan is over, or None while it stands."""
    cart = person.carts.get(plan.cart_id)
    if cart is not None and cart.closed == "bought" and not _another_episode(person, plan):
        return Stop("message.recovered", "bought", _bought_words(cart.order_id))
    if person.bought_at >= plan.last_activity:
        return Stop("message.recovered", "bought", _bought_words(person.order_id))
    if cart is not None and cart.closed is not None and cart.closed != "bought":
        return Stop("message.suppressed", cart.closed, _CLOSED[cart.closed])
    if _another_episode(person, plan):
        return Stop("message.suppressed", "returned", _CLOSED["returned"])
    reason = silence(person)
    return None if reason is None else Stop("message.suppressed", reason, _SILENCED[reason])


def held_back(person: Person, plan: Plan, *, now: int, shop: Shop) -> Stop | None:
    """Why no mail may be written `now`, or None when it may."""
    if not shop.reminders.enabled and not plan.by_hand:
        return _suppressed("disabled", "Reminders are switched off for this shop.")
    if person.email is None:
        return _suppressed("no_address", "No e-mail address of this person is known.")
    problem = check_address(person.email)
    if problem is not None:
        return _suppressed("invalid_address", f"The e-mail address can't be written to: {problem}")
    if person.consent is None or not person.consent.granted:
        refused = "The person refused reminders." if person.consent else "No consent to reminders is recorded."
        return _suppressed("no_consent", refused)
    if person.written_at >= 0 and now < person.written_at + DAY_MS:
        when = _when(person.written_at, now)
        return _suppressed(
            "daily_limit", f"{person.email} was already written to {when} (UTC); one mail per person and day."
        )
    return None


def _another_episode(person: Person, plan: Plan) -> bool:
    """Whether the cart has been used, and left again, since the plan was made."""
    cart = person.carts.get(plan.cart_id)
    return cart is not None and plan.abandonment_id is not None and cart.abandonment_id != plan.abandonment_id


def _suppressed(reason: str, words: str) -> Stop:
    return Stop("message.suppressed", reason, words)


def _bought_words(order_id: str | None) -> str:
    order = f" (order {order_id})" if order_id else ""
    return f"Bought before a reminder was sent{order}."


def _when(at: int, now: int) -> str:
    day, clock = rfc3339(at)[:10], rfc3339(at)[11:16]
    return f"today at {clock}" if rfc3339(now)[:10] == day else f"on {day} at {clock}"
