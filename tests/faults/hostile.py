"""Letters of somebody who wants a mail to say what we did not write: names, addresses and links of all sorts."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cartwake.model import Item, derived_id, person_id
from cartwake.rules import MailTemplate
from cartwake.shops import Shop, ShopProfile
from reminders.letter import Letter
from reminders.person import Gift
from tests.reminders.world import T0

#: What is put into every text, whole or as a piece of it.
PIECES: Final = (
    "a\r\nBcc: eve@e.test", "\r\n\r\n<script>alert(1)</script>", "\rBcc: eve@e.test", "\nX-Evil: 1", "\n.\n", "\n..\n",
    "=?utf-8?q?Mug=0D=0AReply-To:_evil@e.test?=", "=?utf-8?b?DQpCY2M6IGVAZS50ZXN0?=", "=?x", "?=", "= ?utf-8?q?a?=",
    "\0", "\x01\x02\x1f\x7f\x85\x9b", "\x0b\x0c", "\u2028To: eve@e.test", "\u2029", "\u202egum\u202c", "\u2066a\u2069",
    "\u200b\u200d\ufeff\u00ad", "\U000e0041\U000e007f", "👩\u200d👧", "🇷🇴🏴\U000e0067\U000e007f", "😀" * 40,
    "\ud800", "\udfff\ud800", "e\u0301", "ﬁ", "ԱԲ", "李雷 買い物", "مرحبا", "שלום", "€ “quoted”", '"', "\\", '\\"',
    "<eve@e.test>", "a, eve@e.test", "(note)", ";:@[]", "From me", "\nFrom you", "--=_a", "=_a", "</title></a>",
    "<img src=x onerror=alert(1)>", "javascript:alert(1)", "{{ 7*7 }}", "{% for x in y %}", "%s %(a)s {0} {things}",
    "&#128;", "&lt;b&gt;", "=3D=\n", "\t", " ", "x" * 998, "ä" * 500, "\N{CYRILLIC SMALL LETTER ZHE}" * 100,
)  # fmt: skip
LONG: Final = ("x" * 10_240, "ü" * 10_240, "x y " * 2_560, "\r\n" * 5_120, "👩\u200d👧" * 3_400, "\ud800" * 10_240)

_WRONG: Final = (
    "ana@example.com\r\nBcc: eve@e.test", "ana@example.com\n", "\nana@example.com", "ana@example.com\0", "a@b@c.test",
    "ana@example.com, eve@e.test", "Ana <ana@example.com>", "ana@example.com\u2028eve@e.test", "aña@example.com",
    '"a b"@example.com', "ana@", "@example.com", "", "ana", "ana@exa mple.com", "ana@[127.0.0.1]", "\ud800@example.com",
    "a" * 300 + "@example.com", "ana@" + "x" * 300 + ".com", "ana@example.com>", "<ana@example.com",
    "a\tb@example.com", "=?utf-8?q?a=0D=0ABcc:_e?=@example.com\r", "ana@example..com", "ana@-example.com",
    "ana@example.com\u202e",
)  # fmt: skip
#: An address as it is known, and as it must be written; None: nothing may be sent to it.
TO: Final[tuple[tuple[str, str | None], ...]] = (
    *((right, right) for right in ("ana@example.com", "a.b+c@shop.example.com", "o'neil@example.com")),
    ("ana@bücher.example.com", "ana@xn--bcher-kva.example.com"),
    *((wrong, None) for wrong in _WRONG),
)
#: A shop's sender, and the address that must stand in From; None: nothing may be sent.
SENDERS: Final[tuple[tuple[str, str | None], ...]] = (
    ("", "carts@shop.example.com"), ("Shop <shop@shop.example.com>", "shop@shop.example.com"),
    ("shop@example.com", "shop@example.com"), ('"The, Shop" <shop@example.com>', "shop@example.com"),
    ("Grüße 😀 <shop@example.com>", "shop@example.com"),
    ("=?utf-8?q?x=0D=0ABcc:_e?= <shop@example.com>", "shop@example.com"),
    ("Shop\r\nBcc: eve@e.test <shop@example.com>", None), ("Shop <shop@example.com\r\nBcc: eve@e.test>", None),
    ("Shop <shop@example.com>, eve@e.test", None), ("Shop", None), ("<>", None), ("Shop <a@b> <c@d.example>", None),
)  # fmt: skip
LINKS: Final = (
    "https://shop.example.com/cart/c-1", "http://shop.example.com/?a=1&b=2", None, "", "javascript:alert(1)",
    "https://shop.example.com/\r\nBcc: e", 'https://shop.example.com/"onload="x', "https://u:p@shop.example.com/",
    "https://shop.example.com/" + "x" * 3_000, "data:text/html,x", "https://[::1", "https://shop.example.com:99999/",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A letter with what must become of it. `title` stands before the product in a subject of the shop's own."""

    letter: Letter
    shop: Shop
    to: str | None
    sender: str | None
    title: str | None
    must_go: bool  # only its words are strange, and they hold no mail


