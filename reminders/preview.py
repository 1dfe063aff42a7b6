"""A message as it would look: sample values in the shop's template, and which of them it can't do without.

Nobody is in it: its links lead to the shop, and to a page that knows nobody, so that trying them changes nothing.
"""

import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from cartwake.model import Channel, Item
from cartwake.shops import Shop
from reminders.letter import Letter
from reminders.links import Recovery
from reminders.person import Gift, Key
from reminders.reader import Unfit

_HOUR: Final = 3_600_000
#: The checkout step that a built-in template is about.
_STAGES: Final = {"cart": "cart", "shipping": "shipping", "payment": "payment"}
_ITEMS: Final = (("Blue shirt", 2, "19.99"), ("Wool scarf, dark grey, hand-woven, extra long", 1, "49.00"))
_PRODUCTS: Final = (("Leather belt", "35.00"), ("Socks", "9.50"), ("Hat", "24.00"), ("Gloves", "29.00"))


class NoLinks:
    """Links that lead to nobody: the cart itself, and an unsubscribe page that does not know the link."""

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")

    def unsubscribe_url(self, key: Key) -> str:
        """An address whose page says that the link is not known."""
        return f"{self._base}/u/test"

    def pixel_url(self, recovery: Recovery) -> str:
        """No picture: who looks at a sample has not opened a mail."""
        return "data:,"

    def recovery_url(self, recovery: Recovery, home: str | None = None) -> str:
        """The cart."""
        return recovery.cart_url


def sample_letter(
    template: str, locale: str | None, shop: Shop, *, to: str, now: int, step: int = 1, channel: Channel = "email"
) -> Letter:
    """A letter with everything in it that a letter can have; the plain reminder has no code, as in real life.

    Its pictures are addresses where there is nothing: one sees what a mail with pictures blocked looks like.
    """
    url = shop.profile.url.rstrip("/")
    items = tuple(
        Item(sku=name, name=name, quantity=quantity, price=Decimal(price), url=url, image=f"{url}/sample-{n}.jpg")
        for n, (name, quantity, price) in enumerate(_ITEMS)
    )
    products = tuple(
        Item(sku=name, name=name, price=Decimal(price), url=url, image=f"{url}/sample-also-{n}.jpg")
        for n, (name, price) in enumerate(_PRODUCTS)
    )
    return Letter(
        key=(shop.shop_id, "p-" + "0" * 24),
        plan_id=uuid.uuid4().hex,
        cart_id="sample",
        to=to,
        written_at=now,
        expires_at=now + 72 * _HOUR,
        left_at=now - 2 * _HOUR,
        channel=channel,
        step=step,
        again=step > 1,
        template=template,
        gift=Gift(code="SAMPLE-7K2P", until=now + 7 * 24 * _HOUR) if template != "cart" else None,
        products=products,
        name="Ana",
        locale=locale,
        stage=_STAGES.get(template, "cart"),
        items=items,
        units=3,
        value="88.98",
        currency="EUR",
        cart_url=f"{url}/cart",
    )


def needed(make: Callable[[Letter, Shop], Any], letter: Letter, shop: Shop) -> list[str]:
    """The values without which `make` would hold the message, of those that are sometimes not known."""
    found = []
    for name, less, at in _without(letter, shop):
        try:
            make(less, at)
        except Unfit as exc:
            if exc.reason != "missing_value":
                raise
            found.append(name)
    return found


def _without(letter: Letter, shop: Shop) -> Iterator[tuple[str, Letter, Shop]]:
    def items(**changes: Any) -> Letter:
        return replace(letter, items=tuple(replace(item, **changes) for item in letter.items))

    def products(**changes: Any) -> Letter:
        return replace(letter, products=tuple(replace(item, **changes) for item in letter.products))

    def profile(**changes: Any) -> Shop:
        return replace(shop, profile=replace(shop.profile, **changes))

    yield "name", replace(letter, name=None), shop
    yield "item.price", items(price=None), shop
    yield "item.image", items(image=None), shop
    yield "item.url", items(url=None), shop
    yield "total", replace(letter, value=None), shop
    yield "gift", replace(letter, gift=None), shop
    if letter.gift is not None and letter.gift.text:
        yield "gift.text", replace(letter, gift=replace(letter.gift, text="")), shop
    yield "text", replace(letter, text=None), shop
    yield "products", replace(letter, products=()), shop
    yield "product.price", products(price=None), shop
    yield "product.image", products(image=None), shop
    yield "product.url", products(url=None), shop
    yield "shop.url", letter, profile(url="")
    yield "shop.postal_address", letter, profile(postal_address="")
