"""Makes a mail of a letter: a shop's words around the facts, in the reader's language. No I/O but reading templates.

A template lies in `templates/<language>/cart.{html,txt}`; the first line of the text one is the subject. A missing
value holds the mail (`Unfit`) rather than send it with a gap.
"""

from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import css_inline
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment

from cartwake.clock import to_datetime
from cartwake.errors import CartwakeError
from cartwake.model import Item
from cartwake.shops import Shop
from reminders.address import ascii_address
from reminders.clean import first_name, line, web_url
from reminders.letter import Letter
from reminders.links import Links, Recovery
from reminders.mime import Unsafe, build, sender_address
from reminders.outbox import Mail

TEMPLATES: Final = Path(__file__).parent / "templates"
SHOWN: Final = 8  # lines of a cart in the mail; Gmail cuts a mail at 102 KB
MOST_HTML: Final = 100_000
LINK_AGE_MS: Final = timedelta(days=90) // timedelta(milliseconds=1)
STAGES: Final = frozenset({"cart", "contact", "address", "shipping", "payment", "review"})
DEFAULT_LANGUAGE: Final = "en"

#: The inliner writes attributes anew and leaves these as they are, which is right and which some filters misread.
_NO_TAGS: Final = str.maketrans("<>", "  ")

_INLINER: Final = css_inline.CSSInliner(keep_style_tags=True, keep_at_rules=True, load_remote_stylesheets=False)


class Unfit(CartwakeError):
    """No mail can be made of this; `reason` is the code, `str()` the words for the shop's staff."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def environment(folder: Path = TEMPLATES) -> ImmutableSandboxedEnvironment:
    """Jinja2 as templates of others need it: sandboxed, escaping, strict."""
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class Renderer:
    """Renders letters. `mail_from` writes for shops that have set no sender."""

    def __init__(self, *, links: Links, mail_from: str, folder: Path = TEMPLATES) -> None:
        self._links = links
        self._mail_from = mail_from
        self._env = environment(folder)
        self._languages = frozenset(p.name for p in folder.iterdir() if p.is_dir())

    def __call__(self, letter: Letter, shop: Shop) -> Mail:
        """The mail of a letter; raises Unfit."""
        try:
            name, address = sender_address(shop.profile.sender or self._mail_from)
        except ValueError as exc:
            raise Unfit("invalid_sender", f"The sender address of shop {shop.shop_id} can't be used: {exc}") from exc
        unsubscribe_url = self._links.unsubscribe_url(letter.key)
        locale = self.locale(letter.locale, shop.profile.locale)
        values = self._values(letter, shop, locale) | {"unsubscribe_url": unsubscribe_url}
        subject, text, html = self._texts(str(values["language"]), values)
        message_id = f"<{letter.plan_id}@{address.rpartition('@')[2]}>"
        try:
            wire = build(
                sender=(name or line(shop.profile.title, 100), address), to=letter.to, subject=subject, text=text,
                html=html, date=to_datetime(letter.written_at), message_id=message_id, unsubscribe_url=unsubscribe_url,
            )  # fmt: skip
        except (Unsafe, ValueError) as exc:
            raise Unfit("unsafe_content", f"The mail was not sent because of {exc}.") from exc
        return Mail(message_id, address, ascii_address(letter.to), subject, text, html, wire)

    def locale(self, *wanted: str | None) -> Locale:
        """The first wanted locale that exists, else English."""
        return next((found for text in wanted if text and (found := _locale(text))), Locale(DEFAULT_LANGUAGE))

    def _texts(self, language: str, values: dict[str, Any]) -> tuple[str, str, str]:
        try:
            head, _, text = self._env.get_template(f"{language}/cart.txt").render(values).partition("\n")
            html = _INLINER.inline(self._env.get_template(f"{language}/cart.html").render(values))
        except (TemplateError, ArithmeticError, TypeError, ValueError) as exc:
            raise Unfit("missing_value", f"The mail's template could not be filled: {exc}") from exc
        if len(html) > MOST_HTML:
            raise Unfit("too_long", f"The mail is {len(html)} characters long; mail programs cut it at 100,000.")
        return line(head.removeprefix("Subject:"), 150), text.strip() + "\n", html

    def _values(self, letter: Letter, shop: Shop, locale: Locale) -> dict[str, Any]:
        if not letter.items:
            raise Unfit("missing_value", "The cart's contents are not known, so there is nothing to remind of.")
        shop_url = web_url(shop.profile.url)
        cart_url = web_url(letter.cart_url) or shop_url
        if cart_url is None:
            raise Unfit("missing_value", "Neither the cart's nor the shop's web address is known (http or https).")
        language = locale.language if locale.language in self._languages else DEFAULT_LANGUAGE
        shown = letter.items[:SHOWN]
        recovery = Recovery(
            shop_id=letter.key[0], subscriber_id=letter.key[1], plan_id=letter.plan_id, cart_id=letter.cart_id,
            cart_url=cart_url, expires_at=letter.written_at + LINK_AGE_MS,
        )  # fmt: skip
        return {
            "language": language,
            "direction": locale.text_direction,
            "shop": {
                "title": line(shop.profile.title, 100),
                "url": shop_url,
                "postal_address": line(shop.profile.postal_address, 300),
            },
            "name": first_name(letter.name),
            "to": letter.to,
            "items": [_shown(item, letter.currency, locale) for item in shown],
            "more": len(letter.items) - len(shown),
            "units": letter.units,
            "total": money(letter.value, letter.currency, locale),
            "stage": letter.stage if letter.stage in STAGES else "cart",
            "left_on": format_date(to_datetime(letter.left_at), "long", locale=locale),
            "recovery_url": self._links.recovery_url(recovery),
        }


def money(value: Decimal | str | None, currency: str | None, locale: Locale) -> str | None:
    """An amount as the reader writes it, or None where it is not known."""
    if value is None or not currency or not Decimal(value).is_finite() or Decimal(value) == 0:
        return None
    return str(format_currency(Decimal(value), currency, locale=locale))


def _shown(item: Item, currency: str | None, locale: Locale) -> dict[str, Any]:
    quantity = item.quantity or 1
    name = line(item.name, 120) or line(item.sku, 60)
    return {
        "name": name,
        "alt": name.translate(_NO_TAGS),
        "quantity": quantity,
        "count": format_decimal(quantity, locale=locale),
        "price": money(item.price, currency, locale),
        "amount": money(None if item.price is None else item.price * quantity, currency, locale),
        "image": web_url(item.image),
        "url": web_url(item.url),
    }


@lru_cache(maxsize=256)
def _locale(text: str) -> Locale | None:
    try:
        return Locale.parse(text.replace("-", "_"))
    except (ValueError, TypeError, UnknownLocaleError):
        return None