def case(draw: random.Random, number: int) -> Case:
    """A letter that is strange in some places, seldom in those without which there is no mail at all."""
    text = _texts(draw)
    to, written = draw.choice(TO) if draw.random() < 0.2 else TO[0]
    sender, visible = draw.choice(SENDERS) if draw.random() < 0.3 else SENDERS[0]
    cart_url = draw.choice(LINKS) if draw.random() < 0.3 else LINKS[0]
    home = draw.choice(LINKS) if draw.random() < 0.2 else LINKS[1]
    own = draw.random() < 0.3
    subject = "{{ shop.title }} {{ items[0].name }}"
    title = text()
    items = tuple(_item(draw, text) for _ in range(draw.choice((1, 1, 2, 3, 12))))
    words = text() if draw.random() < 0.15 else None
    person = person_id(f"shopper-{number}@example.com")
    letter = Letter(
        key=(draw.choice(("main", "other-shop")), person), plan_id=derived_id("hostile", number), cart_id=f"c-{number}",
        to=to, written_at=T0, left_at=T0 - 3_600_000, step=draw.randrange(1, 4), text=words,
        template=draw.choice(("cart", "shipping", "payment")), again=draw.random() < 0.2, name=text(),
        gift=Gift(code=text(), text=text(), until=T0 + 86_400_000, pool="a") if draw.random() < 0.2 else None,
        products=tuple(_item(draw, text) for _ in range(draw.choice((0, 0, 2)))),
        locale=draw.choice(("en", "de", "ro", "pl", "bg", None, text())), stage=draw.choice(("cart", "review", text())),
        items=items, units=len(items), value=draw.choice(("39.98", "0", None)),
        currency=draw.choice(("EUR", "RON", "JPY", None)), cart_url=cart_url,
    )  # fmt: skip
    profile = ShopProfile(
        title=title, url=home or "", sender=sender, locale=draw.choice(("en", "de", text())), postal_address=text(),
        opens=draw.random() < 0.5, time_zone=draw.choice(("", "Europe/Bucharest", text())),
    )  # fmt: skip
    templates = {letter.template: MailTemplate(subject=subject)} if own else {}
    return Case(
        letter, Shop(letter.key[0], profile, templates=templates), written, visible,
        title if own else None,
        must_go=written is not None and visible is not None and cart_url in LINKS[:2] and words is None,
    )  # fmt: skip


def _item(draw: random.Random, text: Callable[[], str]) -> Item:
    price = draw.choice((None, Decimal("19.99"), Decimal("0.001"), Decimal(10) ** 12))
    return Item(
        sku=text(), name=draw.choice((text(), None)), quantity=draw.choice((None, 1, 2, 10**6)), price=price,
        url=draw.choice(LINKS), image=draw.choice(LINKS), category=text(),
    )  # fmt: skip


def _texts(draw: random.Random) -> Callable[[], str]:
    def text() -> str:
        match draw.randrange(8):
            case 0:
                return draw.choice(LONG)
            case 1:
                return "".join(chr(draw.randrange(0x11_0000)) for _ in range(draw.randrange(60)))
            case 2 | 3:
                return "Blue shirt"
            case _:
                return "".join(draw.choice((*PIECES, "Blue shirt ")) for _ in range(draw.randrange(1, 6)))

    return text
