"""The link of a mail that leads out."""

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from cartwake.clock import FakeClock
from cartwake.errors import InvalidEvent, KafkaUnavailable
from cartwake.model import Setting, decode_subscriber_event, person_id
from cartwake.shops import Shops
from cartwake.topics import SUBSCRIBER_EVENTS, Topic
from reminders.tracking import routes
from tests.reminders.world import ANA, DAY, LINKS, T0, World, cart

PERSON = person_id(ANA)
KEY = ("main", PERSON)


class Written:
    """A publisher that remembers, or is away."""

    def __init__(self) -> None:
        self.records: list[tuple[Topic, str, bytes]] = []
        self.away = False

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None, *, timeout: float = 10) -> None:
        if self.away:
            raise KafkaUnavailable("away")
        assert value is not None
        self.records.append((topic, key, value))


class Site:
    """The collector's routes for those who want to hear no more."""

    def __init__(self, now: int = T0) -> None:
        self.written = Written()
        self.clock = FakeClock(now)
        self.shops = Shops()
        self.shops.apply(
            Setting(shop_id="main", name="shop", value={"title": "<b>Porto</b>", "url": "https://porto.example.com"})
        )
        app = Starlette(routes=routes(LINKS, self.written, self.shops, self.clock))
        self.transport = httpx.ASGITransport(app)

    def ask(self, method: str, url: str, **body: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="https://t.shop.example.com") as client:
                return await client.request(method, url, **body)

        return asyncio.run(ask())


@pytest.fixture
def site() -> Site:
    return Site()


# -- out -----------------------------------------------------------------------------------------------------
def test_looking_at_the_unsubscribe_page_changes_nothing(site: Site) -> None:
    answer = site.ask("GET", LINKS.unsubscribe_url(KEY))
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert site.written.records == []


def test_one_click_unsubscribes_without_cookie_form_or_redirect(site: Site) -> None:
    answer = site.ask("POST", LINKS.unsubscribe_url(KEY), data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    ((topic, key, value),) = site.written.records
    event = decode_subscriber_event(value)
    assert (topic, key) == (SUBSCRIBER_EVENTS, PERSON)
    assert (event.type, event.shop_id, event.subscriber_id, event.at) == ("subscriber.withdrawn", "main", PERSON, T0)


def test_the_body_of_the_post_does_not_matter(site: Site) -> None:
    for body in (b"", b"\xff" * 100_000, b"{"):
        assert site.ask("POST", LINKS.unsubscribe_url(KEY), content=body).status_code == 200
    assert len(site.written.records) == 3


def test_a_wish_that_could_not_be_saved_is_not_called_saved(site: Site) -> None:
    site.written.away = True
    answer = site.ask("POST", LINKS.unsubscribe_url(KEY))
    assert answer.status_code == 503
    assert '<form method="post">' in answer.text


@pytest.mark.parametrize("path", ["x", "A" * 27, "A" * 5_000, "A" * 27 + ".main", "%2e%2e", "ä", "A.A.A"])
def test_a_wrong_token_is_told_so_and_unsubscribes_nobody(site: Site, path: str) -> None:
    assert site.ask("GET", f"/u/{path}").status_code == 404
    assert site.ask("POST", f"/u/{path}").status_code == 404
    assert site.written.records == []


def test_pages_run_nothing_and_escape_the_shops_name(site: Site) -> None:
    answer = site.ask("GET", LINKS.unsubscribe_url(KEY))
    assert "&lt;b&gt;Porto&lt;/b&gt;" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'nonce-")
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"


def test_pages_speak_the_shops_language(site: Site) -> None:
    site.shops.apply(Setting(shop_id="main", name="shop", value={"title": "Laden", "locale": "de-AT"}))
    assert "Abmelden" in site.ask("GET", LINKS.unsubscribe_url(KEY)).text


@given(st.text(min_size=1, max_size=40), st.binary(min_size=12, max_size=12))
def test_an_unsubscribe_link_names_its_shop_and_person_and_no_other(shop_id: str, person: bytes) -> None:
    key = (shop_id.encode("utf-8", "ignore").decode() or "main", "p-" + person.hex())
    token = LINKS.unsubscribe_url(key).rpartition("/")[2]
    assert LINKS.read_unsubscribe(token) == key
    with pytest.raises(InvalidEvent):
        LINKS.read_unsubscribe(token[:-1] + ("A" if token[-1] != "A" else "B") if "." not in token else "A" + token)


def test_unsubscribing_by_the_link_of_a_mail_holds_back_the_next(site: Site) -> None:
    world = World().hear(cart(consent=True), at=T0).work()
    leave = next(x for x in (world.ends[0].text or "").split() if "/u/" in x)
    assert site.ask("POST", leave).status_code == 200
    withdrawn = decode_subscriber_event(site.written.records[-1][2])
    world.hear(withdrawn, cart(T0 + 2 * DAY, cart_id="c-2", abandonment_id="ab-2"), at=T0 + 2 * DAY).work()
    assert world.said == ["sent", "suppressed:unsubscribed"]
