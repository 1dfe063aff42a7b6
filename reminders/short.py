"""What text messages and pushes share: the built-in templates, the values that any template may use, and its filling.

A built-in template lies in `templates/<language>/<name>.<channel>.txt` and is of the same kind as one of the shop's
own: `cartwake.short_templates` says what both may use. A missing value holds the message (`Unfit`).
"""

from datetime import UTC
from pathlib import Path
from typing import Any, Literal

from babel.dates import format_date

from cartwake.clock import to_datetime
from cartwake.errors import ConfigurationError
from cartwake.rules import zone
from cartwake.shops import Shop
from cartwake.short_templates import MOST_SHORT, ready
from cartwake.templating import missing
from reminders.clean import first_name, line, web_url
from reminders.letter import Letter
from reminders.reader import STAGES, Unfit, amount, priced, written
from reminders.words import DEFAULT_LANGUAGE, Speech


class BuiltIn:
    """The sources of the built-in templates of a channel, as they lie in `folder`."""

    def __init__(self, folder: Path, channel: Literal["sms", "push"]) -> None:
        self._sources = {
            (file.parent.name, file.name.partition(".")[0]): file.read_text(encoding="utf-8")
            for file in folder.glob(f"*/*.{channel}.txt")
        }

    def source(self, name: str, speech: Speech) -> str | None:
        """That of the name in the reader's language, else in English, where there is none in his; None without any."""
        language = speech.language if (speech.language, "cart") in self._sources else DEFAULT_LANGUAGE
        return self._sources.get((language, name))


def filled(what: str, source: str, values: dict[str, Any]) -> str:
    """What the template of this source says; raises Unfit that names `what` and the line."""
    template = ready(source, frozenset(values))
    if isinstance(template, ConfigurationError):
        raise Unfit("bad_template", f"The template can't be used ({what}): {template}")
    return written(what, template, values, MOST_SHORT)


def greeting_values(letter: Letter, shop: Shop, speech: Speech, *, title: int) -> dict[str, Any]:
    """What is known of everybody: `title` is how many characters the shop's may have."""
    return {
        "template": letter.template,
        "language": speech.language,
        "shop": {
            "title": line(shop.profile.title, title),
            "url": web_url(shop.profile.url) or missing("shop.url"),
        },
        "name": first_name(letter.name) or missing("name"),
    }


def cart_values(letter: Letter, speech: Speech, *, product: str, gift: dict[str, Any] | None) -> dict[str, Any]:
    """What is known of a cart: `product` is what its first item is called."""
    return {
        "step": letter.step,
        "stage": letter.stage if letter.stage in STAGES else "cart",
        "again": letter.again,
        "item": {"name": product, **priced(letter.items[0], letter.currency, speech)},
        "others": len(letter.items) - 1,
        "units": letter.units,
        "total": amount(letter.value, letter.currency, speech) or missing("total"),
        "gift": gift or missing("gift"),
    }


def gift_values(letter: Letter, shop: Shop, speech: Speech, *, text: int, day: Literal["short", "medium"]) -> Any:
    """The offer, with at most `text` characters of what it is good for and a `day` where the shop is; None for none."""
    gift = letter.gift
    if gift is None:
        return None
    where = (zone(shop.profile.time_zone) if shop.profile.time_zone else None) or UTC
    until = to_datetime(gift.until).astimezone(where)
    return {
        "code": line(gift.code, 100),
        "text": line(gift.text, text) or missing("gift.text"),
        "until": str(format_date(until, day, locale=speech.locale)),
    }
