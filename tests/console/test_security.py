"""The console against strangers: forged forms, foreign host names, hostile names of products and people."""

import re
from decimal import Decimal

import httpx
import pytest

from cartwake.model import Item
from console.pages import HERE
from console.security import host_of, picture_sources
from tests.console.browser import BASE, Browser, parsed
from tests.console.conftest import Open
from tests.console.memory import MemoryCarts, Written, happened, mail, row

FIRST = f"/carts/{1:032x}"
OURS = {"origin": BASE, "sec-fetch-site": "same-origin"}
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>'\"{{ 7*7 }}"


def token_of(browser: Browser) -> str:
    [field] = browser.page(FIRST).all("input[name=token]")
    return field.get("value") or ""


def send(browser: Browser, token: str, headers: dict[str, str]) -> httpx.Response:
    return browser.post(f"{FIRST}/remind", data={"token": token}, headers=headers)


# -- forms ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": BASE},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "null"},
        {"origin": "http://[bad"},
        {},
    ],
)
def test_a_form_from_elsewhere_sends_nothing(opened: Open, written: Written, headers: dict[str, str]) -> None:
    browser = opened(MemoryCarts([row(1)]))

    answer = send(browser, token_of(browser), headers)

    assert (answer.status_code, written.records) == (403, [])
    assert "Nothing was sent" in answer.text


@pytest.mark.parametrize("headers", [OURS, {"origin": BASE}, {"sec-fetch-site": "same-origin"}])
def test_our_own_form_is_taken_from_old_and_new_browsers(
    opened: Open, written: Written, headers: dict[str, str]
) -> None:
    browser = opened(MemoryCarts([row(1)]))

    assert send(browser, token_of(browser), headers).status_code == 303
    assert len(written.records) == 1


@pytest.mark.parametrize("token", ["", "0" * 64, "ü", "x" * 7_000])
def test_a_form_without_the_right_token_sends_nothing(opened: Open, written: Written, token: str) -> None:
    browser = opened(MemoryCarts([row(1)]))
    token_of(browser)

    assert send(browser, token, OURS).status_code == 403
    assert written.records == []


def test_a_token_of_another_browser_is_worth_nothing(opened: Open, written: Written) -> None:
    carts = MemoryCarts([row(1)])
    mine = opened(carts)
    stolen = token_of(mine)

    assert send(Browser(mine.app), stolen, OURS).status_code == 403
    other = Browser(mine.app)
    token_of(other)
    assert send(other, stolen, OURS).status_code == 403
    assert written.records == []


def test_the_form_cookie_is_strict_and_not_for_scripts(opened: Open) -> None:
    cookie = opened(MemoryCarts([row(1)])).get(FIRST).headers["set-cookie"].lower()

    assert "samesite=strict" in cookie
    assert "httponly" in cookie


def test_a_form_that_is_too_large_is_not_read(opened: Open, written: Written) -> None:
    assert send(opened(MemoryCarts([row(1)])), "x" * 100_000, OURS).status_code == 413
    assert written.records == []


def test_looking_never_sends(opened: Open, written: Written) -> None:
    answer = opened(MemoryCarts([row(1)])).get(f"{FIRST}/remind")

    assert (answer.status_code, written.records) == (405, [])


# -- hosts ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:9", "[::1]:8000", "carts.shop.example"])
def test_the_console_answers_to_its_names(opened: Open, host: str) -> None:
    assert opened(MemoryCarts()).get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "0.0.0.0", "[", "a:b:c"]
)
def test_a_foreign_name_that_points_here_gets_nothing(opened: Open, host: str) -> None:
    answer = opened(MemoryCarts([row(1)])).get("/carts", headers={"host": host})

    assert answer.status_code == 421
    assert "c-1" not in answer.text


def test_a_host_header_is_read_as_a_browser_writes_it() -> None:
    assert [host_of(x) for x in ("A.example:80", "[::1]:8000", "a.example.", "[", "")] == [
        "a.example",
        "::1",
        "a.example",
        "",
        "",
    ]


# -- what others have written --------------------------------------------------------------------------------
def test_hostile_names_stay_text_everywhere(opened: Open) -> None:
    item = Item(sku=HOSTILE, name=HOSTILE, quantity=1, price=Decimal(1), image=HOSTILE, url=HOSTILE, category=HOSTILE)
    cart = row(
        1,
        items=[item],
        cart_id=HOSTILE,
        shop_id=HOSTILE,
        email=HOSTILE,
        evidence_words=HOSTILE,
        stage=HOSTILE,
        state=HOSTILE,
        message_status=HOSTILE,
        cart_url=HOSTILE,
        currency="EUR",
    )
    carts = MemoryCarts(
        [cart],
        mails=[mail(subject=HOSTILE, text=HOSTILE, to=HOSTILE, words=HOSTILE, status=HOSTILE)],
        timeline=[happened(HOSTILE, HOSTILE)],
    )
    browser = opened(carts)

    for path in ("/carts?view=tiles", "/carts?view=list", FIRST, "/carts?q=%3Cscript%3Ealert(1)%3C/script%3E"):
        page = browser.page(path)
        assert [x.get("src") for x in page.all("script")] == ["/static/console.js"]
        assert [x for x in page.all("img") if x.get("onerror")] == []
        assert "49" not in page.text.replace("7*7", "")


def test_every_answer_has_the_headers_that_protect_it(opened: Open) -> None:
    browser = opened(MemoryCarts([row(1)]))

    for path in ("/carts", FIRST, "/nothing", "/static/console.css", "/healthz", "/"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_no_template_has_inline_script_or_style() -> None:
    for template in (HERE / "templates").glob("*.html"):
        source = template.read_text(encoding="utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=)|\|\s*safe", source), template.name


@pytest.mark.parametrize(
    ("collector", "sources"),
    [
        ("http://127.0.0.1:8001", "https: http://127.0.0.1:8001 http://localhost:8001"),
        ("https://events.shop.example", "https:"),
        ("http://events.shop.example", "https: http://events.shop.example"),
    ],
)
def test_pictures_come_from_https_and_from_our_own_collector(collector: str, sources: str) -> None:
    assert picture_sources(collector) == sources


def test_the_page_of_a_refusal_is_parsed_as_a_page(opened: Open) -> None:
    answer = opened(MemoryCarts()).get("/carts/<script>")

    assert answer.status_code == 404
    assert [x.get("src") for x in parsed(answer).all("script")] == ["/static/console.js"]
