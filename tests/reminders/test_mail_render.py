"""The mail on the wire: hostile texts stay texts, nothing is missing, every address is one of the web."""

import email
import re
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from email.policy import default
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cartwake.model import Item, person_id
from cartwake.rules import MailTemplate
from cartwake.settings import Settings
from cartwake.shops import Shop, ShopProfile
from reminders import channels
from reminders.bounces import verp
from reminders.clean import first_name, line, web_url
from reminders.letter import Letter
from reminders.links import Links
from reminders.mime import HEADERS, Unsafe, build, check
from reminders.outbox import Mail
from reminders.planning import template_of
from reminders.reader import Unfit
from reminders.render import SHOWN, Renderer
from reminders.sms.callbacks import Callbacks
from tests.reminders.world import ANA, HOUR, LINKS, T0, Server, World, cart

LANGUAGES = ("bg", "de", "en", "pl", "ro")
RENDER = Renderer(links=LINKS, mail_from="Shop <carts@shop.example.com>")
SHOP = Shop(
    "main", ShopProfile(title="Porto & Daughters", url="https://porto.example.com", postal_address="12 Harbour St")
)
SHIRT = Item(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.99"), image="https://img.example.com/a.jpg")


def letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "key": ("main", person_id(ANA)), "plan_id": "f" * 32, "cart_id": "c-1", "to": ANA, "written_at": T0,
        "left_at": T0 - 2 * HOUR, "name": "Ana", "locale": None, "stage": "payment", "items": (SHIRT,), "units": 2,
        "value": "39.98", "currency": "EUR", "cart_url": "https://porto.example.com/cart/1",
    }  # fmt: skip
    return Letter(**(values | changes))


def with_template(key: str, **parts: str) -> Shop:
    return msgspec.structs.replace(SHOP, templates={key: MailTemplate(**parts)})


def mail(shop: Shop = SHOP, **changes: Any) -> Mail:
    return RENDER(letter(**changes), shop)


def lead(**changes: Any) -> str:
    found = re.search(r'class="lead"[^>]*>(.*?)</p>', mail(**changes).html, re.S)
    assert found is not None
    return found[1]


def parsed(written: Mail) -> Any:
    return email.message_from_bytes(written.wire, policy=default)


# -- what a reader gets --------------------------------------------------------------------------------------
def test_the_mail_shows_the_cart_the_total_and_the_two_links() -> None:
    written = mail()
    for part in (written.html, written.text):
        for text in ("Blue shirt", "€39.98", LINKS.unsubscribe_url(("main", person_id(ANA))), "/r/", "12 Harbour St"):
            assert text in part
    assert 'src="https://img.example.com/a.jpg"' in written.html
    assert 'alt="Blue shirt"' in written.html
    assert 'width="72" height="72"' in written.html


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_stage_of_the_checkout_has_its_own_sentence(language: str) -> None:
    stages = ("cart", "contact", "address", "shipping", "payment", "review")
    leads = {lead(stage=s, template=template_of(s), locale=language) for s in stages}
    assert len(leads) == len(stages)
    assert mail(stage="warp", locale=language).text == mail(stage="cart", locale=language).text


def test_a_template_that_was_chosen_for_another_stage_says_nothing_that_is_not_so() -> None:
    assert lead(stage="cart", template="payment") == lead(stage="cart", template="cart")
    assert lead(stage="shipping", template="cart") == lead(stage="cart", template="cart")


def test_money_and_dates_are_written_as_the_reader_writes_them() -> None:
    written = mail(locale="de-DE")
    assert "39,98\xa0€" in written.text
    assert "23. November 2026" in written.text
    assert 'lang="de"' in written.html


def test_an_unknown_language_falls_back_to_the_shops_and_then_to_english() -> None:
    german = msgspec.structs.replace(SHOP, profile=msgspec.structs.replace(SHOP.profile, locale="de"))
    assert "Summe" in mail(german, locale="xx-nonsense").text
    assert "Total" in mail(SHOP, locale="ja").text


