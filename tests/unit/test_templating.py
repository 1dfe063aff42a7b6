"""Templates of a shop: what is refused, with its line, and that none can hold the process or grow without bound."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import ConfigurationError
from cartwake.inlining import inlined
from cartwake.model import Setting
from cartwake.rules import MailTemplate
from cartwake.shops import Shops, checked, parse
from cartwake.templating import (
    FAULTS,
    MOST_STEPS,
    SAMPLE,
    TooLong,
    check,
    compiled,
    environment,
    line_of,
    missing,
    own,
    steps,
    write,
)

LAYOUT = "<table><tr><td>{{ words.headline }}</td></tr></table>"


def said(source: str, values: dict[str, Any] | None = None, *, html: bool = False, most: int = 10_000) -> str:
    return write(compiled(source, html=html), SAMPLE if values is None else values, most)


# -- what a template may do -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ name|upper }} {{ shop.title }}", "ANA Our shop"),
        (
            "{% for item in items[:2] %}{{ loop.index }}{{ item.name|truncate(5, true, '', 0) }};{% endfor %}",
            "1Blue ;2Blue ;",
        ),
        ("{% for x in ['a', 'b'] if x != 'a' %}{{ x }}{% else %}none{% endfor %}", "b"),
        ("{% set words = {'payment': 'pay', 'cart': 'look'} %}{{ words[stage] }}", "pay"),
        ("{% if more > 1 and gift %}{{ more + 1 }}{% elif step is even %}x{% endif %}", "3"),
        ("{{ 'later' if step > 1 else 'first' }}", "first"),
        ("{% raw %}{{ x }}{% endraw %}{# nothing #}", "{{ x }}"),
        ("{{ items|length }} {{ items[0].name|first }} {{ (units - 2) // 4 }}", "8 B 4"),
    ],
)
def test_texts_lists_and_choices_can_be_written(source: str, text: str) -> None:
    assert said(source) == text
    check(MailTemplate(text=source + "{{ unsubscribe_url }}"))


@pytest.mark.parametrize("part", ["html", "text"])
def test_a_mail_nobody_could_unsubscribe_from_is_refused(part: str) -> None:
    for source in ("x", "{% if step > 1 %}{{ unsubscribe_url }}{% endif %}", "{# {{ unsubscribe_url }} #}"):
        with pytest.raises(ConfigurationError, match=f"{part}: .*the way out"):
            check(MailTemplate(**{part: source}))


REFUSED = (
    ("{% for i in range(10**9) %}x{% endfor %}", "a loop may go over|calling|`pow`"),
    ("{{ range(3) }}", "calling a function"),
    ("{{ 'x' * 10**9 }}", r"`\*\*`"),
    ("{{ lipsum() }}", "calling a function"),
    ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "a macro"),
    ("{% set x %}{{ name }}{{ name }}{% endset %}", "a set block"),
    ("{% set x = name ~ name %}", "write the values one after the other"),
    ("{% set x = [name, name] %}", "nothing but texts and numbers"),
    ("{% set items = 'a long text' %}{% for x in items %}{% endfor %}", "can't be set"),
    ("{% for items in ['long text'] %}{% for x in items %}{% endfor %}{% endfor %}", "can't be set"),
    ("{% for x in name %}{{ x }}{% endfor %}", "a loop may go over items or products"),
    ("{% for a in items recursive %}{{ loop(items) }}{% endfor %}", "calling|recursive"),
    ("{% for x in [" + "1," * 21 + "] %}{% endfor %}", "a loop may go over"),
    ("{% include 'layout.html' %}", "`include` is not available"),
    ("{% import 'x' as y %}", "`import` is not available"),
    ("{% extends 'layout.html' %}", "`extends` is not available"),
    ("{{ ''.__class__ }}", "`__class__` is not available"),
    ("{{ ''['__class__'] }}", "`__class__` is not available"),
    ("{{ self._TemplateReference__context }}", "not available"),
    ("{{ __name__ }}", "not available"),
    ("{{ name|attr('__class__') }}", "`attr` is not available"),
    ("{{ name|safe }}", "`safe` is not available"),
    ("{{ name|replace('a', name) }}", "`replace` is not available"),
    ("{{ '%1000000000d'|format(1) }}", "`format` is not available"),
    ("{{ name|center(1000000000) }}", "`center` is not available"),
    ("{{ items|map('upper')|join }}", "`(map|join)` is not available"),
    ("{{ name|truncate(*items) }}", "not available"),
    ("{{ 1 is callable }}", "`callable` is not available"),
    ("{% autoescape false %}{{ name }}{% endautoescape %}", "autoescape"),
    ("{% do items.append(1) %}", "do"),
    ("{{ " + "(" * 200 + "1" + ")" * 200 + " }}", "deep"),
    ("{{ " + "-" * 2_000 + "1 }}", "deep"),
    ("{{ " + "(" * 30_000 + "1" + ")" * 30_000 + " }}", "deep"),
    ("{% if a %}" * 100 + "{% endif %}" * 100, "deep"),
)


@pytest.mark.parametrize(("source", "words"), REFUSED, ids=[source[:40] for source, _ in REFUSED])
def test_what_could_cost_much_or_reach_out_is_refused(source: str, words: str) -> None:
    if "((((" not in source or "deep" not in words:
        with pytest.raises(ConfigurationError, match=words):
            compiled(source, html=False)
        with pytest.raises(ConfigurationError, match=rf"^setting template:cart\.de: text: .*({words})"):
            checked("template:cart.de", {"text": source})
        return
    try:  # brackets alone nest nothing; whoever reads so many of them may run out of room, and says so
        assert said(source) == "1"
    except ConfigurationError as exc:
        assert "deep" in str(exc)  # noqa: PT017


def test_the_line_of_a_mistake_is_named() -> None:
    for source, line in (
        ("a\nb {% if %}", 2), ("a\n\n{{ name|safe }}", 3), ("a\n{{ nothing }}", 2), ("{% if name %}\n{{ item.x }}", 2),
        ("\n\n{{ gift.percent }}", 3), ("{% for item in items %}\n{{ item.colour }}\n{% endfor %}", 2),
    ):  # fmt: skip
        for part in ("subject", "html", "text"):
            with pytest.raises(ConfigurationError, match=rf"template:cart: {part}: line {line}: "):
                checked("template:cart", {part: source})


def test_a_name_that_no_mail_has_is_refused_even_where_the_sample_does_not_come() -> None:
    with pytest.raises(ConfigurationError, match=r"line 1: `discount` is not known; there are .*items"):
        check(MailTemplate(subject="{% if step > 1 %}{{ discount }}{% endif %}"))


def test_nested_loops_are_counted_before_they_run() -> None:
    loop = "{% for a in items %}" * 4 + "{{ name }}" + "{% endfor %}" * 4
    with pytest.raises(ConfigurationError, match=r"may take .* steps, more than 5,000"):
        compiled(loop, html=False)


def test_what_is_allowed_can_not_outgrow_a_mail() -> None:
    """The longest that the count of steps lets through ends at the cap, in bounded memory."""
    body = "x" * 500
    source = "{% for a in items %}{% for b in items %}{% for c in items %}" + body + "{% endfor %}" * 3
    assert steps(environment(html=False).parse(source)) < MOST_STEPS
    with pytest.raises(TooLong, match="longer than 100,000"):
        said(source, most=100_000)
    with pytest.raises(ConfigurationError, match=r"text: .*longer than 50,000"):
        check(MailTemplate(text=source))


@pytest.mark.parametrize(
    "source", ["{{ 'ab' * more }}", "{{ name + name }}", "{{ '%d' % more }}", "{{ 999999999 * 999999999 * 999999999 }}"]
)
def test_sums_are_for_small_numbers(source: str) -> None:
    with pytest.raises(FAULTS, match="is for numbers up to"):
        said(source)


@pytest.mark.parametrize("source", ["{{ items }}", "{{ shop }}", "{{ items[0] }}", "{{ name.upper }}", "{{ true }}"])
def test_only_texts_and_numbers_are_written(source: str) -> None:
    with pytest.raises(FAULTS, match="not a text or a number"):
        said(source)


def test_a_dictionary_has_its_keys_and_nothing_else() -> None:
    for name in ("keys", "items", "pop", "update"):
        with pytest.raises(FAULTS, match="has no attribute"):
            said("{{ shop." + name + " }}")


def test_what_is_not_known_can_be_asked_for_and_not_written() -> None:
    values = {"name": missing("name")}
    assert said("{% if name %}a{% else %}b{% endif %}{{ name|default('c') }}{{ name is defined }}".replace(
        "{{ name is defined }}", "{% if name is defined %}d{% endif %}"), values) == "bc"  # fmt: skip
    for source in (
        "{{ name }}",
        "{{ name|upper }}",
        "{% for x in items %}{% endfor %}",
        "{{ nome }}",
        "{% if nome %}{% endif %}",
    ):
        with pytest.raises(FAULTS, match=r"is not known|is undefined"):
            said(source, values)


def test_the_line_of_a_failure_is_known() -> None:
    template = compiled("a\nb\n{{ name }}", html=False)
    with pytest.raises(FAULTS) as caught:
        write(template, {"name": missing("name")}, 100)
    assert line_of(template, caught.value) == 3


@given(st.text(alphabet="{}%#|()[]'\"~*+-.,_ \nabnamefritsloe019<>=&;ꞏ", max_size=120))
def test_no_source_whatever_makes_more_than_a_refusal_or_a_mail(source: str) -> None:
    for part in ("subject", "html", "text"):
        try:
            check(MailTemplate(**{part: source}))
        except ConfigurationError as exc:
            assert str(exc).startswith(f"{part}: ")  # noqa: PT017


# -- values in HTML -------------------------------------------------------------------------------------------------
def test_values_are_escaped_in_html_and_nowhere_else() -> None:
    values = {"name": '<b>"&'}
    assert "<p>&lt;b&gt;&#34;&amp;</p>" in said("<p>{{ name }}</p>", values, html=True)
    assert said("{{ name }}", values) == '<b>"&'


def test_styles_are_put_inline_around_the_tags_of_a_template() -> None:
    html = inlined(
        "<!doctype html><html><head><title>{{ a }}</title><style>.c { color: red } td { padding: {{ b }} }"
        '@media print { .c { color: {{ c }} } }</style></head><body>{% if "<" < d %}<table>{% for x in items %}'
        '<tr><td class="c" title="{{ "a>b" if x > 1 else \'"\' }}">{{ x & "</td>" }}</td></tr>'
        "{% endfor %}</table>{% endif %}<!-- {{ e }} --></body></html>".replace(" & ", " ~ ")
    )
    assert html.count("{% for x in items %}<tr>") == 1
    assert "</tr>{% endfor %}</table>{% endif %}" in html
    assert '{{ x ~ "</td>" }}' in html
    assert re.search(r'<td class="c" title="{{ "a>b" if x > 1 else \'"\' }}" style="', html)
    assert "color: red" in html
    assert "@media print" in html
    assert "<!-- {{ e }} -->" in html
    assert "tbody" not in html
    assert html.index("{% if") < html.index("<table") < html.index("{% for")


@pytest.mark.parametrize(
    "html",
    ["<p\n{% if name %}id='x'{% endif %}>", "<p a='b'\n{{ name }}>", "<p a=\n{{ name }}>", "<a \n{{ name }}='x'>"],
)
def test_a_value_between_attributes_is_refused_because_a_parser_may_move_it(html: str) -> None:
    with pytest.raises(ConfigurationError, match=r"line 2: .* can stand in a value in quotes"):
        compiled(html, html=True)


@pytest.mark.parametrize("html", ["ꞏ1ꞏ", "<p>ꞏ</p>"])
def test_a_mark_of_ours_in_the_html_is_refused(html: str) -> None:
    with pytest.raises(ConfigurationError, match=r"U\+A78F"):
        compiled(html, html=True)


def test_html_that_would_lose_a_tag_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"html: .*(closed|nested|read)"):
        check(MailTemplate(html='<b title="{{ name }}"><p>x</b>y<i title="{% if name %}"><p></i>z{% endif %}</p>'))


def test_styles_of_other_hosts_are_not_fetched() -> None:
    html = inlined('<html><head><link rel="stylesheet" href="http://127.0.0.1:1/x.css"></head><body>x</body></html>')
    assert "x" in html


# -- settings -------------------------------------------------------------------------------------------------------
def test_a_template_is_set_taken_back_and_kept_apart_by_language() -> None:
    shops = Shops()
    shops.apply(Setting(shop_id="main", name="template:cart.de", value={"subject": "Hallo"}))
    shops.apply(Setting(shop_id="main", name="template:cart", value={"html": LAYOUT}))
    assert shops.of("main").templates == {"cart.de": MailTemplate(subject="Hallo"), "cart": MailTemplate(html=LAYOUT)}
    shops.reset("main", "template:cart.de")
    shops.apply(Setting(shop_id="main", name="template:cart", value={}))
    assert shops.of("main").templates == {}
    shops.reset("other", "template:cart.de")
    assert shops.of("other").templates == {}


@pytest.mark.parametrize(
    "name", ["template", "template:", "template:Cart", "template:cart.de_AT", "template:a/b", "x" * 99]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"is not known; there are shop, carts, reminders, alarms, template:cart\.en"
    ):
        parse(name, {})


def test_parts_have_a_length() -> None:
    for part, most in (("subject", 1_000), ("html", 64_000), ("text", 32_000)):
        parse("template:cart", {part: "x" * most})
        with pytest.raises(ConfigurationError, match="length"):
            parse("template:cart", {part: "x" * (most + 1)})
    with pytest.raises(ConfigurationError, match=r'Example: \{"subject": '):
        parse("template:cart", {"body": "x"})


def test_the_same_content_is_read_once() -> None:
    first = own(MailTemplate(subject="{{ name }} once"))
    assert own(MailTemplate(subject="{{ name }} once")) is first
    broken = own(MailTemplate(subject="{{ name"))
    assert isinstance(broken, ConfigurationError)
    assert own(MailTemplate(subject="{{ name")) is broken
