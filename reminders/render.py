"""Makes a mail of a letter: words and design around the facts, in the reader's language. No I/O but reading templates.

Words lie in `templates/words/<language>.toml`, the design in `templates/layout.{html,txt}`; a shop may have its own of
both. A missing value holds the mail (`Unfit`) rather than send it with a gap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import Any, Final

from markupsafe import Markup

from cartwake.clock import to_datetime
from cartwake.errors import ConfigurationError
from cartwake.model import Item
from cartwake.rules import zone
from cartwake.shops import Shop
from cartwake.templating import (
    LISTS,
    MOST_HTML,
    MOST_SUBJECT,
    MOST_TEXT,
    Missing,
    compiled,
    missing,
    own,
)
from reminders.address import ascii_address
from reminders.clean import first_name, in_html, line, lines, web_url
from reminders.letter import Letter
from reminders.mime import File, Unsafe, build, sender_address
from reminders.outbox import Mail
from reminders.person import Key
from reminders.reader import (
    STAGES,
    TEMPLATES,
    Addresses,
    Unfit,
    amount,
    own_of,
    priced,
    recovery_of,
    speech_for,
    written,
)
from reminders.words import Speech

SHOWN: Final = LISTS["items"]
#: The built-in templates, and the stages each is about; of another stage it says what holds for any cart.
BUILT_IN: Final = {
    "cart": frozenset({"cart", "contact", "address"}),
    "shipping": frozenset({"shipping"}),
    "payment": frozenset({"payment", "review"}),
}
MOST_OFFER: Final = 60  # characters of an offer in the subject

#: A quote that ends no attribute is no tag either, but some filters take it for one.
_NO_TAGS: Final = str.maketrans("<>", "  ")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a mail says."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Shop:
    """What a mail says of a shop, made once for each profile."""

    values: dict[str, Any]
    url: str | None
    zone: tzinfo


class Renderer:
    """Renders letters. `mail_from` writes for shops that have set no sender; `mark` stands before every subject.

    `return_path` makes the envelope's sender of a person and a plan; without it that is the visible one. `told` makes
    the header by which a mail provider hands back whose mail it was.
    """

    def __init__(
        self, *, links: Addresses, mail_from: str, mark: str = "",
        return_path: Callable[[Key, str], str] | None = None,
        told: Callable[[Key, str], tuple[str, str]] | None = None,
    ) -> None:  # fmt: skip
        self._links = links
        self._return_path = return_path
        self._told = told
        self._mail_from = mail_from
        self._mark = mark
        self._html = compiled((TEMPLATES / "layout.html").read_text(encoding="utf-8"), html=True)
        self._text = compiled((TEMPLATES / "layout.txt").read_text(encoding="utf-8"), html=False)

    def __call__(self, letter: Letter, shop: Shop) -> Mail:
        """The mail of a letter; raises Unfit."""
        return self.mail(
            self.parts(letter, shop), shop, key=letter.key, plan_id=letter.plan_id, to=letter.to, at=letter.written_at,
            unsubscribe_url=self._links.unsubscribe_url(letter.key),
        )  # fmt: skip

    def sender(self, shop: Shop) -> tuple[str, str]:
        """Name and address that a shop's mails come from; raises Unfit."""
        try:
            name, address = _sender(shop.profile.sender or self._mail_from)
        except ValueError as exc:
            raise Unfit("invalid_sender", f"The sender address of shop {shop.shop_id} can't be used: {exc}") from exc
        return name or line(shop.profile.title, 100), address

    def mail(
        self, parts: Parts, shop: Shop, *, key: Key, plan_id: str, to: str, at: int, unsubscribe_url: str | None,
        name: str = "", files: Sequence[File] = (),
    ) -> Mail:  # fmt: skip
        """The mail that says `parts`, written `at`; its Message-ID begins with `name`, else the plan. Raises Unfit."""
        sender = self.sender(shop)
        message_id = f"<{name or plan_id}@{sender[1].rpartition('@')[2]}>"
        try:
            wire = build(
                sender=sender, to=to, subject=parts.subject, text=parts.text, html=parts.html, date=to_datetime(at),
                message_id=message_id, unsubscribe_url=unsubscribe_url, files=files,
                extra=self._told(key, plan_id) if self._told else None,
            )  # fmt: skip
        except (Unsafe, ValueError) as exc:
            raise Unfit("unsafe_content", f"The mail was not sent because of {exc}.") from exc
        return_path = self._return_path(key, plan_id) if self._return_path else sender[1]
        return Mail(message_id, return_path, ascii_address(to), parts.subject, parts.text, parts.html, wire)

    def parts(self, letter: Letter, shop: Shop) -> Parts:
        """What the mail of a letter says; raises Unfit."""
        speech, name = speech_for(letter, shop), letter.template
        if name not in BUILT_IN and own_of(shop.templates, name, speech) is None:
            words = f"The shop has no template {name!r} for {speech.language}, and there is none built in."
            raise Unfit("no_template", words)
        values = self.values(letter, shop, speech)
        pixel = self._links.pixel_url(recovery_of(letter, shop)) if shop.profile.opens else None
        return self.compose(name, speech, values, shop, None if letter.text is None else in_html(letter.text), pixel)

    def compose(
        self, name: str, speech: Speech, values: dict[str, Any], shop: Shop, own_words: Markup | None,
        pixel: str | None = None,
    ) -> Parts:  # fmt: skip
        """What the template `name` says of `values`, where HTML has `own_words` for `text`; raises Unfit."""
        mine = _own(name, speech, shop)
        subject = values["words"]["subject"]
        if mine is not None and mine.subject:
            subject = written(f"{name}, subject", mine.subject, values, MOST_SUBJECT)
        text = written(f"{name}, text", (mine and mine.text) or self._text, values, MOST_TEXT)
        if own_words is not None:
            values["text"] = own_words
        html = written(f"{name}, html", (mine and mine.html) or self._html, values, MOST_HTML)
        if pixel is not None:
            html = _with_pixel(html, pixel)
        if len(html) * 4 > MOST_HTML and len(html.encode()) > MOST_HTML:
            raise Unfit("too_long", f"The mail is longer than {MOST_HTML:,} bytes, where mail programs cut it.")
        return Parts(line(self._mark + subject, 150), text.strip() + "\n", html)

    def values(self, letter: Letter, shop: Shop, speech: Speech) -> dict[str, Any]:
        """Every value a template may use: those of `cartwake.templating.SAMPLE`. Raises Unfit."""
        if not letter.items:
            raise Unfit("missing_value", "The cart's contents are not known, so there is nothing to remind of.")
        known = _known(shop)
        values: dict[str, Any] = {
            "template": letter.template,
            "language": speech.language,
            "direction": speech.direction,
            "step": letter.step,
            "stage": letter.stage if letter.stage in STAGES else "cart",
            "to": letter.to,
            "shop": known.values,
            "name": first_name(letter.name) or _UNKNOWN["name"],
            "text": _UNKNOWN["text"] if letter.text is None else "\n".join(lines(letter.text)),
            "items": [_item(item, letter.currency, speech) for item in letter.items[:SHOWN]],
            "more": max(len(letter.items) - SHOWN, 0),
            "units": letter.units,
            "total": amount(letter.value, letter.currency, speech) or _UNKNOWN["total"],
            "left_on": speech.date(to_datetime(letter.left_at).astimezone(known.zone).date()),
            "gift": _gift(letter, speech, known.zone),
            "products": [_product(x, letter.currency, speech) for x in letter.products[: LISTS["products"]]],
            "recovery_url": self._links.recovery_url(recovery_of(letter, shop)),
            "unsubscribe_url": self._links.unsubscribe_url(letter.key),
        }
        values["words"] = _words(letter, values, speech)
        return values


