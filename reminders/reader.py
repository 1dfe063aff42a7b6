"""What messages of all channels share: language, the shop's own template, amounts, the link, a reasoned no."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from jinja2 import Template

from cartwake.errors import CartwakeError
from cartwake.model import Channel, Item
from cartwake.shops import Shop
from cartwake.templating import FAULTS, TooLong, line_of, missing, write
from reminders.clean import web_url
from reminders.letter import Letter
from reminders.links import Recovery
from reminders.person import Key
from reminders.words import DEFAULT_LANGUAGE, Speech, catalogues, speech_of

TEMPLATES: Final = Path(__file__).parent / "templates"
LINK_AGE_MS: Final = timedelta(days=90) // timedelta(milliseconds=1)
STAGES: Final = frozenset({"cart", "contact", "address", "shipping", "payment", "review"})

Own = TypeVar("Own")


class Unfit(CartwakeError):
    """No message can be made of this; `reason` is the code, `str()` the words for the shop's staff."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class Addresses(Protocol):
    """Where the links of a message lead."""

    def unsubscribe_url(self, key: Key) -> str:
        """The page on which the person says what he wants to receive."""
        ...

    def recovery_url(self, recovery: Recovery, home: str | None = None) -> str:
        """The cart; shorter with the address of the shop's profile."""
        ...

    def pixel_url(self, recovery: Recovery) -> str:
        """The picture of one pixel that says that a mail was opened."""
        ...


# -- language and templates ------------------------------------------------------------------------------------------
def speech_for(letter: Letter, shop: Shop) -> Speech:
    """The reader's language if there are words or a template of the shop in it, else the shop's, else English."""
    return speech_in(letter.locale, letter.template, letter.channel, shop)


def speech_in(locale: str | None, template: str, channel: Channel, shop: Shop) -> Speech:
    """As `speech_for`, for a reader and a template by name."""
    own = templates_of(shop, channel)
    for wanted in (locale, shop.profile.locale):
        speech = speech_of(wanted) if wanted else None
        if speech is not None and (
            speech.language in catalogues() or any(key in own for key in _keys(template, speech))
        ):
            return speech
    found = speech_of(DEFAULT_LANGUAGE)
    assert found is not None, "English is a language"
    return found


def templates_of(shop: Shop, channel: Channel) -> Mapping[str, Any]:
    """The shop's own templates of a channel."""
    match channel:
        case "email":
            return shop.templates
        case "sms":
            return shop.sms_templates
        case "push":
            return shop.push_templates


def own_of(templates: Mapping[str, Own], name: str, speech: Speech) -> Own | None:
    """The shop's own template: in the language of the reader's country, else in the language, else in all."""
    return next((templates[key] for key in (*_keys(name, speech), name) if key in templates), None)


def written(what: str, template: Template, values: Mapping[str, Any], most: int) -> str:
    """What the template says of the values; raises Unfit that names `what` and the line."""
    try:
        return write(template, values, most)
    except TooLong as exc:
        raise Unfit("too_long", f"The message was not sent ({what}): {exc}.") from exc
    except FAULTS as exc:
        line_no = line_of(template, exc)
        where = what if line_no is None else f"{what}, line {line_no}"
        raise Unfit("missing_value", f"The template could not be filled ({where}): {exc}") from exc


def _keys(name: str, speech: Speech) -> tuple[str, ...]:
    """What a template in the reader's language may be called, the most exact first."""
    key, territory = f"{name}.{speech.language}", speech.locale.territory
    return (f"{key}-{territory}", key) if territory else (key,)


# -- facts -----------------------------------------------------------------------------------------------------------
def amount(value: Decimal | str | None, currency: str | None, speech: Speech) -> str | None:
    """An amount as the reader writes it, or None where it is not known."""
    if value is None or not currency:
        return None
    known = Decimal(value)
    return speech.money(known, currency) if known.is_finite() and known else None


def recovery_of(letter: Letter, shop: Shop) -> Recovery:
    """What the link to the letter's cart says; raises Unfit where no address is known."""
    cart_url = web_url(letter.cart_url) or web_url(shop.profile.url)
    if cart_url is None:
        raise Unfit("missing_value", "Neither the cart's nor the shop's web address is known (http or https).")
    return Recovery(
        shop_id=letter.key[0],
        subscriber_id=letter.key[1],
        plan_id=letter.plan_id,
        cart_id=letter.cart_id,
        cart_url=cart_url,
        expires_at=letter.written_at + LINK_AGE_MS,
        written_at=letter.written_at,
        channel=letter.channel,
        step=letter.step,
        variant=letter.variant or "",
    )


def priced(item: Item, currency: str | None, speech: Speech) -> dict[str, Any]:
    """How many of an item there are and what they cost, as templates know it."""
    quantity = item.quantity or 1
    of_all = None if item.price is None else item.price * quantity
    return {
        "quantity": quantity,
        "count": speech.number(quantity),
        "price": amount(item.price, currency, speech) or missing("item.price"),
        "amount": amount(of_all, currency, speech) or missing("item.amount"),
    }
