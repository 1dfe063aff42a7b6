"""Makes a push message of a letter: title and body in the reader's language, a link to the cart, and a tag.

A template lies in `templates/<language>/<name>.push.txt`; its first line is the title, the rest the body. A missing
value holds the message (`Unfit`).
"""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from jinja2 import TemplateError, TemplateNotFound
from msgspec.structs import replace

from cartwake.clock import to_datetime
from cartwake.model import Item, PushTarget, derived_id, encode
from cartwake.shops import Shop
from reminders.clean import line, web_url
from reminders.letter import Letter
from reminders.links import Links
from reminders.reader import TEMPLATES, Unfit, amount, plain_texts, recovery_of, speech_for
from reminders.words import DEFAULT_LANGUAGE, Speech

MOST_BYTES: Final = 3_000  # of the payload; services take 4,096 with the encryption's own
MOST_TITLE: Final = 80
MOST_WORDS: Final = 360
MOST_URL: Final = 1_800
TTL_S: Final = timedelta(days=1) // timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Push:
    """A message ready to be encrypted. `topic` replaces one that was not delivered yet, the tag inside one on show.

    `payload` is JSON for the service worker; `ttl` is how many seconds a service keeps it for a browser that is away.
    """

    message_id: str
    target: PushTarget = field(repr=False)  # who has it can send to that browser
    payload: bytes = field(repr=False)
    topic: str
    title: str
    body: str
    ttl: int = TTL_S
    urgency: Literal["very-low", "low", "normal", "high"] = "normal"

    @property
    def shown(self) -> dict[str, str]:
        """What staff may read of it later."""
        return {"subject": self.title, "text": self.body}


class PushRenderer:
    """Renders letters as push messages."""

    def __init__(self, *, links: Links, folder: Path = TEMPLATES) -> None:
        self._links = links
        self._env = plain_texts(folder)
        self._languages = frozenset(p.parent.name for p in folder.glob("*/cart.push.txt"))

    def __call__(self, letter: Letter, shop: Shop) -> Push:
        """The push message of a letter; raises Unfit."""
        if not letter.items:
            raise Unfit("missing_value", "The cart's contents are not known, so there is nothing to remind of.")
        speech = speech_for(letter, shop)
        title, body = self._texts(letter.template, speech, self._values(letter, shop, speech))
        if letter.text:
            body = line(letter.text, MOST_WORDS)
        image = web_url(letter.items[0].image)
        return _push(
            letter,
            title=title,
            body=body,
            url=self._url(letter, shop),
            image=image if image and image.startswith("https:") else None,
        )

    def replacement(self, letter: Letter, shop: Shop) -> Push:
        """What takes the place of `letter`'s message once the cart was bought, on the same browser, without a sound.

        Of the letter it needs `key`, `plan_id`, `cart_id`, `push` and `locale`. Raises Unfit.
        """
        speech = speech_for(letter, shop)
        title, body = self._texts("thanks", speech, self._values(letter, shop, speech))
        return _push(letter, title=title, body=body, url=web_url(shop.profile.url), image=None, quiet=True)

    def _texts(self, template: str, speech: Speech, values: dict[str, Any]) -> tuple[str, str]:
        language = speech.language if speech.language in self._languages else DEFAULT_LANGUAGE
        try:
            text = self._env.get_template(f"{language}/{template}.push.txt").render(values)
        except TemplateNotFound as exc:
            raise Unfit("no_template", f"There is no template {template} for push messages.") from exc
        except (TemplateError, ArithmeticError, TypeError, ValueError) as exc:
            raise Unfit("missing_value", f"The template {template} could not be filled: {exc}") from exc
        title, _, body = text.strip().partition("\n")
        return line(title, MOST_TITLE), line(body, MOST_WORDS)

    def _values(self, letter: Letter, shop: Shop, speech: Speech) -> dict[str, Any]:
        first = letter.items[0] if letter.items else Item(sku="-")
        gift = letter.gift
        return {
            "shop": line(shop.profile.title, 60),
            "first": line(first.name, 60) or line(first.sku, 60),
            "more": len(letter.items) - 1,
            "total": amount(letter.value, letter.currency, speech),
            "again": letter.again,
            "offer": gift and ": ".join(filter(None, (line(gift.text, 60), line(gift.code, 100)))),
            "until": gift and format_date(to_datetime(gift.until), "medium", locale=speech.locale),
        }

    def _url(self, letter: Letter, shop: Shop) -> str:
        """The recovery link; where the cart's own address is too long for a push message, to the shop's first page."""
        for known in (letter, replace(letter, cart_url=None)):
            url = self._links.recovery_url(recovery_of(known, shop), shop.profile.url)
            if len(url) <= MOST_URL:
                return url
        raise Unfit("missing_value", "The web addresses of the cart and the shop are too long.")


def tag_of(shop_id: str, cart_id: str) -> str:
    """What all messages about one cart share, so that the last is on show; its 32 letters fit `Topic` (RFC 8030)."""
    return derived_id("push", shop_id, cart_id)


def _push(letter: Letter, *, title: str, body: str, url: str | None, image: str | None, quiet: bool = False) -> Push:
    if letter.push is None:
        raise Unfit("no_address", "No browser of this person takes push messages.")
    tag = tag_of(letter.key[0], letter.cart_id)
    content: dict[str, Any] = {"cartwake": 1, "title": title, "body": body, "tag": tag, "url": url, "image": image}
    content = {name: value for name, value in (content | {"quiet": quiet or None}).items() if value}
    if len(encode(content)) > MOST_BYTES:
        content.pop("image", None)
    while len(payload := encode(content)) > MOST_BYTES:
        content["body"] = line(content["body"], len(content["body"]) * 3 // 4)
    body = content.get("body", "")
    if letter.gift is not None and letter.gift.code not in body and not quiet:
        raise Unfit("too_long", "The words and the link leave no room for the code of the offer.")
    message_id = derived_id(letter.plan_id, "replacement") if quiet else letter.plan_id
    return Push(message_id, letter.push, payload, tag, title, body)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Locale | None:
    try:
        return Locale.parse(text.replace("-", "_"))
    except (ValueError, TypeError, UnknownLocaleError):
        return None