# -- templates -------------------------------------------------------------------------------------------------------
def _own(name: str, speech: Speech, shop: Shop) -> Any:
    """The shop's own template, ready to run; None where it has none."""
    mine = own_of(shop.templates, name, speech)
    if mine is None:
        return None
    found = own(mine)
    if isinstance(found, ConfigurationError):
        raise Unfit("bad_template", f"The shop's template {name!r} can't be used: {found}")
    return found


# -- values --------------------------------------------------------------------------------------------------------
_UNKNOWN: Final[dict[str, Missing]] = {
    name: missing(name)
    for name in (
        "name", "text", "total", "gift", "shop.url", "shop.postal_address", "item.image", "item.url",
        "product.price", "product.image", "product.url", "words.more", "words.code", "words.until",
        "words.help",
    )
}  # fmt: skip


@lru_cache(maxsize=256)
def _sender(text: str) -> tuple[str, str]:
    return sender_address(text)


def of_shop(shop: Shop) -> dict[str, Any]:
    """What a template may say of a shop."""
    return _known(shop).values


def _known(shop: Shop) -> _Shop:
    profile = shop.profile
    return _profile(profile.title, profile.url, profile.postal_address, profile.time_zone)


@lru_cache(maxsize=1024)
def _profile(title: str, url: str, postal_address: str, time_zone: str) -> _Shop:
    shop_url = web_url(url)
    values = {
        "title": line(title, 100),
        "url": shop_url or _UNKNOWN["shop.url"],
        "postal_address": line(postal_address, 300) or _UNKNOWN["shop.postal_address"],
    }
    return _Shop(values, shop_url, zone(time_zone) or UTC)


