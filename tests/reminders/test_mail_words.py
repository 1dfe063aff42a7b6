"""What a mail says and how it looks: five languages, three templates, codes, products, own words, light and dark."""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import lxml.html
import msgspec
import pytest
from lxml.html import HtmlElement

from cartwake.model import Item
from cartwake.rules import MailTemplate
from cartwake.templating import MOST_HTML, SAMPLE, check
from reminders.person import Gift
from reminders.reader import TEMPLATES, Unfit, speech_for
from reminders.words import catalogues, speech_of
from tests.reminders.contrast import contrast
from tests.reminders.test_mail_render import LANGUAGES, RENDER, SHOP, letter, mail, with_template
from tests.reminders.test_mail_render import SHIRT as PLAIN_SHIRT
from tests.reminders.world import DAY, T0

GIFT = Gift(code="FREE-7K2P", until=T0 + 7 * DAY)
BELT = Item(sku="p", price=Decimal("9.5"), image="https://i.example.com/b.jpg", url="https://porto.example.com/b")
PRODUCTS = tuple(msgspec.structs.replace(BELT, name=f"Belt {n}") for n in range(6))
SHIRT = msgspec.structs.replace(PLAIN_SHIRT, url="https://porto.example.com/shirt")
EVERYTHING: dict[str, Any] = {"gift": GIFT, "products": PRODUCTS, "items": (SHIRT,) * 11}


# -- words ----------------------------------------------------------------------------------------------------------
def test_there_are_words_in_five_languages_and_all_say_the_same_things() -> None:
    assert tuple(sorted(catalogues())) == LANGUAGES
    english = catalogues()["en"]
    for language, words in catalogues().items():
        assert {s: set(words[s]) for s in words} == {s: set(english[s]) for s in english}, language
        for section, key, word in _words(words):
            assert _fields(word) <= _fields(english[section][key]) | {"n"}, (language, section, key)
            assert word.strip() == word != "", (language, section, key)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_plural_form_of_a_language_is_there_and_no_other(language: str) -> None:
    speech = speech_of(language)
    assert speech is not None
    for section, key, word in [(s, k, w) for s, words in speech.words.items() for k, w in words.items()]:
        if isinstance(word, dict):
            assert set(word) == {*speech.locale.plural_form.tags, "other"}, (section, key)
            assert all(_fields(form) == {"n"} for form in word.values())


@pytest.mark.parametrize(
    ("language", "number", "words"),
    [
        ("de", 1, "und 1 weiterer Artikel"), ("de", 2, "und 2 weitere Artikel"),
        ("en", 1, "and 1 more item"), ("en", 1000, "and 1,000 more items"),
        ("bg", 1, "и още 1 артикул"), ("bg", 21, "и още 21 артикула"),
        ("pl", 1, "i jeszcze 1 produkt"), ("pl", 3, "i jeszcze 3 produkty"), ("pl", 5, "i jeszcze 5 produktów"),
        ("pl", 12, "i jeszcze 12 produktów"), ("pl", 22, "i jeszcze 22 produkty"),
        ("ro", 1, "și încă 1 produs"), ("ro", 2, "și încă 2 produse"), ("ro", 19, "și încă 19 produse"),
        ("ro", 20, "și încă 20 de produse"), ("ro", 101, "și încă 101 produse"),
    ],
)  # fmt: skip
def test_numbers_take_the_plural_form_of_the_language(language: str, number: int, words: str) -> None:
    speech = speech_of(language)
    assert speech is not None
    assert speech.count("mail", "more", number) == words


