"""What we say on `messages` about a plan, with ids that follow from the plan. Pure."""

from typing import Any
from urllib.parse import urlsplit

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.model import Message, derived_id, encode
from reminders.person import Key, Out, Person, Plan


def plan_id_for(abandonment_id: str, subscriber_id: str, *, step: int = 1, channel: str = "email") -> str:
    """The plan of one step to write to this person about this abandonment."""
    return derived_id("plan", abandonment_id, step, channel, subscriber_id)


def contact(person: Person, channel: str) -> str | None:
    """Where a person is reached by a channel, as staff may read it; of a browser only who brings the message there."""
    match channel:
        case "email":
            return person.email
        case "sms":
            return person.phone
        case _:
            return urlsplit(person.push[-1].endpoint).hostname if person.push else None


def say(person: Person, key: Key, plan: Plan, type_: Any, *, now: int, part: str = "", **details: Any) -> Out:
    """The record that says what happened to `plan`; `part` tells what can happen several times apart."""
    cart = person.carts.get(plan.cart_id)
    message = Message(
        message_id=derived_id(plan.plan_id, type_, *([part] if part else ())),
        type=type_,
        plan_id=plan.plan_id,
        shop_id=key[0],
        subscriber_id=key[1],
        occurred_at=rfc3339(now),
        channel=plan.channel,
        cart_id=plan.cart_id,
        abandonment_id=plan.abandonment_id,
        request_id=plan.request_id,
        to=contact(person, plan.channel),
        stage=cart.stage if cart else None,
        step=plan.step if plan.abandonment_id and not plan.by_hand else None,
        template=plan.template,
        variant=plan.variant,
        code=plan.gift.code if plan.gift else None,
        **details,
    )
    return Out(topics.MESSAGES.name, key[1], encode(message))