@lru_cache(maxsize=4096)  # what sells is in many carts; nothing can change what a template is given
def _item(item: Item, currency: str | None, speech: Speech) -> dict[str, Any]:
    return {
        **_named(item),
        **priced(item, currency, speech),
        "image": web_url(item.image) or _UNKNOWN["item.image"],
        "url": web_url(item.url) or _UNKNOWN["item.url"],
    }


@lru_cache(maxsize=1024)
def _product(item: Item, currency: str | None, speech: Speech) -> dict[str, Any]:
    return {
        **_named(item),
        "price": amount(item.price, currency, speech) or _UNKNOWN["product.price"],
        "image": web_url(item.image) or _UNKNOWN["product.image"],
        "url": web_url(item.url) or _UNKNOWN["product.url"],
    }


def _named(item: Item) -> dict[str, str]:
    name = line(item.name, 120) or line(item.sku, 60) or "…"
    return {"name": name, "alt": name.translate(_NO_TAGS)}


def _gift(letter: Letter, speech: Speech, where: tzinfo) -> dict[str, Any] | Missing:
    gift = letter.gift
    if gift is None:
        return _UNKNOWN["gift"]
    words = speech.say("offer", "shipping" if letter.template == "shipping" else "other")
    return {
        "code": line(gift.code, 100),
        "text": line(gift.text, 200) or words,
        "until": speech.moment(to_datetime(gift.until), where),
    }


def _words(letter: Letter, values: dict[str, Any], speech: Speech) -> dict[str, Any]:
    """What is said around the facts."""
    say, title, gift, more = speech.say, values["shop"]["title"], values["gift"], values["more"]
    first = values["items"][0]["name"]
    others = len(values["items"]) + more - 1
    things = f"{line(first, 60)} {speech.count('mail', 'more', others)}" if others else line(first, 80)
    said = speech.words["cart"] | speech.words.get(_occasion(letter, values["stage"]), {})
    if letter.again:
        said = said | speech.words["again"]
    if gift:
        said = said | speech.words["offer"]
    filled = {
        "things": things,
        "shop": title,
        "offer": line(gift["text"], MOST_OFFER).rstrip(".!…") if gift else "",
        "code": gift["code"] if gift else "",
    }
    return {
        "subject": str(said["subject"]).format_map(filled),
        "preview": str(said["preview"]).format_map(filled),
        "headline": said["headline"],
        "hello": say("mail", "hello", name=values["name"]) if values["name"] else say("mail", "hello_all"),
        "lead": said["lead"],
        "button": said["button"],
        "more": speech.count("mail", "more", more) if more else _UNKNOWN["words.more"],
        "total": say("mail", "total"),
        "code": say("mail", "code") if gift else _UNKNOWN["words.code"],
        "until": say("mail", "until", until=gift["until"]) if gift else _UNKNOWN["words.until"],
        "products": say("mail", "products"),
        "help": say("mail", "help") if letter.template == "payment" else _UNKNOWN["words.help"],
        "note": say("mail", "note", date=values["left_on"]),
        "reason": say("mail", "reason", date=values["left_on"], shop=title),
        "unsubscribe": say("mail", "unsubscribe"),
    }


def _with_pixel(html: str, url: str) -> str:
    """The mail with the picture that says that it was opened, at its end."""
    body, end, rest = html.rpartition("</body>")
    pixel = f'<img src="{url}" width="1" height="1" alt="" style="display:block">'
    return f"{body}{pixel}{end}{rest}" if end else html + pixel


def _occasion(letter: Letter, stage: str) -> str:
    return stage if stage in BUILT_IN.get(letter.template, STAGES) else "cart"
