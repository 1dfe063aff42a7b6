"""Makes a text message of a letter, as short as it has to be. No I/O but reading templates.

A template lies in `templates/<language>/<template>.sms.txt`; one that is not there is replaced by `cart`. What makes a
message too long is left out in this order: the products, the total, the name, the offer's words. Never left out are
the shop, the link, an offer's code, the shop's own words and the way out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from babel import Locale
from babel.dates import format_date
from jinja2 import TemplateError

from cartwake.clock import to_datetime
from cartwake.rules import zone
from cartwake.shops import Shop
from reminders.clean import first_name, line
from reminders.letter import Letter
from reminders.links import Links
from reminders.numbers import e164
from reminders.reader import TEMPLATES, Unfit, amount, plain_texts, recovery_of, speech_for
from reminders.sms.alphabet import Size, size, transliterated
from reminders.sms.callbacks import Callbacks, Receipt
from reminders.words import DEFAULT_LANGUAGE

_MOST_CODE: Final = 100
_MOST_TEXT: Final = 4_000  # what is longer never fits, and is refused by its segments
_NAMES: Final = (60, 25)  # characters of a product's name, in turn
#: Telephones make a link of what looks like a host; a product's name comes from outside.
_HOST: Final = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2})")
_NUMBER: Final = re.compile(r"\+?[0-9]+")
_MESSAGING_SERVICE: Final = re.compile(r"MG[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Sms:
    """A text message ready to leave. `to` is in E.164; `callback` is where the gateway tells what became of it."""

    message_id: str
    to: str
    text: str
    callback: str = ""

    @property
    def size(self) -> Size:
        """Its alphabet and segments."""
        return size(self.text)

    @property
    def shown(self) -> dict[str, str]:
        """What staff may read of it later."""
        return {"text": self.text}


class SmsRenderer:
    """Renders letters as text messages of at most `segments` segments, sent by `sender`."""

    def __init__(
        self,
        *,
        links: Links,
        sender: str = "",
        segments: int = 3,
        transliterate: bool = True,
        callbacks: Callbacks | None = None,
        folder: Path = TEMPLATES,
    ) -> None:
        self._links = links
        self._replies = takes_replies(sender)
        self._segments = segments
        self._transliterate = transliterate
        self._callbacks = callbacks
        self._env = plain_texts(folder)
        self._languages = frozenset(p.parent.name for p in folder.glob("*/cart.sms.txt"))

    def __call__(self, letter: Letter, shop: Shop) -> Sms:
        """The text message of a letter; raises Unfit."""
        try:
            to = e164(letter.to, shop.profile.phone_region)
        except ValueError as exc:
            raise Unfit("invalid_address", f"The telephone number can't be written to: {exc}") from exc
        values = self._values(letter, shop)
        tried = None
        for shorter in _ever_shorter(values):
            text = self._text(letter.template, shorter)
            tried = size(text)
            if tried.segments <= self._segments:
                return Sms(letter.plan_id, to, text, self._callback(letter))
        assert tried is not None, "there is a longest form"
        raise Unfit(
            "too_long",
            f"The message has {tried.segments} segments ({tried.encoding}) at its shortest, and {self._segments} are "
            "allowed (CARTWAKE_SMS_SEGMENTS). Shorten the shop's title, its words or the address of the links.",
        )

    def _text(self, template: str, values: Mapping[str, Any]) -> str:
        language = values["language"]
        names = [f"{language}/{name}.sms.txt" for name in (template, "cart")]
        try:
            filled = self._env.select_template(names).render(values)
        except (TemplateError, ArithmeticError, TypeError, ValueError) as exc:
            raise Unfit("missing_value", f"The message's template could not be filled: {exc}") from exc
        lines = (line(part, _MOST_TEXT) for part in filled.splitlines())
        text = "\n".join(part for part in lines if part)
        plain = transliterated(text) if self._transliterate else text
        if _is_whole(plain, values):
            return plain
        if not _is_whole(text, values):
            raise Unfit("missing_value", "The message's template leaves out the link, or the offer's code.")
        return text

    def _values(self, letter: Letter, shop: Shop) -> dict[str, Any]:
        if not letter.items:
            raise Unfit("missing_value", "The cart's contents are not known, so there is nothing to remind of.")
        gift = letter.gift
        if gift is not None and (not gift.code or line(gift.code, _MOST_CODE) != gift.code):
            raise Unfit("unsafe_content", "The offer's code has characters that no message can carry.")
        speech = speech_for(letter, shop)
        return {
            "language": speech.language if speech.language in self._languages else DEFAULT_LANGUAGE,
            "shop": {"title": line(shop.profile.title, 100)},
            "name": first_name(letter.name),
            "text": line(letter.text, _MOST_TEXT),
            "item": _product(letter),
            "more": len(letter.items) - 1,
            "total": amount(letter.value, letter.currency, speech),
            "code": gift.code if gift else None,
            "offer": line(gift.text, 200) if gift else "",
            "until": _day(gift.until, shop, speech.locale) if gift else None,
            "recovery_url": self._links.recovery_url(recovery_of(letter, shop), shop.profile.url),
            "replies": self._replies,
            "stop_url": self._links.unsubscribe_url(letter.key),
        }

    def _callback(self, letter: Letter) -> str:
        if self._callbacks is None:
            return ""
        return self._callbacks.receipt_url(Receipt(*letter.key, letter.plan_id, letter.cart_id))


def takes_replies(sender: str) -> bool:
    """Whether a message can be answered: one from a name can't, so it offers a link instead of asking for STOP."""
    return bool(_NUMBER.fullmatch(sender) or _MESSAGING_SERVICE.fullmatch(sender))


def _is_whole(text: str, values: Mapping[str, Any]) -> bool:
    """Whether the link is in the text, and the code beside it."""
    before, link, after = text.partition(values["recovery_url"])
    return bool(link) and (values["code"] is None or values["code"] in f"{before}\n{after}")


def _ever_shorter(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The values, with ever less of what a message can do without."""
    for most in _NAMES if values["item"] else ():
        yield values | {"item": line(values["item"], most)}
    for name in ("item", "total", "name", "offer"):
        values = values | {name: None}
        yield values


def _product(letter: Letter) -> str:
    """What the first product is called, without anything that a telephone would make a link of."""
    item = letter.items[0]
    name = line(item.name, 200) or line(item.sku, 60)
    return " ".join(_HOST.sub(". ", name.replace("://", " ")).split())


def _day(at: int, shop: Shop, locale: Locale) -> str:
    """The day of a moment where the shop is."""
    where = (zone(shop.profile.time_zone) if shop.profile.time_zone else None) or UTC
    return str(format_date(to_datetime(at).astimezone(where), "short", locale=locale))
