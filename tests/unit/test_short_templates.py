"""A shop's own templates of text messages and pushes: what is refused when they are set, and with which line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import ConfigurationError
from cartwake.model import Setting
from cartwake.rules import MailTemplate, PushTemplate, SmsTemplate
from cartwake.shops import Shop, Shops, checked, parse
from cartwake.short_templates import PUSH_SAMPLE, SMS_SAMPLE, check, ready

BUILT_IN = Path(__file__).parents[2] / "reminders" / "templates"
PARTS = (("sms-template:cart", "text"), ("push-template:cart", "title"), ("push-template:cart", "body"))


def refused(name: str, part: str, source: str) -> str:
    with pytest.raises(ConfigurationError) as refusal:
        checked(name, {part: source})
    return str(refusal.value)


@pytest.mark.parametrize(("name", "part"), PARTS)
@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\nb {% if %}", 2, "Expected an expression"),
        ("a\n\n{{ name|safe }}", 3, "`safe` is not available"),
        ("a\n{{ discount }}", 2, "`discount` is not known; there are again, gift, item, language"),
        ("{% if step > 1 %}\n{{ discount }}{% endif %}", 2, "`discount` is not known"),
        ("{{ unsubscribe }}", 1, "`unsubscribe` is not known"),
        ("\n{{ item.colour }}", 2, "no attribute 'colour'"),
        ("{{ gift }}", 1, "not a text or a number"),
        ("{% for x in items %}{{ x.name }}{% endfor %}", 1, "`items` is not known"),
    ],
)
def test_a_mistake_is_named_with_its_part_and_line(name: str, part: str, source: str, line: int, words: str) -> None:
    said = refused(name, part, source)
    assert said.startswith(f"setting {name}: {part}: line {line}: ")
    assert words in said


@pytest.mark.parametrize(("name", "part"), PARTS)
@pytest.mark.parametrize(
    ("bomb", "words"),
    [
        ("{{ range(10**9) }}", "calling a function"),
        ("{{ 'x' * 10**9 }}", "`**`"),
        ("{{ 'ab' * units }}", "is for numbers up to"),
        ("{{ item.name|center(1000000000) }}", "`center` is not available"),
        ("{% set x = name ~ name %}", "write the values one after the other"),
        ("{% set x %}{{ name }}{{ name }}{% endset %}", "a set block"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "a macro"),
        ("{% include 'en/cart.sms.txt' %}", "`include` is not available"),
        ("{{ ''.__class__.__mro__ }}", "`__mro__` is not available"),
        ("{% for a in [1, 2, 3, 4, 5, 6, 7, 8, 9] %}" * 5 + "x" + "{% endfor %}" * 5, "steps, more than 5,000"),
        ("{% for a in [1, 2, 3, 4, 5, 6, 7, 8, 9] %}" * 2 + "x" * 60 + "{% endfor %}" * 2, "longer than 4,000"),
        ("{{ " + "-" * 900 + "1 }}", "deep"),
    ],
    ids=lambda text: text[:30],
)
def test_a_template_that_could_hold_up_the_process_or_fill_it_is_refused(
    name: str, part: str, bomb: str, words: str
) -> None:
    assert words in refused(name, part, bomb)


def test_a_text_message_without_the_way_to_the_cart_is_refused() -> None:
    for source in ("Your cart", "{% if step > 1 %}{{ recovery_url }}{% endif %}", "{# {{ recovery_url }} #}"):
        assert "{{ recovery_url }} is not in it" in refused("sms-template:cart.de", "text", source)


def test_a_push_message_without_a_title_is_refused() -> None:
    assert "a notification has to have one" in refused("push-template:cart", "title", "{% if again %}x{% endif %} ")


def test_a_push_knows_no_links_and_one_after_a_purchase_no_cart() -> None:
    assert "`recovery_url` is not known" in refused("push-template:cart", "body", "{{ recovery_url }}")
    assert "there are language, name, shop, template" in refused("push-template:thanks.de", "body", "{{ item.name }}")
    checked("push-template:thanks.de", {"title": "Danke, {{ name }}", "body": "{{ shop.title }}"})
    checked("sms-template:thanks", {"text": "{{ item.name }} {{ recovery_url }}"})  # nothing takes an SMS's place


@given(st.text(alphabet="{}%#|()[]'\"~*+-.,_ \nabnamefritsloe019<>=&;", max_size=120))
def test_no_source_whatever_makes_more_than_a_refusal_or_a_message(source: str) -> None:
    for name, part in PARTS:
        try:
            checked(name, {part: source})
        except ConfigurationError as exc:
            assert str(exc).startswith(f"setting {name}: {part}: ")  # noqa: PT017


def test_the_built_in_ones_pass_the_check_of_the_shops_own() -> None:
    files = list(BUILT_IN.glob("*/*.sms.txt")) + list(BUILT_IN.glob("*/*.push.txt"))
    assert len(files) == 35
    for file in files:
        name, channel, _ = file.name.split(".")
        title, _, body = file.read_text().partition("\n")
        check(name, SmsTemplate(file.read_text()) if channel == "sms" else PushTemplate(title, body))


def test_the_same_content_is_read_once() -> None:
    for source in ("{{ name }} once", "{{ name"):
        assert ready(source, frozenset(PUSH_SAMPLE)) is ready(source, frozenset(PUSH_SAMPLE))
    assert isinstance(ready("{{ name", frozenset(SMS_SAMPLE)), ConfigurationError)


# -- settings -------------------------------------------------------------------------------------------------------
def test_templates_of_a_channel_are_kept_apart_from_those_of_others_and_taken_back() -> None:
    shops = Shops()
    values: dict[str, Any] = {
        "template:cart.de": {"subject": "Hallo"}, "sms-template:cart.de": {"text": "Hallo"},
        "push-template:cart.de-AT": {"title": "Servus"}, "push-template:cart": {"body": "Hi"},
    }  # fmt: skip
    for name, value in values.items():
        shops.apply(Setting(shop_id="main", name=name, value=value))
    found = shops.of("main")
    assert found.templates == {"cart.de": MailTemplate(subject="Hallo")}
    assert found.sms_templates == {"cart.de": SmsTemplate("Hallo")}
    assert found.push_templates == {"cart.de-AT": PushTemplate("Servus"), "cart": PushTemplate(body="Hi")}
    shops.reset("main", "sms-template:cart.de")
    shops.apply(Setting(shop_id="main", name="push-template:cart", value={}))
    shops.reset("main", "push-template:cart.de-AT")
    shops.reset("main", "template:cart.de")
    assert shops.of("main") == Shop("main")


@pytest.mark.parametrize(
    "name",
    ["sms-template", "sms-template:", "push-template:Cart", "sms-template:cart.DE", "push-template:cart.de-at",
     "sms-template:cart.de-", "fax-template:cart"],
)  # fmt: skip
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"template:cart\.en, sms-template:cart\.en, push-template:cart\.en"):
        parse(name, {})


def test_parts_have_a_length_and_no_others_are_taken() -> None:
    for name, part, most in (
        ("sms-template:a", "text", 4_000), ("push-template:a", "title", 1_000), ("push-template:a", "body", 4_000)
    ):  # fmt: skip
        parse(name, {part: "x" * most})
        with pytest.raises(ConfigurationError, match="length"):
            parse(name, {part: "x" * (most + 1)})
        with pytest.raises(ConfigurationError, match=r'Example: \{"t') as refusal:
            parse(name, {"html": "x"})
        example = str(refusal.value).rpartition("Example: ")[2]
        checked(name, json.loads(example))
