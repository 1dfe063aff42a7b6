"""A push message in the shop's own words: whose they are, what holds it, and what a product can't do."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cartwake.model import Item, person_id
from cartwake.rules import PushTemplate
from cartwake.shops import Shop, ShopProfile
from reminders.letter import Letter
from reminders.person import Gift
from reminders.push.message import MOST_BYTES, MOST_TITLE, MOST_WORDS, PushRenderer
from reminders.reader import Unfit
from tests.reminders.push_service import Browser
from tests.reminders.world import ANA, DAY, HOUR, LINKS, T0

RENDER = PushRenderer(links=LINKS)
TARGET = Browser().at("https://push.example.com/x")
SHIRT = Item(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.99"))
BODY = "Blue shirt, €39.98. Porto has kept your cart."


def letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "key": ("main", person_id(ANA)), "plan_id": "f" * 32, "cart_id": "c-1", "to": TARGET.endpoint, "written_at": T0,
        "left_at": T0 - 2 * HOUR, "channel": "push", "push": TARGET, "name": "Ana", "locale": None, "stage": "cart",
        "items": (SHIRT, SHIRT), "units": 4, "value": "39.98", "currency": "EUR",
        "cart_url": "https://shop.example.com/cart/1",
    }  # fmt: skip
    return Letter(**(values | changes))


def shop(**templates: PushTemplate) -> Shop:
    """`cart__de_AT=…` is the setting `push-template:cart.de-AT`."""
    own = {key.replace("__", ".").replace("_", "-"): template for key, template in templates.items()}
    return Shop("main", ShopProfile(title="Porto"), push_templates=own)


def said(title: str = "", body: str = "", **changes: Any) -> tuple[str, str]:
    found = json.loads(RENDER(letter(**changes), shop(cart=PushTemplate(title, body))).payload)
    return found["title"], found.get("body", "")


def held(title: str = "", body: str = "", **changes: Any) -> Unfit:
    with pytest.raises(Unfit) as unfit:
        said(title, body, **changes)
    return unfit.value


# -- whose words ----------------------------------------------------------------------------------------------------
def test_a_part_that_is_left_out_is_the_built_in_one() -> None:
    body = "Blue shirt and 1 more, €39.98. Porto has kept your cart."
    assert said("{{ name }}, still yours") == ("Ana, still yours", body)
    assert said(body="{{ item.name }}\n + {{ others }}") == ("Still thinking it over?", "Blue shirt + 1")


def test_a_template_has_every_value_that_the_check_promises() -> None:
    names = (
        "template", "language", "shop.title", "shop.url", "name", "step", "stage", "others", "units", "total",
        "item.name", "item.quantity", "item.count", "item.price", "item.amount", "gift.code", "gift.text", "gift.until",
    )  # fmt: skip
    gift = Gift(code="SAVE-10", until=T0 + DAY, text="10 %")
    _, body = said(body="{% if again %}{% endif %}" + " ".join("{{ " + name + " }}" for name in names), gift=gift)
    assert body == (
        "cart en Porto https://shop.example.com Ana 1 cart 1 4 €39.98 Blue shirt 2 2 €19.99 €39.98 SAVE-10 10 % "
        "Nov 24, 2026"
    )


@pytest.mark.parametrize(
    ("locale", "title"),
    [("de-AT", "Austria"), ("de-CH", "German"), ("de", "German"), ("ja", "Japan"), ("en", "all"), ("pl", "all")],
)
def test_the_template_of_the_country_counts_then_that_of_the_language_then_that_of_all(locale: str, title: str) -> None:
    names = {"cart__de_AT": "Austria", "cart__de": "German", "cart": "all", "cart__ja": "Japan"}
    at = shop(**{name: PushTemplate(text) for name, text in names.items()})
    assert RENDER(letter(locale=locale), at).title == title


def test_without_a_template_of_its_own_a_language_has_the_built_in_one() -> None:
    at = shop(cart__de=PushTemplate("Deutsch"))
    assert RENDER(letter(locale="de", template="payment"), at).title == "Nur ein Schritt fehlte noch"
    assert RENDER(letter(locale="pl"), at).title == "Jeszcze się zastanawiasz?"


def test_a_name_of_the_shops_own_is_a_template_with_the_body_of_the_cart() -> None:
    at = shop(spring__en=PushTemplate("Spring"))
    push = RENDER(letter(template="spring", items=(SHIRT,)), at)
    assert (push.title, push.body) == ("Spring", BODY)
    with pytest.raises(Unfit, match="no template spring"):
        RENDER(letter(template="spring", locale="pl"), at)


def test_what_staff_write_by_hand_is_the_body() -> None:
    assert said("Mine", "of the template", text="Held\nfor you") == ("Mine", "Held for you")


def test_what_takes_the_place_of_a_message_has_words_of_its_own() -> None:
    at = shop(thanks__de=PushTemplate("Danke, {{ name|default('Sie') }}!"), cart=PushTemplate("no"))
    bare = letter(locale="de", items=(), value=None, currency=None, cart_url=None, name=None)
    push = RENDER.replacement(bare, at)
    assert (push.title, push.body) == ("Danke, Sie!", "Sie ist bei Porto eingegangen.")
    assert json.loads(push.payload)["quiet"] is True


# -- what holds it --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "changes", "name"),
    [
        ("{{ name }}", {"name": None}, "name"),
        ("{{ total }}", {"value": None}, "total"),
        ("{{ item.price }}", {"items": (Item(sku="A1"),)}, "item.price"),
        ("{{ gift.code }}", {}, "gift"),
    ],
)
def test_a_missing_value_holds_the_message_with_part_and_line(source: str, changes: dict[str, Any], name: str) -> None:
    for part in ("title", "body"):
        unfit = held(**{part: "a\n" + source}, **changes)
        assert unfit.reason == "missing_value"
        assert f"(cart, {part}, line 2): {name} is not known" in str(unfit)
    assert said("{% if " + name + " %}no{% else %}yes{% endif %}", **changes)[0] == "yes"


def test_a_title_of_nothing_holds_the_message() -> None:
    assert "a notification has to have one" in str(held("{% if again %}x{% endif %}"))


def test_the_code_of_an_offer_stands_in_title_or_body_or_the_message_is_held() -> None:
    gift = Gift(code="SAVE-10", until=T0 + DAY)
    assert said("{{ gift.code }}", "for you", gift=gift) == ("SAVE-10", "for you")
    assert "leaves out the offer's code" in str(held("Yours", "for you", gift=gift))
    assert held("t" * MOST_TITLE + "{{ gift.code }}", "x", gift=gift).reason == "too_long"


@pytest.mark.parametrize("source", ["{{ name", "{{ discount }}", "{{ range(9) }}", "{{ recovery_url }}"])
def test_a_template_that_nobody_checked_holds_the_message(source: str) -> None:
    assert held(source).reason == held(body=source).reason == "bad_template"


# -- length and hostile input ---------------------------------------------------------------------------------------
def test_title_and_body_are_cut_at_their_lengths() -> None:
    title, body = said("t" * 200, "b" * 900)
    assert (len(title), len(body)) == (MOST_TITLE, MOST_WORDS)
    assert title[-1] == body[-1] == "…"


@pytest.mark.parametrize(
    "name", ["\u202egum\u202c", "a\r\nb", "\x00\x1b[31m", "{{ 7 * 7 }}", '"}, "url": "x', "<b>x</b>"]
)
def test_a_hostile_product_stays_text(name: str) -> None:
    for text in said("{{ item.name }}", "{{ item.name }}", items=(Item(sku="A1", name=name),)):
        assert text
        assert not set("\u202e\u202c\r\n\x00\x1b") & set(text)
        assert "49" not in text


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400), st.text(max_size=80))
def test_no_message_is_too_large_whatever_is_in_it(product: str, name: str) -> None:
    at = shop(cart=PushTemplate("{{ item.name }} " * 20 + "!", "{{ item.name }}{{ name|default('') }}" * 30))
    push = RENDER(letter(items=(Item(sku="A1", name=product * 5),), name=name), at)
    assert len(push.payload) <= MOST_BYTES
    assert "\n" not in push.title + push.body