def test_styles_are_inline_and_the_dark_ones_are_kept() -> None:
    html = mail().html
    assert re.search(r'<td class="button text"[^>]*style="[^"]*background-color: #1f5c50', html)
    assert "prefers-color-scheme: dark" in html
    assert "<link" not in html
    assert "<script" not in html


def test_a_large_cart_is_cut_and_says_how_much_more_there_is() -> None:
    items = tuple(Item(sku=f"s-{n}", name="n" * 2000, price=Decimal(1)) for n in range(20))
    written = mail(items=items)
    assert f"and {20 - SHOWN} more" in written.html
    assert len(written.html) < 60_000


# -- headers -------------------------------------------------------------------------------------------------
def test_the_headers_are_exactly_ours() -> None:
    message = parsed(mail())
    assert sorted(name.lower() for name in message) == sorted(HEADERS)
    assert message["Message-ID"] == f"<{'f' * 32}@shop.example.com>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["From"] == "Shop <carts@shop.example.com>"
    assert message["Date"] == "Mon, 23 Nov 2026 10:15:00 +0000"


def test_the_unsubscribe_address_is_short_and_stays_whole_even_when_it_is_not() -> None:
    assert len(LINKS.unsubscribe_url(("main", person_id(ANA)))) <= 57
    long = Renderer(
        links=Links("https://" + "long." * 20 + "example.com", "s"), mail_from="Shop <carts@shop.example.com>"
    )
    wire = long(letter(key=("another-shop", person_id(ANA))), SHOP).wire
    assert re.search(rb"\r\nList-Unsubscribe: <https://long\.[^\s>]+>\r\n", wire)


HOSTILE = (
    "=?utf-8?q?Mug=0D=0AReply-To:_evil@e.test?=",
    "Mug\r\nBcc: eve@e.test",
    "Mug\nBcc: eve@e.test",
    "Mug\rBcc: eve@e.test",
    "Mug\u2028Bcc: eve@e.test\u2029\x85X: y",
    "\u202egum\u202c \u2066x\u2069",
    "=\x00?utf-8?b?QmNjOiBldmVAZS50ZXN0?=",
    "=\u200b?utf-8?q?Mug=0D=0AReply-To:_evil@e.test?=",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}{% for x in ().__class__.__mro__ %}{% endfor %}",
    "\udcff\ud800",
    "n" * 100_000,
    "\x00\x1b[31m",
    "",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_product_and_shop_names_stay_text(text: str) -> None:
    shop = msgspec.structs.replace(SHOP, profile=msgspec.structs.replace(SHOP.profile, title=text, postal_address=text))
    written = mail(shop, items=(msgspec.structs.replace(SHIRT, name=text),), name=text)
    message = parsed(written)
    assert sorted(name.lower() for name in message) == sorted(HEADERS)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\x00", written.wire)
    assert "<script>" not in written.html
    assert "49" not in written.subject
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029]", written.subject + written.text + written.html)
    assert len(written.subject) <= 150


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=40))
def test_no_text_whatever_makes_a_header_or_breaks_a_line(name: str, title: str, person: str) -> None:
    shop = msgspec.structs.replace(
        SHOP, profile=msgspec.structs.replace(SHOP.profile, title=title, sender="carts@a.example")
    )
    message = parsed(mail(shop, items=(msgspec.structs.replace(SHIRT, name=name),), name=person))
    assert sorted(x.lower() for x in message) == sorted(HEADERS)


def test_what_is_not_as_built_is_not_sent() -> None:
    url = LINKS.unsubscribe_url(("main", person_id(ANA)))
    wire = mail().wire
    check(wire, url)
    for bad in (
        b"Reply-To: eve@e.test\r\n" + wire,
        wire.replace(b"Subject:", b"Subject: x\r\nSubject:", 1),
        wire.replace(b"Auto-Submitted: auto-generated\r\n", b""),
        wire.replace(b"\r\n\r\n", b"\r\n\r\nx\ny", 1),
        wire.replace(b"List-Unsubscribe: <", b"List-Unsubscribe: <x", 1),
    ):
        with pytest.raises(Unsafe):
            check(bad, url)


