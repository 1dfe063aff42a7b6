"""A text message in the shop's own words: whose they are, what is never left out, and what a product can't do."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.model import Item
from cartwake.rules import SmsTemplate
from cartwake.shops import Shop, ShopProfile
from cartwake.short_templates import SMS_SAMPLE
from reminders.links import Links
from reminders.person import Gift
from reminders.reader import Unfit
from reminders.sms.render import Sms, SmsRenderer
from tests.reminders.texts import PERSON, SENDER, letter, unhurried
from tests.reminders.world import DAY, T0

LINKS = Links("https://t.example.com", "secret of the tests")
WAY_OUT = LINKS.unsubscribe_url(("main", PERSON))
STOP = "Reply STOP to opt out"
GIFT = Gift(code="SAVE-10", until=T0 + DAY, text="10 % off")


def shop(*, title: str = "Porto", locale: str = "en", **templates: str) -> Shop:
    """`cart__de_AT="…"` is the setting `sms-template:cart.de-AT`."""
    own = {key.replace("__", ".").replace("_", "-"): SmsTemplate(text) for key, text in templates.items()}
    return Shop("main", ShopProfile(title=title, locale=locale), sms_templates=own)


def rendered(at: Shop, *, sender: str = SENDER, segments: int = 10, plain: bool = True, **changes: Any) -> Sms:
    render = SmsRenderer(links=LINKS, sender=sender, segments=segments, transliterate=plain)
    return render(letter(**changes), at)


def said(source: str, **options: Any) -> str:
    """What a message of this template says, with a short sign for the link."""
    words = rendered(shop(cart=source), **options).text
    link = next(word for word in words.split() if "/r/" in word)
    return words.replace(link, "<link>")


def held(at: Shop | str, **options: Any) -> Unfit:
    with pytest.raises(Unfit) as unfit:
        rendered(shop(cart=at) if isinstance(at, str) else at, **options)
    return unfit.value


# -- whose words ----------------------------------------------------------------------------------------------------
def test_a_template_has_every_value_that_the_check_promises() -> None:
    names = "{% if again %}{% endif %}{% if stage %}{% endif %}" + " ".join(
        "{{ " + name + " }}"
        for name in (
            "template", "language", "shop.title", "shop.url", "name", "step", "stage", "others", "units", "total",
            "item.name", "item.quantity", "item.count", "item.price", "item.amount", "gift.code", "gift.text",
            "gift.until", "text", "recovery_url", "unsubscribe_url", "stop",
        )
    )  # fmt: skip
    text = said(names, text="by hand", gift=GIFT)
    assert text == (
        "cart en Porto https://shop.example.com Ana 1 cart 0 2 €38.98 Blue shirt 2 2 €19.49 €38.98 SAVE-10 10 % off "
        f"11/24/26 by hand <link> {WAY_OUT} {STOP}"
    )
    assert all(name in names for name in SMS_SAMPLE)


@pytest.mark.parametrize(
    ("locale", "whose"),
    [("de-AT", "Austria"), ("de-CH", "German"), ("de", "German"), ("en", "all"), ("pl", "all"), ("fr", "all")],
)
def test_the_template_of_the_country_counts_then_that_of_the_language_then_that_of_all(locale: str, whose: str) -> None:
    at = shop(
        cart__de_AT="Austria {{ recovery_url }}", cart__de="German {{ recovery_url }}", cart="all {{ recovery_url }}"
    )
    assert rendered(at, locale=locale).text.startswith(whose)


def test_without_a_template_of_its_own_a_language_has_the_built_in_one() -> None:
    at = shop(cart__de="Deutsch {{ recovery_url }}", payment__de="Zahlung {{ recovery_url }}")
    assert rendered(at, locale="de", template="payment").text.startswith("Zahlung")
    assert rendered(at, locale="de", template="shipping").text.startswith("Porto: Guten Tag Ana, Ihrer Bestellung")
    assert rendered(at, locale="en").text.startswith("Porto: Hello Ana, you left")


def test_a_name_that_there_is_not_is_replaced_by_the_shops_cart() -> None:
    assert rendered(shop(cart="Mine {{ recovery_url }}"), template="spring").text.startswith("Mine ")
    assert rendered(shop(spring="Spring {{ recovery_url }}"), template="spring").text.startswith("Spring ")
    assert rendered(shop(spring="Spring {{ recovery_url }}")).text.startswith("Porto: Hello")


def test_a_language_without_words_of_ours_is_spoken_by_a_template_with_its_money() -> None:
    at = shop(cart__fr="{{ total }} {{ recovery_url }}", locale="de")
    assert rendered(at, locale="fr").text.startswith("38,98 € ")  # the spaces of French money are no break spaces
    mails = msgspec.structs.replace(shop(locale="de"), templates={"cart.fr": None})
    assert rendered(mails, locale="fr").text.startswith("Porto: Guten Tag")  # a mail's template speaks for mails


def test_what_staff_write_by_hand_is_never_lost() -> None:
    assert said("{{ text|default('x') }}! {{ recovery_url }}", text="Held\nfor you") == f"Held for you! <link>\n{STOP}"
    assert said("Mine {{ recovery_url }}", text="Held for you") == f"Porto: Held for you\n<link>\n{STOP}"


# -- what is missing ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "changes", "name"),
    [
        ("{{ name }}", {"name": None}, "name"),
        ("{{ total }}", {"value": None}, "total"),
        ("{{ item.price }}", {"items": (Item(sku="A1"),)}, "item.price"),
        ("{{ gift.code }}", {}, "gift"),
        ("{{ text }}", {}, "text"),
        ("{{ gift.text }}{{ gift.code }}", {"gift": Gift(code="A", until=T0)}, "gift.text"),
    ],
)
def test_a_missing_value_holds_the_message_and_can_be_asked_for(
    source: str, changes: dict[str, Any], name: str
) -> None:
    unfit = held("a\n" + source + " {{ recovery_url }}", **changes)
    assert unfit.reason == "missing_value"
    assert f"(cart, line 2): {name} is not known" in str(unfit)
    code = "{% if gift %}{{ gift.code }}{% endif %}"
    assert said(code + "{% if " + name + " %}no{% else %}yes{% endif %} {{ recovery_url }}", **changes).partition(
        "yes"
    )[1]


def test_a_template_that_leaves_out_the_code_holds_what_has_one() -> None:
    assert "leaves out the link, or the offer's code" in str(held("{{ recovery_url }}", gift=GIFT))


@pytest.mark.parametrize("source", ["{{ name", "{{ discount }}{{ recovery_url }}", "{{ range(9) }}{{ recovery_url }}"])
def test_a_template_that_nobody_checked_holds_the_message(source: str) -> None:
    assert held(source).reason == "bad_template"


# -- the way out ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "source",
    [
        "{{ stop }}: {{ recovery_url }}",
        "{{ recovery_url }} Répondez STOP",
        "{{ recovery_url }} ({{ unsubscribe_url }})",
        "{% if item.name == 'Blue shirt' %}{{ recovery_url }} {{ stop }}{% else %}{{ recovery_url }}{% endif %}"
        "{{ unsubscribe_url }}",
    ],
)
def test_a_template_that_says_how_to_stop_gets_nothing_added(source: str) -> None:
    assert "\n" not in said(source)


@pytest.mark.parametrize(
    "source",
    ["{{ recovery_url }}", "Nonstop STOPS unstop stop {{ recovery_url }}", "{# STOP #}{{ recovery_url }}",
     "{% if step > 1 %}STOP {% endif %}{{ recovery_url }}", "{{ stop|truncate(9) }} {{ recovery_url }}"],
)  # fmt: skip
def test_the_way_out_is_added_where_the_template_leaves_it_out(source: str) -> None:
    assert said(source).endswith("\n" + STOP)
    assert rendered(shop(cart__ro=source), locale="ro").text.endswith("\nDezabonare: raspundeti STOP")


def test_stop_is_no_way_out_where_nobody_can_answer() -> None:
    assert said("Reply STOP {{ recovery_url }}", sender="Porto").endswith("\nOpt out: " + WAY_OUT)
    assert said("{{ recovery_url }} {{ stop }}", sender="Porto").endswith("<link> Opt out: " + WAY_OUT)


@pytest.mark.parametrize(
    "changes",
    [
        {"items": (Item(sku="A", name="Reply STOP to opt out"),)},
        {"items": (Item(sku="A", name="stop"),)},
        {"items": (Item(sku="A", name="STOP sign, enamel, for the garden, 40 cm"),)},
        {"name": "STOP"},
        {"gift": Gift(code="STOP", until=T0, text="STOP")},
        {"text": "STOP"},
    ],
)
def test_a_product_a_name_or_a_shop_called_stop_is_no_way_out(changes: dict[str, Any]) -> None:
    source = (
        "{{ shop.title }} {{ name|upper }} {{ item.name|upper }} {{ item.name|truncate(5, true, '', 0) }} "
        "{{ text|default('') }} {% if gift %}{{ gift.text }}{{ gift.code }}{% endif %} {{ recovery_url }}"
    )
    assert said(source, **changes).endswith("\n" + STOP)
    assert rendered(shop(title="STOP & SHOP", cart=source)).text.endswith("\n" + STOP)


# -- length ---------------------------------------------------------------------------------------------------------
def test_what_a_template_can_do_without_is_left_out_and_the_rest_stays() -> None:
    source = (
        "{{ shop.title }} {{ item.name }} {% if total %}{{ total }} {% endif %}{% if name %}{{ name }} {% endif %}"
        + "w" * 60 + " {% if gift %}{{ gift.code }}{% if gift.text %} {{ gift.text }}{% endif %}{% endif %}\n"
        "{{ recovery_url }}\n{{ stop }}"
    )  # fmt: skip
    items = (Item(sku="A", name="A very long name of a shirt from Porto, with sleeves"),)
    gift = Gift(code="SAVE-10", until=T0 + DAY, text="o" * 150)
    long = said(source, items=items, gift=gift)
    assert "with sleeves" in long
    short = said(source, items=items, gift=gift, segments=2)
    assert "A very long name of a sh... " in short  # written bare, so it is never left out
    assert not any(text in short for text in ("38.98", "Ana", "ooo"))
    assert all(text in short for text in ("SAVE-10", "<link>", STOP))


def test_a_template_that_does_not_fit_holds_the_message() -> None:
    unfit = held("{{ name }} " + "w" * 400 + " {{ recovery_url }}", segments=3)
    assert unfit.reason == "too_long"
    assert "Shorten the template" in str(unfit)


def test_the_alphabet_of_a_template_counts() -> None:
    assert rendered(shop(cart="Ați lăsat {{ recovery_url }}")).size.encoding == "gsm-7"
    assert rendered(shop(cart="Ați lăsat {{ recovery_url }}"), plain=False).size.encoding == "ucs-2"
    assert rendered(shop(cart="🛒 {{ recovery_url }}")).size.encoding == "ucs-2"


# -- hostile input --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name", ["evil.example", "https://evil.example/x", "{{ 7*7 }}", "{% raw %}", "a\nb\r\nc", "\u202egum\x00"]
)
def test_a_product_brings_no_link_no_template_and_no_line(name: str) -> None:
    text = said("{{ item.name }} {{ recovery_url }} {{ stop }}", items=(Item(sku="A", name=name),))
    assert "://" not in text
    assert ".example" not in text
    assert "49" not in text
    assert not set("\u202e\x00\r\n") & set(text)


@unhurried
@given(st.text(max_size=300), st.text(max_size=80), st.text(min_size=1, max_size=100), st.integers(2, 6))
def test_whatever_comes_in_link_way_out_and_limit_hold(product: str, name: str, title: str, most: int) -> None:
    source = "{{ shop.title }}: {% if name %}{{ name }}, {% endif %}{{ item.name }} {{ recovery_url }}"
    try:
        sms = rendered(shop(title=title, cart=source), segments=most, name=name, items=(Item(sku="A", name=product),))
    except Unfit as unfit:
        assert unfit.reason == "too_long"  # noqa: PT017
        return
    assert sms.size.segments <= most
    assert sms.text.endswith("\n" + STOP)
    assert " https://t.example.com/r/" in sms.text
