"""What we say on `messages` about a plan, with ids that follow from the plan. Pure."""

from typing import Any, Final

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.model import Message, derived_id, encode
from reminders.person import Key, Out, Person, Plan

STEP: Final = 1
CHANNEL: Final = "email"


def plan_id_for(abandonment_id: str, subscriber_id: str) -> str:
    """The plan to write to this person about this abandonment: step 1, by e-mail."""
    return derived_id("plan", abandonment_id, STEP, CHANNEL, subscriber_id)


def say(person: Person, key: Key, plan: Plan, type_: Any, *, now: int, **details: str | None) -> Out:
    """The record that says what happened to `plan`."""
    cart = person.carts.get(plan.cart_id)
    message = Message(
        message_id=derived_id(plan.plan_id, type_),
        type=type_,
        plan_id=plan.plan_id,
        shop_id=key[0],
        subscriber_id=key[1],
        occurred_at=rfc3339(now),
        channel=CHANNEL,
        cart_id=plan.cart_id,
        abandonment_id=plan.abandonment_id,
        request_id=plan.request_id,
        to=person.email,
        stage=cart.stage if cart else None,
        **details,
    )
    return Out(topics.MESSAGES.name, key[1], encode(message))
