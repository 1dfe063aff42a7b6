"""What a message is made of, taken from the facts in the moment the decision to write falls. Pure."""

from msgspec import Struct

from cartwake.model import LATEST, Channel, Item, PushTarget
from reminders.person import Cart, Gift, Key, Person, Plan, Shown


class Letter(Struct, frozen=True, kw_only=True):
    """Everything rendering and sending need, so that neither looks at the state.

    `to` is an address, a number or a push endpoint; `template` names the words to use, `text` replaces them.
    """

    key: Key
    plan_id: str
    cart_id: str
    to: str
    written_at: int
    left_at: int
    expires_at: int = LATEST  # nothing is sent any more from then on
    channel: Channel = "email"
    step: int = 1
    template: str = "cart"
    variant: str | None = None
    gift: Gift | None = None
    products: tuple[Item, ...] = ()  # bought with those in the cart
    text: str | None = None
    by_rule: bool = True  # not asked for by hand
    again: bool = False  # the person has been written to since the cart was left
    push: PushTarget | None = None
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
    assert plan.sending_at is not None, "the state says so first"
    browser = person.push[-1] if plan.channel == "push" and person.push else None
    to = {"email": person.email, "sms": person.phone, "push": browser.endpoint if browser else None}[plan.channel]
    assert to is not None, "the gates come first"
    return Letter(
        key=key,
        plan_id=plan.plan_id,
        cart_id=plan.cart_id,
        to=to,
        written_at=plan.sending_at,
        expires_at=plan.expires_at,
        left_at=cart.last_activity,
        channel=plan.channel,
        step=plan.step,
        template=plan.template,
        variant=plan.variant,
        gift=plan.gift,
        text=plan.text,
        by_rule=not plan.by_hand,
        again=any(at >= cart.abandoned_at for known in person.standing.values() for at in known.written),
        push=browser,
        name=person.name,
        locale=person.locale,
        stage=cart.stage or "cart",
        items=tuple(line.item for line in cart.lines),
        units=cart.units,
        value=cart.value,
        currency=cart.currency,
        cart_url=cart.cart_url,
    )


def thanks_for(person: Person, key: Key, shown: Shown, now: int) -> Letter:
    """The letter of the message that takes the place of one on show."""
    return Letter(
        key=key,
        plan_id=shown.plan_id,
        cart_id=shown.cart_id,
        to=shown.browser.endpoint,
        written_at=now,
        expires_at=now,
        left_at=shown.at,
        channel="push",
        push=shown.browser,
        name=person.name,
        locale=person.locale,
        stage="cart",
        items=(),
        units=0,
        value=None,
        currency=None,
        cart_url=None,
    )
