"""A text message: short, whole, and nothing in it that does not belong there."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.model import Item
from cartwake.shops import Shop, ShopProfile
from reminders.links import HOME, Links
from reminders.person import Gift
from reminders.reader import Unfit
from reminders.sms.callbacks import Callbacks, Receipt
from reminders.sms.render import TEMPLATES, Sms, SmsRenderer, takes_replies
from tests.reminders.texts import NUMBER, PERSON, SENDER, letter, unhurried
from tests.reminders.world import DAY, LINKS, T0

SHOP = Shop("main", ShopProfile(title="Porto", time_zone="Europe/Berlin"))
LANGUAGES = ("en", "de", "ro", "bg", "pl")
#: A collector with a short address, so that the limits are about the words.
SHORT = Links("https://t.example.com", "secret of the tests")


def rendered(shop: Shop = SHOP, *, of: dict[str, Any] | None = None, **changes: Any) -> Sms:
    options: dict[str, Any] = {"links": LINKS, "sender": SENDER, "segments": 10}
    return SmsRenderer(**(options | (of or {})))(letter(**changes), shop)


def link(sms: Sms) -> str:
    return next(x for x in sms.text.splitlines() if "/r/" in x)


def said(sms: Sms) -> str:
    """The text with a short sign for the link."""
    return sms.text.replace(link(sms), "<link>")


def refused(**changes: Any) -> Unfit:
    with pytest.raises(Unfit) as unfit:
        rendered(**changes)
    return unfit.value


def test_a_message_says_who_what_how_much_where_and_how_to_stop() -> None:
    sms = rendered()
    assert said(sms) == "Porto: Hello Ana, you left Blue shirt in your cart (€38.98).\n<link>\nReply STOP to opt out"
    assert (sms.to, sms.message_id, sms.shown) == (NUMBER, "f" * 32, {"text": sms.text})
    token = link(sms).rpartition("/")[2]
    assert LINKS.read_recovery(token).cart_url == HOME + "/c"  # under the shop's own address, which need not be said


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ["cart", "shipping", "payment"])
@pytest.mark.parametrize("gift", [None, Gift(code="SAVE-10", until=T0 + DAY, text="10 %")])
@pytest.mark.parametrize("name", ["Ana", None])
def test_every_language_has_every_template(language: str, template: str, gift: Gift | None, name: str | None) -> None:
    items = letter().items * 3
    sms = rendered(locale=language, template=template, gift=gift, name=name, items=items)
    first, *rest, last = said(sms).splitlines()
    assert first.startswith("Porto: ")
    assert first.endswith(".")
    assert all(x in first for x in ("Blue shirt", "2", "38"))
    assert ("Ana" in first) == (name is not None)
    assert rest[-1] == "<link>"
    assert last.endswith("STOP") or "STOP" in last
    assert (len(rest) == 2 and "SAVE-10" in rest[0] and "10 %: " in rest[0]) == (gift is not None)
    assert sms.size.encoding == ("ucs-2" if language == "bg" else "gsm-7")
    assert "  " not in sms.text


def test_texts_of_a_stage_differ() -> None:
    for language in LANGUAGES:
        assert len({rendered(locale=language, template=t).text for t in ("cart", "shipping", "payment")}) == 3


def test_a_template_that_there_is_not_is_replaced_by_that_of_the_cart() -> None:
    assert rendered(template="spring-sale").text == rendered().text


@pytest.mark.parametrize(
    ("wanted", "shop", "found"),
    [
        ("de_AT", "en", "Ihrem Warenkorb"),
        (None, "pl", "koszyku"),
        ("xx", "x", "your cart"),
        ("fr", "de", "Ihrem Warenkorb"),
    ],
)
def test_language_is_the_persons_else_the_shops_else_english(wanted: str | None, shop: str, found: str) -> None:
    assert found in rendered(Shop("main", ShopProfile(title="P", locale=shop)), locale=wanted).text


@pytest.mark.parametrize(("value", "currency"), [(None, "EUR"), ("5", None), ("0", "EUR"), ("NaN", "EUR"), ("5", "")])
def test_a_total_that_is_not_known_is_not_said(value: str | None, currency: str | None) -> None:
    assert "(" not in rendered(value=value, currency=currency).text


# -- the way out ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sender", "replies"), [(SENDER, True), ("12345", True), ("MG" + "0" * 32, True), ("Porto", False), ("", False)]
)
def test_who_can_not_answer_gets_a_link_instead(sender: str, replies: bool) -> None:
    assert takes_replies(sender) == replies
    last = rendered(of={"sender": sender}).text.splitlines()[-1]
    assert last == ("Reply STOP to opt out" if replies else "Opt out: " + LINKS.unsubscribe_url(("main", PERSON)))


# -- offers and own words --------------------------------------------------------------------------------------------
def test_own_words_take_the_place_of_ours_and_keep_link_and_way_out() -> None:
    text = said(rendered(text="We kept it\r\nfor you.\u202e"))
    assert text == "Porto: We kept it for you.\n<link>\nReply STOP to opt out"


def test_the_offer_is_good_until_a_day_where_the_shop_is() -> None:
    until = T0 + DAY * 7 + 13 * 3_600_000  # 2026-11-30T23:15Z is the first of December in Berlin
    assert "10 %: Code X1 (bis 01.12.26)" in rendered(locale="de", gift=Gift(code="X1", until=until, text="10 %")).text


@pytest.mark.parametrize("code", ["", "A\nB", "A  B", "\u202eX", "x" * 101, "=?X"])
def test_a_code_that_can_not_be_sent_as_it_is_holds_the_message(code: str) -> None:
    assert refused(gift=Gift(code=code, until=T0)).reason == "unsafe_content"


def test_a_code_keeps_its_marks_even_where_they_cost_more() -> None:
    sms = rendered(gift=Gift(code="CĂRUȚ", until=T0), locale="ro")
    assert "CĂRUȚ" in sms.text
    assert sms.size.encoding == "ucs-2"


# -- length ----------------------------------------------------------------------------------------------------------
def lengths(segments: int, shop: Shop = SHOP, **changes: Any) -> str:
    return said(rendered(shop, of={"links": SHORT, "segments": segments}, **changes))


def test_the_name_of_a_product_is_shortened_before_it_goes() -> None:
    items = (Item(sku="A", name="Very long name of a shirt from Porto, blue, with sleeves and buttons"),)
    forms = []
    for length in range(1, 200):  # the longer the offer's words, the less is left for the product's name
        gift = Gift(code="A1", until=T0, text="x" * length)
        text = lengths(2, items=items, name=None, gift=gift)
        forms.append(text.partition("left ")[2].partition(" in your cart")[0])
    assert list(dict.fromkeys(forms)) == [
        "Very long name of a shirt from Porto, blue, with sleeves an...", "Very long name of a shir...", "something",
    ]  # fmt: skip


def test_products_go_first_then_the_total_then_the_name_then_the_words_of_the_offer() -> None:
    gift = Gift(code="SAVE10", until=T0 + DAY, text="Ten per cent off all shirts in our shop " * 4)
    changes: dict[str, Any] = {"gift": gift, "locale": "en", "name": "Ana"}
    seen = []
    full = rendered(of={"links": SHORT, "segments": 10}, **changes)
    for limit in range(full.size.segments, 0, -1):
        try:
            text = lengths(limit, **changes)
        except Unfit as unfit:
            assert unfit.reason == "too_long"  # noqa: PT017
            break
        seen.append([x in text for x in ("Blue shirt", "38.98", "Ana", "Ten per cent", "SAVE10", "<link>", "STOP")])
    assert seen[0] == [True] * 7
    for kept in seen:
        assert kept[4:] == [True] * 3
        assert kept[:4] == sorted(kept[:4])  # what is gone is what goes first
    assert len(seen) > 1


def test_without_room_for_the_link_nothing_is_sent() -> None:
    unfit = refused(of={"segments": 1})
    assert unfit.reason == "too_long"
    assert "CARTWAKE_SMS_SEGMENTS" in str(unfit)
    assert refused(of={"segments": 3}, text="word " * 200).reason == "too_long"


@unhurried
@given(st.text(max_size=300), st.text(max_size=80), st.text(max_size=80), st.sampled_from(LANGUAGES), st.integers(1, 6))
def test_whatever_comes_in_link_and_limit_hold(product: str, name: str, title: str, language: str, most: int) -> None:
    shop = Shop("main", ShopProfile(title=title or "P"))
    changes = {"items": (Item(sku="A", name=product),), "name": name, "locale": language}
    try:
        sms = rendered(shop, of={"segments": most}, **changes)
    except Unfit as unfit:
        assert unfit.reason == "too_long"  # noqa: PT017
        return
    assert sms.size.segments <= most
    lines = sms.text.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("https://t.shop.example.com/r/")
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in "".join(lines)}
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f") & set(sms.text)


def test_letters_without_marks_are_the_shops_choice() -> None:
    assert "Ati lasat" in rendered(locale="ro", name=None).text
    kept = rendered(of={"transliterate": False}, locale="ro", name=None)
    assert "Ați lăsat" in kept.text
    assert kept.size.segments > rendered(locale="ro", name=None).size.segments


# -- hostile input -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "Win at evil.example/x now",
        "https://evil.example",
        "http://1.2.3.4/",
        "www.evil.co.uk",
        "{{ 7*7 }}",
    ],
)
def test_a_product_brings_no_link_and_no_template(name: str) -> None:
    text = said(rendered(items=(Item(sku="A", name=name),)))
    assert "://" not in text
    assert ".example" not in text
    assert ".co" not in text
    assert "49" not in text


def test_a_name_that_is_none_is_left_out() -> None:
    assert "Hello" not in rendered(name="Visit https://evil.example").text


@pytest.mark.parametrize(
    "to", ["0170 1234567", "+4917", "+49 30 123456", "+49 900 1234567", "x", "", "+49170123456\n7;1"]
)
def test_a_number_that_takes_no_messages_holds_the_message(to: str) -> None:
    unfit = refused(to=to)
    assert unfit.reason == "invalid_address"


def test_a_number_without_a_country_is_that_of_the_shop() -> None:
    assert rendered(Shop("main", ShopProfile(phone_region="DE")), to="0170 1234567").to == NUMBER


def test_what_can_not_be_known_is_not_sent() -> None:
    assert refused(items=()).reason == "missing_value"
    shop = Shop("main", ShopProfile(url="javascript:alert(1)"))
    with pytest.raises(Unfit, match="web address"):
        rendered(shop, cart_url="ftp://x")


def folder_with(folder: Path, text: str) -> dict[str, Any]:
    (folder / "en").mkdir()
    (folder / "en" / "cart.sms.txt").write_text(text)
    return {"folder": folder}


@pytest.mark.parametrize(
    "text",
    ["{{ nothing }} {{ recovery_url }}", "{{ ''.__class__.__mro__ }}{{ recovery_url }}", "{% if %}"],
)
def test_a_template_that_is_wrong_holds_the_message(tmp_path: Path, text: str) -> None:
    assert refused(of=folder_with(tmp_path, text)).reason == "bad_template"


def test_a_template_may_not_leave_the_link_out(tmp_path: Path) -> None:
    assert refused(of=folder_with(tmp_path, "no link here")).reason == "missing_value"


def test_a_template_may_not_leave_the_code_out(tmp_path: Path) -> None:
    of = folder_with(tmp_path, "{{ recovery_url }}")
    assert rendered(of=of).text
    assert refused(of=of, gift=Gift(code="X", until=T0)).reason == "missing_value"


def test_every_language_of_texts_has_all_of_its_templates() -> None:
    for language in LANGUAGES:
        names = {p.name for p in (TEMPLATES / language).glob("*.sms.txt")}
        assert names == {"cart.sms.txt", "shipping.sms.txt", "payment.sms.txt"}


# -- call-back ---------------------------------------------------------------------------------------------------------
def test_a_message_carries_the_address_for_its_receipt() -> None:
    callbacks = Callbacks("https://t.shop.example.com/", "secret of the tests")
    url = rendered(of={"callbacks": callbacks}).callback
    start, _, token = url.rpartition("/")
    assert start == "https://t.shop.example.com/v1/sms/receipts"
    assert callbacks.read_receipt(token) == Receipt("main", PERSON, "f" * 32, "c-1")
    assert rendered().callback == ""