def test_a_header_that_slips_through_is_found_on_the_wire() -> None:
    url, name = LINKS.unsubscribe_url(("main", person_id(ANA))), "=?utf-8?q?Mug=0D=0AReply-To:_evil@e.test?="
    with suppress(Unsafe, ValueError):  # CPython before 3.11.10 lets it through, later ones refuse or fold it
        wire = build(
            sender=(name, "carts@shop.example.com"), to=ANA, subject="x", text="x", html="x",
            date=datetime(2026, 11, 23, tzinfo=UTC), message_id="<m@shop.example.com>", unsubscribe_url=url,
        )  # fmt: skip
        assert b"\nReply-To" not in wire


@pytest.mark.parametrize(
    "to", ["ana@example.com\r\nBcc: e@e.test", "ana@example.com, eve@e.test", '"a b"@example.com', "ä@example.com"]
)
def test_a_recipient_that_is_not_one_plain_address_makes_no_mail(to: str) -> None:
    with pytest.raises(Unfit) as held:
        mail(to=to)
    assert held.value.reason == "unsafe_content"


def test_an_international_domain_is_written_to_in_ascii() -> None:
    assert mail(to="ana@bücher.example").recipient == "ana@xn--bcher-kva.example"


# -- addresses -----------------------------------------------------------------------------------------------
BAD_URLS = (
    "javascript:alert(1)", "data:text/html,x", "ftp://e.test/x", "//e.test/x", "https:///x", "https://", "x", "",
    "https://e.test/\" onload=x", "https://a.example\n.evil.test/", "https://user:pw@e.test/", "https://e.test:99999999/",
    "https://e.test/" + "x" * 2000, "https://[::1", " https://e.test", "https://e.test/\\x", "\thttps://e.test",
)  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_only_addresses_of_the_web_are_linked_or_shown(url: str) -> None:
    assert web_url(url) is None
    written = mail(items=(msgspec.structs.replace(SHIRT, image=url, url=url),), cart_url=url)
    assert "<img" not in written.html
    links = re.findall(r'href="([^"]*)"', written.html)
    assert all(x.startswith(("https://t.shop.example.com/", "https://porto.example.com")) for x in links)
    token = next(x for x in links if "/r/" in x).rpartition("/")[2]
    assert LINKS.read_recovery(token).cart_url == "https://porto.example.com"


@pytest.mark.parametrize(
    ("text", "name"),
    [("Ana", "Ana"), ("Ana María", "Ana María"), ("O’Neill", "O’Neill"), ("J. R. Smith", "J. R. Smith"),
     ("李雷", "李雷"),
     ("Ana http://evil.test", None), ("Ana, you won 100 €", None), ("", None), (None, None), ("x" * 60, None)],
)  # fmt: skip
def test_a_greeting_uses_names_and_nothing_else(text: str | None, name: str | None) -> None:
    assert first_name(text) == name


def test_a_line_is_one_line_of_bounded_length() -> None:
    assert line(" a\r\n b\t\u202ec ", 20) == "a b c"
    assert line("x" * 50, 10) == "x" * 9 + "…"


def test_a_name_of_which_nothing_is_seen_is_none() -> None:
    assert line("\u200d \u3164\ufe0f\0", 20) == ""
    assert line("👩\u200d👧", 20) == "👩\u200d👧"
    written = mail(items=(Item(sku="A1", name="\u200d", quantity=1),))
    assert "A1" in written.subject
    assert "A1" in written.text


# -- what is missing -----------------------------------------------------------------------------------------
def test_missing_prices_pictures_and_addresses_leave_no_gap() -> None:
    bare = Shop("main", ShopProfile(postal_address=""))
    written = mail(bare, items=(Item(sku="A1"),), value=None, currency=None, name=None, cart_url=None)
    for part in (written.html, written.text, written.subject):
        assert "None" not in part
        assert "{{" not in part
    assert "A1" in written.text