def _words(words: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for section, keys in words.items():
        for key, word in keys.items():
            for form in word.values() if isinstance(word, dict) else (word,):
                yield section, key, form


def _fields(word: Any) -> set[str]:
    forms = word.values() if isinstance(word, dict) else (word,)
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


# -- what each template says ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", ["cart", "shipping", "payment"])
def test_every_template_speaks_every_language(language: str, template: str) -> None:
    written = mail(locale=language, template=template, stage=template, step=2, again=True, **EVERYTHING)
    assert f'lang="{language}"' in written.html
    for part in (written.html, written.text, written.subject):
        assert not re.search(r"\{|\}|None|Undefined", re.sub(r"<style>.*?</style>", "", part, flags=re.S))
    for part in (written.html, written.text):
        assert "FREE-7K2P" in part
        assert "Belt 3" in part
        assert "Belt 4" not in part
    assert len(written.html.encode()) < 30_000


@pytest.mark.parametrize("language", LANGUAGES)
def test_free_shipping_is_promised_with_a_code_for_it_and_never_without(language: str) -> None:
    promise = catalogues()[language]["offer"]["shipping"]
    bare, with_code = (mail(locale=language, template="shipping", stage="shipping", gift=gift) for gift in (None, GIFT))
    assert promise in with_code.subject
    for bare_part, part in ((bare.html, with_code.html), (bare.text, with_code.text)):
        assert promise in part
        assert promise not in bare_part
        assert "FREE-7K2P" in part


def test_what_a_code_is_good_for_is_said_in_the_shops_words_if_it_has_any() -> None:
    own = msgspec.structs.replace(GIFT, text="15 % auf alles <b>")
    written = mail(locale="de", template="shipping", stage="shipping", gift=own)
    assert "15 % auf alles &lt;b&gt;" in written.html
    assert "Kostenloser Versand" not in written.html + written.text
    assert written.subject.startswith("15 % auf alles <b>: Blue shirt")


def test_a_code_is_valid_until_a_time_where_the_shop_is() -> None:
    sofia = msgspec.structs.replace(SHOP, profile=msgspec.structs.replace(SHOP.profile, time_zone="Europe/Sofia"))
    assert "30. November 2026, 12:15" in mail(sofia, locale="de", gift=GIFT).text
    assert "30. November 2026, 10:15" in mail(SHOP, locale="de", gift=GIFT).text


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_is_offered_where_the_payment_was_missing(language: str) -> None:
    words = catalogues()[language]["mail"]["help"]
    assert words in mail(locale=language, template="payment").text
    assert words not in mail(locale=language, template="cart").text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_later_reminder_has_words_of_its_own(language: str) -> None:
    first, second, third = (mail(locale=language, step=step, again=step > 1) for step in (1, 2, 3))
    assert first.subject != second.subject == third.subject
    assert first.text != second.text


def test_own_words_of_the_staff_stand_for_the_introduction_line_by_line_and_escaped() -> None:
    text = "Dear <Ana>,\r\nthe shirt is back.\n\nMaria\u202e {{ name }}"
    written = mail(text=text, name="Ana")
    assert "Dear &lt;Ana&gt;,<br>the shirt is back.<br><br>Maria {{ name }}</p>" in written.html
    assert "Dear <Ana>,\nthe shirt is back.\n\nMaria {{ name }}\n" in written.text
    assert "Hello" not in written.text
    assert len(mail(text="x\n" * 1_000).html) < 20_000


def test_products_without_pictures_or_prices_leave_no_gap() -> None:
    written = mail(products=(Item(sku="p1"), Item(sku="p2", image="javascript:x", url="data:x")))
    assert "p1" in written.text
    assert written.html.count("<img") == 1
    assert "data:x" not in written.html


# -- language and template ------------------------------------------------------------------------------------------
def test_the_reader_is_spoken_to_in_one_language_throughout() -> None:
    german = msgspec.structs.replace(SHOP, profile=msgspec.structs.replace(SHOP.profile, locale="de-AT"))
    for wanted, shop, language in (
        ("pl_PL", german, "pl"), ("ja", german, "de"), (None, german, "de"), ("ja", SHOP, "en"), ("x" * 35, SHOP, "en"),
    ):  # fmt: skip
        assert speech_for(letter(locale=wanted), shop).language == language
    assert "2026年" not in mail(german, locale="ja").text


def test_a_shops_own_template_counts_in_its_language_and_one_without_a_language_in_all() -> None:
    shop = msgspec.structs.replace(
        SHOP,
        templates={
            "cart.de": MailTemplate(subject="Nur deutsch"),
            "cart": MailTemplate(subject="{{ words.lead }}"),
        },
    )  # fmt: skip
    assert mail(shop, locale="de").subject == "Nur deutsch"
    assert mail(shop, locale="ro").subject == "Ai lăsat aceste produse la noi, iar noi ți le-am păstrat."
    assert mail(shop, locale="de", template="payment").subject.startswith("Es fehlt nur noch")
    assert "Summe" in mail(shop, locale="de").text


def test_a_template_for_a_country_comes_before_that_of_the_language() -> None:
    own = {"cart.de-AT": MailTemplate(subject="Servus"), "cart.ar-EG": MailTemplate(subject="EG")}
    shop = msgspec.structs.replace(SHOP, templates=own)
    assert mail(shop, locale="de_AT").subject == "Servus"
    assert mail(shop, locale="de-CH").subject.startswith("Noch in Ihrem Warenkorb")
    assert (mail(shop, locale="ar-EG").subject, speech_for(letter(locale="ar"), shop).language) == ("EG", "en")


def test_a_template_in_a_language_without_words_of_ours_is_used_with_its_money_and_dates() -> None:
    written = mail(with_template("cart.ar", text="{{ total }} {{ direction }}"), locale="ar-EG")
    assert written.text.split()[-1] == "rtl"
    assert 'dir="rtl"' in written.html


def test_a_template_that_is_nowhere_holds_the_mail() -> None:
    with pytest.raises(Unfit, match="no template 'vip' for en") as held:
        mail(template="vip")
    assert held.value.reason == "no_template"
    assert mail(with_template("vip", subject="For you"), template="vip").subject == "For you"


def test_a_template_that_grows_too_long_holds_the_mail() -> None:
    shop = with_template(
        "cart", text="{% for x in items %}{% for y in items %}" + "x" * 1_000 + "{% endfor %}{% endfor %}"
    )
    assert len(mail(shop).text) == 1_001
    with pytest.raises(Unfit, match="longer than 50,000") as held:
        mail(shop, items=(SHIRT,) * 8)
    assert held.value.reason == "too_long"
    wide = with_template("cart", html="ж" * 30_000 + "{{ name }}")
    assert len(mail(wide).html) < MOST_HTML
    with pytest.raises(Unfit, match="longer than 100,000 bytes"):
        mail(with_template("cart", html="ж" * 60_000))


def test_the_sample_has_exactly_what_a_mail_has() -> None:
    everything = letter(template="payment", text="x", **EVERYTHING)
    values = RENDER.values(everything, SHOP, speech_for(everything, SHOP))
    assert _shape(values) == _shape(SAMPLE)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    return [_shape(value[0]), len(value)] if isinstance(value, list) else type(value)


def test_the_built_in_design_is_one_that_a_shop_could_have_written() -> None:
    check(MailTemplate(html=(TEMPLATES / "layout.html").read_text(), text=(TEMPLATES / "layout.txt").read_text()))


def test_no_reader_sees_the_cart_of_another() -> None:
    ana = mail(items=(SHIRT,), name="Ana")
    eve = mail(items=(msgspec.structs.replace(SHIRT, name="Red hat"),), name="Eve", text="For Eve")
    again = mail(items=(SHIRT,), name="Ana")
    assert (again.html, again.text) == (ana.html, ana.text)
    assert "Blue shirt" not in eve.html
    assert "For Eve" not in ana.html


# -- how it looks ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Spot:
    """A text and the colours it has."""

    words: str
    colour: str
    ground: str


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read_in_light_and_dark(dark: bool) -> None:
    html = mail(template="payment", text=None, **EVERYTHING).html
    spots = list(_spots(html, dark=dark))
    assert len({(s.colour, s.ground) for s in spots}) >= 6
    assert any(s.words == "Finish your order" for s in spots)
    for spot in spots:
        assert contrast(spot.colour, spot.ground) >= 4.5, spot


def test_the_mail_is_built_of_tables_that_say_they_are_no_data_and_pictures_have_words() -> None:
    page = lxml.html.fromstring(mail(template="payment", **EVERYTHING).html)
    assert page.get("lang") == "en"
    assert all(table.get("role") == "presentation" for table in page.iter("table"))
    assert all(image.get("alt") and image.get("width") and image.get("height") for image in page.iter("img"))
    assert [h.tag for h in page.iter("h1", "h2")] == ["h1", "h2"]
    assert page.find(".//meta[@name='color-scheme']").get("content") == "light dark"


def test_outlook_gets_a_width_and_its_comments_are_left_whole() -> None:
    html = mail().html
    assert '<!--[if mso]><table role="presentation" width="600"' in html
    assert html.count("<!--[if mso]>") == html.count("<![endif]-->") == 3
    assert re.search(r'class="button text"[^>]*mso-padding-alt: 15px 28px', html)


def _spots(html: str, *, dark: bool) -> Iterator[Spot]:
    page = lxml.html.fromstring(html)
    rules = _dark_rules(html) if dark else []
    for element in page.body.iter():
        words = [element.text, *(child.tail for child in element)] if isinstance(element.tag, str) else []
        text = " ".join("".join(w or "" for w in words).split()) or element.get("alt", "")
        style = element.get("style", "")
        if not text or "preview" in element.get("class", ""):
            continue
        yield Spot(text, _seen(element, "color", rules), _seen(element, "background-color", rules))
        assert "display: none" not in style


def _seen(element: HtmlElement, name: str, rules: list[tuple[list[str], dict[str, str]]]) -> str:
    """The value of a property: of the element or the nearest around it that has one."""
    at: HtmlElement | None = element
    while at is not None:
        value = dict(re.findall(r"([\w-]+):\s*([^;]+)", at.get("style", ""))).get(name)
        for selector, declared in rules:
            if name in declared and _fits(at, selector):
                value = declared[name]
        if value is not None:
            return value.strip()
        at = at.getparent()
    raise AssertionError(f"no {name}")


def _dark_rules(html: str) -> list[tuple[list[str], dict[str, str]]]:
    block = html.partition("@media (prefers-color-scheme: dark) {")[2].partition("\n}\n")[0]
    found = []
    for selectors, body in re.findall(r"([^{}]+)\{([^{}]+)\}", block):
        declared = {k: v.replace("!important", "").strip() for k, v in re.findall(r"([\w-]+):([^;]+)", body)}
        if "border-color" in declared:
            declared.pop("border-color")
        found += [(selector.split(), declared) for selector in selectors.split(",")]
    assert len(found) > 10
    return sorted(found, key=lambda rule: sum(10 if part[0] == "." else 1 for part in rule[0]))


def _fits(element: HtmlElement, selector: list[str]) -> bool:
    *around, last = selector
    if not _is(element, last):
        return False
    return not around or any(_is(outer, around[-1]) for outer in element.iterancestors())


def _is(element: HtmlElement, part: str) -> bool:
    return part[1:] in element.get("class", "").split() if part[0] == "." else element.tag == part
