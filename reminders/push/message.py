"""Makes a push message of a letter: title and body in the reader's language, a link to the cart, and a tag.

The template is the shop's own, part by part, else the built-in one of `templates/<language>/<name>.push.txt`, whose
first line is the title, the rest the body. A missing value holds the message (`Unfit`).
"""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from msgspec.structs import replace

from cartwake.model import PushTarget, derived_id, encode
from cartwake.rules import PushTemplate
from cartwake.shops import Shop
from cartwake.short_templates import THANKS
from reminders.clean import line, web_url
from reminders.letter import Letter
from reminders.reader import TEMPLATES, Addresses, Unfit, own_of, recovery_of, speech_for
from reminders.short import BuiltIn, cart_values, filled, gift_values, greeting_values
from reminders.words import Speech

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
    """Renders letters as push messages; `mark` stands before every title."""

    def __init__(self, *, links: Addresses, mark: str = "", folder: Path = TEMPLATES) -> None:
        self._links = links
        self._mark = mark
        self._built_in = BuiltIn(folder, "push")

    def __call__(self, letter: Letter, shop: Shop) -> Push:
        """The push message of a letter; raises Unfit."""
        title, body = self.words(letter, shop)
        image = web_url(letter.items[0].image) if letter.items else None
        return _push(
            letter,
            title=line(self._mark + title, MOST_TITLE),
            body=line(body, MOST_WORDS),
            url=self._url(letter, shop),
            image=image if image and image.startswith("https:") else None,
        )

    def words(self, letter: Letter, shop: Shop) -> tuple[str, str]:
        """Title and body of a letter, as long as they come; raises Unfit."""
        speech = speech_for(letter, shop)
        values = greeting_values(letter, shop, speech, title=60)
        if letter.template == THANKS:
            return self._texts(letter, shop, speech, values)
        if not letter.items:
            raise Unfit("missing_value", "The cart's contents are not known, so there is nothing to remind of.")
        first = letter.items[0]
        values |= cart_values(
            letter,
            speech,
            product=line(first.name, 60) or line(first.sku, 60),
            gift=gift_values(letter, shop, speech, text=60, day="medium"),
        )
        title, body = self._texts(letter, shop, speech, values)
        if letter.text:
            return title, line(letter.text, MOST_WORDS)
        if letter.gift is not None and values["gift"]["code"] not in f"{title}\n{body}":
            raise Unfit("missing_value", f"The template {letter.template} leaves out the offer's code.")
        return title, body

    def replacement(self, letter: Letter, shop: Shop) -> Push:
        """What takes the place of `letter`'s message once the cart was bought, on the same browser, without a sound.

        Of the letter it needs `key`, `plan_id`, `cart_id`, `push` and `locale`. Raises Unfit.
        """
        title, body = self.words(replace(letter, template=THANKS), shop)
        return _push(
            letter,
            title=line(self._mark + title, MOST_TITLE),
            body=line(body, MOST_WORDS),
            url=web_url(shop.profile.url),
            image=None,
            quiet=True,
        )

    def _texts(self, letter: Letter, shop: Shop, speech: Speech, values: dict[str, Any]) -> tuple[str, str]:
        name = letter.template
        mine: PushTemplate | None = own_of(shop.push_templates, name, speech)
        built_in = self._built_in.source(name, speech)
        if built_in is None and mine is not None:
            built_in = self._built_in.source("cart", speech)
        if built_in is None:
            raise Unfit("no_template", f"There is no template {name} for push messages.")
        title, _, body = built_in.strip().partition("\n")
        if mine is not None:
            title, body = mine.title or title, mine.body or body
        texts = [filled(f"{name}, {part}", source, values) for part, source in (("title", title), ("body", body))]
        title, body = (" ".join(text.split()) for text in texts)
        if not title:
            raise Unfit("missing_value", f"The template {name} makes no title, and a notification has to have one.")
        return title, body

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
    if letter.gift is not None and letter.gift.code not in f"{title}\n{body}" and not quiet:
        raise Unfit("too_long", "The words and the link leave no room for the code of the offer.")
    message_id = derived_id(letter.plan_id, "replacement") if quiet else letter.plan_id
    return Push(message_id, letter.push, payload, tag, title, body)
