"""Which messages an abandonment leads to, and why. Pure: the person, the cart and the shop's rules in, decisions out.

What a cart was like when it was left decides here, once. What must hold in the moment of writing (consent, audience,
quiet hours, caps, orders that flow) is asked then, by `gates`.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from msgspec import Struct

from cartwake.clock import rfc3339
from cartwake.durations import duration_ms
from cartwake.model import derived_id
from cartwake.rules import BY_STAGE, Conditions, ReminderRules, Step
from reminders.messages import plan_id_for
from reminders.person import Cart, Key, Person, Plan, Stop, suppressed

_OF_STAGE: Final = {"shipping": "shipping", "payment": "payment", "review": "payment"}


class Left(Struct, frozen=True):
    """An abandonment: whose, and which cart as it was left."""

    key: Key
    cart_id: str
    cart: Cart


class Decision(Struct, frozen=True):
    """One message that is planned; with `stop` it ends at once. `words` say why it is planned."""

    plan: Plan
    words: str
    stop: Stop | None = None


def plan(subscriber: Person, event: Left, *, now: int, rules: ReminderRules) -> tuple[Decision, ...]:
    """Every step of the shop's rules as a decision about this abandonment; without rules, one that says so."""
    stop = _for_none(event, rules)
    if not rules.steps:
        return (Decision(_plan(event, Step(), 0, now, rules), "The shop has no steps.", stop),)
    return tuple(
        Decision(
            _plan(event, step, number, now, rules),
            f"Step {number} of {len(rules.steps)}: {step.channel}, {step.after} after the cart was left.",
            stop or _unmet(step.only, subscriber, event.cart),
        )
        for number, step in enumerate(rules.steps, 1)
    )


def template_of(stage: str | None, name: str = BY_STAGE) -> str:
    """The template of that name, or the one that fits the checkout step the cart was left at."""
    return _OF_STAGE.get(stage or "cart", "cart") if name == BY_STAGE else name


def drawn(*parts: object) -> int:
    """A number of 0 … 99 that is always the same for the same parts."""
    return int(derived_id("draw", *parts)[:12], 16) % 100


# -- for one step ----------------------------------------------------------------------------------------------------
def _plan(event: Left, step: Step, number: int, now: int, rules: ReminderRules) -> Plan:
    cart, abandonment = event.cart, event.cart.abandonment_id
    assert abandonment is not None, "only what was left is planned for"
    template, variant = step.template, None
    if step.variants:
        place = drawn("variant", *event.key, abandonment, number)
        for one in step.variants:
            template, variant = one.template, one.name
            if (place := place - one.share) < 0:
                break
    due_at = cart.abandoned_at + duration_ms(step.after)
    return Plan(
        plan_id=plan_id_for(abandonment, event.key[1], step=number, channel=step.channel),
        cart_id=event.cart_id,
        abandonment_id=abandonment,
        step=number,
        channel=step.channel,
        template=template_of(cart.stage, template),
        variant=variant,
        made_at=now,
        due_at=due_at,
        expires_at=due_at + duration_ms(rules.expiry),
        last_activity=cart.last_activity,
    )


# -- for all steps ---------------------------------------------------------------------------------------------------
def _for_none(event: Left, rules: ReminderRules) -> Stop | None:
    """Why this abandonment is written about in no step, or None."""
    if not rules.enabled:
        return suppressed("disabled", "Reminders are switched off for this shop.")
    if not rules.steps:
        return suppressed("no_rules", "The shop has no rules for reminders, so nobody is written to.")
    if rules.enabled_at is not None and event.cart.abandoned_at < rules.enabled_at:
        since = rfc3339(rules.enabled_at)[:16].replace("T", " ")
        return suppressed("before_rules", f"The cart was left before reminders were switched on ({since} UTC).")
    if drawn("holdout", *event.key, event.cart.abandonment_id) < rules.holdout:
        words = f"Belongs to the {rules.holdout} % that nobody is written to, to measure what reminders do."
        return suppressed("holdout", words)
    return None


# -- conditions ------------------------------------------------------------------------------------------------------
def _unmet(only: Conditions, person: Person, cart: Cart) -> Stop | None:
    words = next(_reasons(only, person, cart), None)
    return None if words is None else suppressed("conditions", words)


def _reasons(only: Conditions, person: Person, cart: Cart) -> Iterator[str]:
    value = Decimal(cart.value or 0)
    if only.value_from is not None and value < only.value_from:
        yield f"The cart is worth {value}; this step is for {only.value_from} and more."
    if only.value_to is not None and value > only.value_to:
        yield f"The cart is worth {value}; this step is for {only.value_to} and less."
    if only.items_from is not None and cart.units < only.items_from:
        yield f"The cart has {cart.units} pieces; this step is for {only.items_from} and more."
    if only.items_to is not None and cart.units > only.items_to:
        yield f"The cart has {cart.units} pieces; this step is for {only.items_to} and less."
    if only.currencies and cart.currency not in only.currencies:
        yield f"The currency is {cart.currency or 'not known'}; this step is for {_any(only.currencies)}."
    if only.stages and (cart.stage or "cart") not in only.stages:
        yield f"The cart was left at the step {cart.stage or 'cart'}; this one is for {_any(only.stages)}."
    if only.categories and not any(line.category in only.categories for line in cart.lines):
        yield f"Nothing in the cart is of {_any(only.categories)}."
    if only.skus and not any(line.sku in only.skus for line in cart.lines):
        yield f"The cart holds none of {_any(only.skus)}."
    bought = 0 <= person.first_bought_at < cart.abandoned_at
    if only.shoppers != "all" and bought != (only.shoppers == "returning"):
        yield f"The person has {'' if bought else 'not '}bought before; this step is for {only.shoppers} shoppers."


def _any(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else names[0]
