"""What a mail is made of, taken from the facts in the moment the decision to write falls. Pure."""

from msgspec import Struct

from cartwake.model import Item
from reminders.person import Cart, Key, Person, Plan


class Letter(Struct, frozen=True, kw_only=True):
    """Everything rendering and sending need, so that neither looks at the state."""

    key: Key
    plan_id: str
    cart_id: str
    to: str
    written_at: int
    left_at: int
    name: str | None
    locale: str | None
    stage: str
    items: tuple[Item, ...]
    units: int
    value: str | None
    currency: str | None
    cart_url: str | None


def letter_for(person: Person, key: Key, plan: Plan) -> Letter:
    """The letter of a plan that has passed every gate."""
    cart = person.carts.get(plan.cart_id) or Cart(revision=0, touched_at=0)
    assert person.email is not None, "the gates come first"
    assert plan.sending_at is not None, "the state says so first"
    return Letter(
        key=key,
        plan_id=plan.plan_id,
        cart_id=plan.cart_id,
        to=person.email,
        written_at=plan.sending_at,
        left_at=cart.last_activity,
        name=person.name,
        locale=person.locale,
        stage=cart.stage or "cart",
        items=cart.items,
        units=cart.units,
        value=cart.value,
        currency=cart.currency,
        cart_url=cart.cart_url,
    )
