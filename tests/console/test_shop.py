"""The demo shop: a page that needs nothing but itself, and pictures that a mail program can show."""

import re
import struct
import zlib
from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from ingest.shop import SHOP_ID, routes
from ingest.shop.goods import PRODUCTS
from ingest.shop.page import HERE
from tests.console.browser import Browser


@pytest.fixture
def browser() -> Browser:
    shop = routes(idle=timedelta(seconds=20), mailbox_url="http://127.0.0.1:8000/mailbox", console_url="http://a.b/")
    return Browser(Starlette(routes=[Mount("/shop", routes=shop)]), "http://127.0.0.1:8001")


def test_the_page_shows_eight_things_with_prices(browser: Browser) -> None:
    cards = browser.page("/shop/").all(".card")

    assert len(cards) == 8
    assert [(x.get("data-sku"), x.get("data-price")) for x in cards] == [(p.sku, str(p.price)) for p in PRODUCTS]


def test_the_page_carries_what_the_script_needs(browser: Browser) -> None:
    page = browser.page("/shop/").all("dialog")
    answer = browser.get("/shop/").text

    assert [x.get("data-dialog") for x in page] == ["checkout", "left", "bought"]
    for expected in (f'data-shop="{SHOP_ID}"', 'data-idle="20"', 'data-base="/shop"', "http://127.0.0.1:8000/mailbox"):
        assert expected in answer


def test_every_step_of_the_checkout_has_its_form(browser: Browser) -> None:
    steps = [x.get("data-step") for x in browser.page("/shop/").all("form") if x.get("data-step")]

    assert steps == ["contact", "address", "shipping", "payment"]


def test_the_policy_allows_nothing_inline_and_nothing_foreign(browser: Browser) -> None:
    answer = browser.get("/shop/")
    policy = answer.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "//" not in policy
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?! src=)", answer.text)


def test_what_the_page_asks_for_is_there(browser: Browser) -> None:
    text = browser.get("/shop/").text
    asked = set(re.findall(r'(?:src|href)="(/shop/static/[^"]+)"', text))

    assert len(asked) == 10
    for path in asked:
        assert browser.get(path).status_code == 200, path


@pytest.mark.parametrize("sku", [x.sku for x in PRODUCTS])
def test_pictures_are_well_formed_for_pages_and_for_mail(browser: Browser, sku: str) -> None:
    drawn, painted = browser.get(f"/shop/static/{sku}.svg"), browser.get(f"/shop/static/{sku}.png")

    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.content.startswith(b"<svg ")
    assert painted.headers["content-type"] == "image/png"
    assert painted.headers["cross-origin-resource-policy"] == "cross-origin"
    width, height, pixels = unpacked(painted.content)
    assert (width, height, len(pixels)) == (240, 240, 240 * (1 + 3 * 240))


@pytest.mark.parametrize("name", ["x.png", "MUG-TERRA.gif", "..%2fpage.py", "MUG-TERRA", "shop.html"])
def test_nothing_else_is_served(browser: Browser, name: str) -> None:
    assert browser.get(f"/shop/static/{name}").status_code == 404


def test_the_script_stays_on_this_origin() -> None:
    source = (HERE / "static" / "shop.js").read_text(encoding="utf-8")

    assert re.findall(r'fetch\("([^"]+)"', source) == ["/v1/events"]
    assert "innerHTML" not in source


def unpacked(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and filtered rows of a PNG file; checks every chunk's CRC."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, []
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + data)
        chunks.append((kind, data))
        at += 12 + length
    assert [x for x, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height = struct.unpack_from(">II", chunks[0][1])
    return width, height, zlib.decompress(chunks[1][1])
