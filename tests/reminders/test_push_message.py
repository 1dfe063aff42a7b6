"""The push message: words in five languages, never too large, hostile texts stay texts; and what replaces it."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cartwake.model import Item, PushTarget, person_id
from cartwake.shops import Shop, ShopProfile
from reminders.letter import Letter
from reminders.links import HOME, Links
from reminders.person import Gift
from reminders.push.message import MOST_BYTES, Push, PushRenderer, tag_of
from reminders.reader import Unfit
from tests.reminders.push_service import Browser
from tests.reminders.world import ANA, DAY, HOUR, LINKS, T0

RENDER = PushRenderer(links=LINKS)
SHOP = Shop("main", ShopProfile(title="Porto & Daughters", url="https://porto.example.com"))
SHIRT = Item(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.99"), image="https://img.example.com/a.jpg")
TARGET = Browser().at("https://push.example.com/x")
LANGUAGES = ("en", "de", "ro", "bg", "pl")


def letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "key": ("main", person_id(ANA)), "plan_id": "f" * 32, "cart_id": "c-1", "to": TARGET.endpoint, "written_at": T0,
        "left_at": T0 - 2 * HOUR, "channel": "push", "push": TARGET, "name": "Ana", "locale": None, "stage": "cart",
        "items": (SHIRT,), "units": 2, "value": "39.98", "currency": "EUR", "cart_url": "https://porto.example.com/cart/1",
    }  # fmt: skip
    return Letter(**(values | changes))


def content(push: Push) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(push.payload)
    return found


# -- what the browser is told --------------------------------------------------------------------------------------
def test_a_message_has_words_a_picture_a_link_and_a_tag() -> None:
    push = RENDER(letter(), SHOP)
    said = content(push)
    recovery = LINKS.read_recovery(said["url"].rpartition("/")[2])
    assert (recovery.cart_url, recovery.plan_id) == (HOME + "/cart/1", "f" * 32)
    assert said == {
        "cartwake": 1,
        "title": "Still thinking it over?",
        "body": "Blue shirt, €39.98. Porto & Daughters has kept your cart.",
        "image": "https://img.example.com/a.jpg",
        "url": said["url"],
        "tag": push.topic,
    }
    assert push.target == TARGET
    assert push.shown == {"subject": said["title"], "text": said["body"]}


def test_messages_about_one_cart_share_their_tag_and_others_do_not() -> None:
    first, second = RENDER(letter(), SHOP), RENDER(letter(plan_id="e" * 32, step=2, template="payment"), SHOP)
    assert first.topic == second.topic == content(second)["tag"] == tag_of("main", "c-1")
    others = {RENDER(letter(cart_id="c-2"), SHOP).topic, RENDER(letter(key=("b", person_id(ANA))), SHOP).topic}
    assert first.topic not in others
    assert len(first.topic) == 32


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_words_of_its_own_for_each_template(language: str) -> None:
    titles, bodies = set(), set()
    for template in ("cart", "shipping", "payment"):
        said = content(RENDER(letter(template=template, locale=language, items=(SHIRT, SHIRT, SHIRT)), SHOP))
        titles.add(said["title"])
        bodies.add(said["body"])
        assert "Blue shirt" in said["body"]
        assert "2" in said["body"].partition("39")[0]
    thanks = content(RENDER.replacement(letter(locale=language), SHOP))
    assert len(titles | {thanks["title"]}) == 4
    assert len(bodies | {thanks["body"]}) == 4
    if language != "en":
        english = {content(RENDER(letter(template=t), SHOP))["title"] for t in ("cart", "shipping", "payment")}
        assert not titles & english


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_second_reminder_says_something_else_and_an_offer_says_its_code_and_end(language: str) -> None:
    first, second = (content(RENDER(letter(locale=language, step=n, again=n > 1), SHOP)) for n in (1, 2))
    assert first["title"] != second["title"]
    gift = Gift(code="SAVE-10", until=T0 + DAY, text="10 %")
    offered = content(RENDER(letter(locale=language, gift=gift), SHOP))["body"]
    assert "10 %: SAVE-10" in offered
    assert "24" in offered
    bare = content(RENDER(letter(locale=language, gift=Gift(code="SAVE-10", until=T0 + DAY)), SHOP))["body"]
    assert " SAVE-10," in bare
    assert ": SAVE-10" not in bare


def test_the_readers_language_comes_before_the_shops() -> None:
    german = msgspec.structs.replace(SHOP, profile=msgspec.structs.replace(SHOP.profile, locale="de-AT"))
    assert content(RENDER(letter(), german))["title"] == "Noch am Überlegen?"
    assert content(RENDER(letter(locale="pl"), german))["title"] == "Jeszcze się zastanawiasz?"
    assert content(RENDER(letter(locale="ja"), german))["title"] == "Noch am Überlegen?"
    assert content(RENDER(letter(locale="../../x"), SHOP))["title"] == "Still thinking it over?"


def test_own_words_replace_the_body() -> None:
    assert content(RENDER(letter(text="We hold it\r\nuntil Friday."), SHOP))["body"] == "We hold it until Friday."


# -- what is missing -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"items": ()}, "missing_value"),
        ({"push": None}, "no_address"),
        ({"template": "spring"}, "no_template"),
        ({"template": "../en/cart"}, "no_template"),
    ],
)
def test_a_message_that_can_not_be_made_is_held_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unfit) as held:
        RENDER(letter(**changes), SHOP)
    assert held.value.reason == reason


def test_without_any_web_address_there_is_no_message() -> None:
    nowhere = Shop("main", ShopProfile(url="javascript:alert(1)"))
    with pytest.raises(Unfit, match="web address"):
        RENDER(letter(cart_url="data:text/html,x"), nowhere)


def test_a_missing_price_leaves_no_gap() -> None:
    said = content(RENDER(letter(value=None, currency=None, items=(Item(sku="A1"),)), SHOP))
    assert said["body"] == "A1. Porto & Daughters has kept your cart."
    assert "image" not in said


def test_a_picture_that_is_not_https_is_left_out() -> None:
    for image in ("http://img.example.com/a.jpg", "javascript:alert(1)", "data:image/png;base64,AA"):
        assert "image" not in content(RENDER(letter(items=(msgspec.structs.replace(SHIRT, image=image),)), SHOP))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("{{ ''.__class__.__mro__ }}", "bad_template"),
        ("{{ discount }}", "bad_template"),
        ("{% if %}", "bad_template"),
        ("{{ 1 / 0 }}", "missing_value"),
    ],
)
def test_a_template_that_fails_or_reaches_out_holds_the_message(words: str, reason: str, tmp_path: Any) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "cart.push.txt").write_text(f"Title\n{words}")
    with pytest.raises(Unfit) as held:
        PushRenderer(links=LINKS, folder=tmp_path)(letter(), SHOP)
    assert held.value.reason == reason


# -- size ----------------------------------------------------------------------------------------------------------
@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400), st.text(max_size=400), st.integers(0, 1_900), st.integers(0, 1_900))
def test_no_message_is_too_large_whatever_is_in_it(name: str, title: str, address: int, picture: int) -> None:
    shop = Shop("main", ShopProfile(title=title, url="https://porto.example.com"))
    image = "https://img.example.com/" + "i" * picture
    push = RENDER(
        letter(
            items=(Item(sku="A1", name=name * 5, image=image),),
            cart_url="https://porto.example.com/" + "c" * address,
        ),
        shop,
    )
    said = content(push)
    assert len(push.payload) <= MOST_BYTES
    assert said["url"].startswith("https://t.shop.example.com/r/")
    assert "\n" not in said["title"] + said["body"]


def test_a_cart_address_too_long_for_a_message_leads_to_the_shop() -> None:
    said = content(RENDER(letter(cart_url="https://porto.example.com/" + "c" * 1_900), SHOP))
    assert LINKS.read_recovery(said["url"].rpartition("/")[2]).cart_url == HOME


def test_a_picture_goes_first_and_the_words_are_cut_last() -> None:
    long = Links("https://t.shop.example.com/" + "l" * 1_400, "s")
    image = "https://img.example.com/" + "i" * 1_500
    said = content(PushRenderer(links=long)(letter(items=(msgspec.structs.replace(SHIRT, image=image),)), SHOP))
    assert "image" not in said
    assert said["body"] == "Blue shirt, €39.98. Porto & Daughters has kept your cart."


def test_a_code_is_never_cut_off() -> None:
    gift = Gift(code="C" * 100, until=T0 + DAY, text="t" * 60)
    wide = "\U0001f455" * 60
    shop = Shop("main", ShopProfile(title="\U0001f3ec" * 60, url="https://porto.example.com/" + "u" * 400))
    said = content(RENDER(letter(gift=gift, items=(Item(sku="A1", name=wide),)), shop))
    assert gift.code in said["body"]
    with pytest.raises(Unfit) as held:
        RENDER(letter(gift=gift, text=wide), shop)
    assert held.value.reason == "too_long"


def test_words_are_cut_where_they_leave_no_room_for_the_link() -> None:
    wide = letter(text="\U0001f455" * 400, cart_url="https://porto.example.com/" + "c" * 1_100)
    push = RENDER(wide, SHOP)
    said = content(push)
    assert len(push.payload) <= MOST_BYTES
    assert LINKS.read_recovery(said["url"].rpartition("/")[2]).cart_url == HOME + (wide.cart_url or "").removeprefix(
        "https://porto.example.com"
    )
    assert said["body"] == push.body == "\U0001f455" * 269 + "…"


@pytest.mark.parametrize("text", ["\u202egum\u202c", "a\r\nb", "\x00\x1b[31m", "{{ 7 * 7 }}", "<b>x</b>"])
def test_hostile_names_stay_text(text: str) -> None:
    said = content(RENDER(letter(items=(msgspec.structs.replace(SHIRT, name=text),)), SHOP))
    assert not set("\u202e\u202c\r\n\x00\x1b") & set(said["body"])
    assert "49" not in said["body"]


# -- after a purchase ----------------------------------------------------------------------------------------------
def test_a_replacement_takes_the_place_of_the_message_without_a_sound() -> None:
    shown, after = RENDER(letter(), SHOP), RENDER.replacement(letter(), SHOP)
    said = content(after)
    assert said == {
        "cartwake": 1,
        "title": "Thank you for your order",
        "body": "Porto & Daughters has received it.",
        "tag": content(shown)["tag"],
        "url": "https://porto.example.com",
        "quiet": True,
    }
    assert (after.topic, after.target) == (shown.topic, shown.target)
    assert after.message_id != shown.message_id


def test_a_replacement_needs_nothing_that_is_gone_after_the_purchase() -> None:
    bare = letter(items=(), value=None, currency=None, cart_url=None, name=None)
    assert content(RENDER.replacement(bare, Shop("main", ShopProfile(url="")))).get("url") is None


def test_a_replacement_without_its_browser_is_not_made() -> None:
    with pytest.raises(Unfit):
        RENDER.replacement(letter(push=None), SHOP)


def test_a_target_is_not_in_what_is_printed() -> None:
    secret = PushTarget("https://push.example.com/secret", TARGET.p256dh, TARGET.auth)
    assert "secret" not in repr(RENDER(letter(push=secret), SHOP))
