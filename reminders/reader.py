"""What messages of all channels share: how one speaks to the reader, amounts, the link to the cart, a reasoned no."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cartwake.errors import CartwakeError
from cartwake.shops import Shop
from reminders.clean import web_url
from reminders.letter import Letter
from reminders.links import Recovery
from reminders.person import Key
from reminders.words import DEFAULT_LANGUAGE, Speech, catalogues, speech_of

TEMPLATES: Final = Path(__file__).parent / "templates"
LINK_AGE_MS: Final = timedelta(days=90) // timedelta(milliseconds=1)


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


def speech_for(letter: Letter, shop: Shop) -> Speech:
    """The reader's language if there are words or a template of the shop in it, else the shop's, else English."""
    return speech_in(letter.locale, letter.template, shop)


def speech_in(locale: str | None, template: str, shop: Shop) -> Speech:
    """As `speech_for`, for a reader and a template by name."""
    for wanted in (locale, shop.profile.locale):
        speech = speech_of(wanted) if wanted else None
        if speech is not None and (
            speech.language in catalogues() or f"{template}.{speech.language}" in shop.templates
        ):
            return speech
    found = speech_of(DEFAULT_LANGUAGE)
    assert found is not None, "English is a language"
    return found


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


def plain_texts(folder: Path = TEMPLATES) -> ImmutableSandboxedEnvironment:
    """Templates of short texts: sandboxed, strict, nothing to escape."""
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
