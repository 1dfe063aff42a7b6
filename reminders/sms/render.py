"""Makes a text message of a letter, as short as it has to be. No I/O but reading templates.

The template is the shop's own, else the built-in one of `templates/<language>/<template>.sms.txt`; where there is
neither, that of `cart`. What makes a message too long is left out in this order: the product, the total, the name, the
offer's words; what the template can't do without stays. Never left out are the link, an offer's code, what staff wrote
by hand, and the way out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cartwake.rules import SmsTemplate
from cartwake.shops import Shop
from cartwake.short_templates import MOST_SHORT
from cartwake.templating import missing
from reminders.clean import line
from reminders.letter import Letter
from reminders.numbers import e164
from reminders.reader import TEMPLATES, Addresses, Unfit, own_of, recovery_of, speech_for
from reminders.short import BuiltIn, cart_values, filled, gift_values, greeting_values
from reminders.sms.alphabet import Size, size, transliterated
from reminders.sms.callbacks import Callbacks, Receipt
from reminders.words import Speech

_MOST_CODE: Final = 100
_NAMES: Final = (60, 25)  # characters of a product's name, in turn
#: The one word that every gateway and law knows; a lower-case one may be part of any sentence.
_STOP: Final = re.compile(r"(?<!\w)STOP(?!\w)")
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
        links: Addresses,
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
        self._built_in = BuiltIn(folder, "sms")

    def __call__(self, letter: Letter, shop: Shop) -> Sms:
        """The text message of a letter; raises Unfit."""
        try:
            to = e164(letter.to, shop.profile.phone_region)
        except ValueError as exc:
            raise Unfit("invalid_address", f"The telephone number can't be written to: {exc}") from exc
        speech = speech_for(letter, shop)
        values = self._values(letter, shop, speech)
        source = self._source(letter, shop, speech, values)
        text = self._text(source, values)
        for less in _ever_less(values):
            if size(text).segments <= self._segments:
                break
            try:
                text, values = self._text(source, values | less), values | less
            except Unfit as exc:
                if exc.reason != "missing_value":
                    raise
                # a template that can't do without it keeps it
        tried = size(text)
        if tried.segments > self._segments:
            raise Unfit(
                "too_long",
                f"The message has {tried.segments} segments ({tried.encoding}) at its shortest, and {self._segments} "
                "are allowed (CARTWAKE_SMS_SEGMENTS). Shorten the template, the shop's title, its words or the address "
                "of the links.",
            )
        return Sms(letter.plan_id, to, text, self._callback(letter))

    def _source(self, letter: Letter, shop: Shop, speech: Speech, values: dict[str, Any]) -> str:
        """The template: the shop's own, unless it has no place for what staff wrote by hand."""
        for name in (letter.template, "cart"):
            mine: SmsTemplate | None = own_of(shop.sms_templates, name, speech)
            if mine is not None and (not letter.text or values["text"] in _lines(mine.text, values)):
                return mine.text
            built_in = self._built_in.source(name, speech)
            if built_in is not None:
                return built_in
        raise AssertionError("cart is built in")

    def _text(self, source: str, values: dict[str, Any]) -> str:
        text = _lines(source, values)
        if not self._has_way_out(text, source, values):
            text = f"{text}\n{values['stop']}"
        plain = transliterated(text) if self._transliterate else text
        if _is_whole(plain, values):
            return plain
        if not _is_whole(text, values):
            raise Unfit("missing_value", "The message's template leaves out the link, or the offer's code.")
        return text

    def _has_way_out(self, text: str, source: str, values: dict[str, Any]) -> bool:
        """Whether the reader is told how to stop: by the link, or by STOP where he can answer.

        The word must be the template's own, not that of a product or a shop that is called so.
        """
        if values["unsubscribe_url"] in text:
            return True
        if not self._replies or not _STOP.search(text):
            return False
        blank = {name: _blank(value) if name in _FROM_OUTSIDE else value for name, value in values.items()}
        return bool(_STOP.search(_lines(source, blank)))

    def _values(self, letter: Letter, shop: Shop, speech: Speech) -> dict[str, Any]:
        """Every value a template may use: those of `cartwake.short_templates.SMS_SAMPLE`."""
        if not letter.items:
            raise Unfit("missing_value", "The cart's contents are not known, so there is nothing to remind of.")
        gift = letter.gift
        if gift is not None and (not gift.code or line(gift.code, _MOST_CODE) != gift.code):
            raise Unfit("unsafe_content", "The offer's code has characters that no message can carry.")
        way_out = self._links.unsubscribe_url(letter.key)
        return {
            **greeting_values(letter, shop, speech, title=100),
            **cart_values(
                letter,
                speech,
                product=line(_product(letter), _NAMES[0]),
                gift=gift_values(letter, shop, speech, text=200, day="short"),
            ),
            "text": line(letter.text, MOST_SHORT) or missing("text"),
            "recovery_url": self._links.recovery_url(recovery_of(letter, shop), shop.profile.url),
            "unsubscribe_url": way_out,
            "stop": speech.say("sms", "reply") if self._replies else speech.say("sms", "stop", url=way_out),
        }

    def _callback(self, letter: Letter) -> str:
        if self._callbacks is None:
            return ""
        return self._callbacks.receipt_url(Receipt(*letter.key, letter.plan_id, letter.cart_id))


def takes_replies(sender: str) -> bool:
    """Whether a message can be answered: one from a name can't, so it offers a link instead of asking for STOP."""
    return bool(_NUMBER.fullmatch(sender) or _MESSAGING_SERVICE.fullmatch(sender))


#: Values in which the word STOP says nothing about stopping; all of them are somebody's texts, or made by chance.
_FROM_OUTSIDE: Final = frozenset({"shop", "name", "text", "item", "total", "gift", "recovery_url", "unsubscribe_url"})


def _blank(value: Any) -> Any:
    """The value with every text as long as it is, and saying nothing."""
    if isinstance(value, dict):
        return {name: _blank(inner) for name, inner in value.items()}
    return "x" * len(value) if isinstance(value, str) else value


def _lines(source: str, values: dict[str, Any]) -> str:
    """What the template says, without empty lines and what no message can carry."""
    lines = (line(part, MOST_SHORT) for part in filled(values["template"], source, values).splitlines())
    return "\n".join(part for part in lines if part)


def _is_whole(text: str, values: dict[str, Any]) -> bool:
    """Whether the link is in the text, and the code beside it."""
    before, link, after = text.partition(values["recovery_url"])
    return bool(link) and (not values["gift"] or values["gift"]["code"] in f"{before}\n{after}")


def _ever_less(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a message can do without, bit by bit."""
    item, gift = values["item"], values["gift"]
    yield {"item": item | {"name": line(item["name"], _NAMES[1])}}
    for name in ("item", "total", "name"):
        if values[name]:
            yield {name: missing(name)}
    if gift and gift["text"]:
        yield {"gift": gift | {"text": missing("gift.text")}}


def _product(letter: Letter) -> str:
    """What the first product is called, without anything that a telephone would make a link of."""
    item = letter.items[0]
    name = line(item.name, 200) or line(item.sku, 60)
    return " ".join(_HOST.sub(". ", name.replace("://", " ")).split())