def test_a_cart_without_contents_holds_the_mail() -> None:
    world = World().hear(cart(consent=True, items=()), at=0).time(T0).work()
    assert world.said == ["suppressed:missing_value"]
    assert world.server.mails == []


@pytest.mark.parametrize("part", ["subject", "html", "text"])
def test_a_template_with_a_missing_value_holds_the_mail_and_names_it(part: str) -> None:
    shop = with_template("cart", **{part: "one\n{{ items[0].discount }}"})
    with pytest.raises(Unfit, match=rf"cart, {part}, line 2.*discount") as held:
        mail(shop)
    assert held.value.reason == "missing_value"


def test_a_value_that_is_not_known_holds_a_template_that_needs_it_and_no_other() -> None:
    needs, asks = with_template("cart", text="{{ name }}"), with_template("cart", text="{{ name|default('you') }}")
    with pytest.raises(Unfit, match="name is not known"):
        mail(needs, name=None)
    assert mail(needs).text == "Ana\n"
    assert mail(asks, name=None).text == "you\n"


def test_a_template_that_was_never_checked_can_not_reach_out_of_its_sandbox() -> None:
    with pytest.raises(Unfit) as held:
        mail(with_template("cart", text="{{ ''.__class__.__mro__[1].__subclasses__() }}"))
    assert held.value.reason == "bad_template"


@pytest.mark.parametrize(
    "sender", ["nobody", "Shop <a@b@c>", "Shop <carts@shop.example.com>, eve@e.test", "a@b.example\r\nBcc: e@e.test"]
)
def test_a_shop_with_an_unusable_sender_sends_nothing_and_says_so(sender: str) -> None:
    shop = msgspec.structs.replace(SHOP, profile=msgspec.structs.replace(SHOP.profile, sender=sender))
    with pytest.raises(Unfit) as held:
        mail(shop)
    assert held.value.reason == "invalid_sender"


def test_a_mail_that_is_held_leaves_the_day_free() -> None:
    world = World(server=Server()).hear(cart(consent=True, items=()), at=0).time(T0).work()
    world.hear(cart(T0 + HOUR, cart_id="c-2", abandonment_id="ab-2"), at=T0 + HOUR).work()
    assert world.said == ["suppressed:missing_value", "sent"]


def test_only_a_shop_that_wants_to_know_has_the_pixel_in_its_mails() -> None:
    assert "/o/" not in mail().html
    wants = msgspec.structs.replace(SHOP, profile=msgspec.structs.replace(SHOP.profile, opens=True))
    html = mail(wants).html
    (token,) = re.findall(r'<img src="https://[^"]*/o/([^"]+)\.gif" width="1" height="1" alt=""[^>]*></body>', html)
    said = LINKS.read_pixel(token)
    assert (said.plan_id, said.cart_url) == ("f" * 32, "")


@pytest.mark.parametrize(("settings", "name"), [
    ({"sendgrid_key": "k"}, "X-SMTPAPI"), ({"postmark_credentials": "u:p"}, "X-PM-Metadata-cartwake"), ({}, None),
])  # fmt: skip
def test_a_mail_provider_is_told_whose_mail_it_is_and_hands_it_back(settings: dict[str, str], name: str | None) -> None:
    own = Settings(secret="a secret of the tests", **settings)  # type: ignore[arg-type]
    media = channels.of(own, LINKS, Callbacks("https://t.example.com", "s" * 20), channels.email(own))
    message = parsed(media["email"].render(letter(), SHOP))
    extra = [header for header in message if header.lower() not in HEADERS]
    assert extra == ([name] if name else [])
    if name:
        token = re.findall(r"[a-z2-7]{40,}", str(message[name]))[0]
        read = verp.read_token(verp.Secret("a secret of the tests"), token, ["main"])
        assert (read.key, read.plan_id) == (("main", person_id(ANA)), "f" * 32)
