"""What pages and servers of a shop may ask for web push, and what nobody may."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from cartwake.clock import FakeClock
from cartwake.model import Setting, decode_subscriber_event, person_id
from cartwake.settings import Settings
from cartwake.shops import Shops
from cartwake.topics import SUBSCRIBER_EVENTS
from reminders.fold import fold
from reminders.person import Person
from reminders.push.keys import keys_of
from reminders.push.routes import routes
from reminders.push.tokens import Tokens
from tests.reminders.push_service import Browser
from tests.reminders.test_tracking_links import Written
from tests.reminders.world import ANA, LINKS, T0

KEYS = keys_of(Settings(secret="a secret of the tests"))
TOKENS = Tokens("a secret of the tests")
PERSON = person_id(ANA)
KEY = ("main", PERSON)
SHOP = "https://porto.example.com"
SERVER = {"Authorization": "Bearer ingest"}
BROWSER = Browser()


class Site:
    """The collector's routes of web push."""

    def __init__(self, ingest_token: str = "ingest") -> None:
        self.written = Written()
        self.clock = FakeClock(T0)
        self.shops = Shops()
        for shop_id, url in (("main", SHOP), ("other", "https://other.example.com:8443/shop/")):
            self.shops.apply(Setting(shop_id=shop_id, name="shop", value={"url": url}))
        app = Starlette(
            routes=routes(
                base="https://t.shop.example.com/", keys=KEYS, tokens=TOKENS, ingest_token=ingest_token,
                publisher=self.written, shops=self.shops, clock=self.clock,
            )
        )  # fmt: skip
        self.transport = httpx.ASGITransport(app)

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="https://t.shop.example.com") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def subscribe(self, *, origin: str | None = SHOP, shop: str = "", **changes: Any) -> httpx.Response:
        headers = {"Origin": origin} if origin is not None else {}
        return self.ask(
            "POST", "/push/subscribe" + (f"?shop={shop}" if shop else ""), headers=headers, json=wish(**changes)
        )


def wish(**changes: Any) -> dict[str, Any]:
    target = BROWSER.at("https://push.example.com/send/abc")
    subscription = {
        "endpoint": target.endpoint, "expirationTime": None, "keys": {"p256dh": target.p256dh, "auth": target.auth},
    }  # fmt: skip
    return {"subscription": subscription, "token": TOKENS.make(KEY, "subscribe", now=T0)} | changes


@pytest.fixture
def site() -> Site:
    return Site()


# -- subscribing ---------------------------------------------------------------------------------------------------
def test_a_browser_is_recorded_as_the_persons_with_what_he_agreed_to(site: Site) -> None:
    answer = site.subscribe(text="Tell me when I forget my cart")
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == SHOP
    ((topic, key, value),) = site.written.records
    event = decode_subscriber_event(value)
    assert (topic, key) == (SUBSCRIBER_EVENTS, PERSON)
    assert (event.type, event.shop_id, event.subscriber_id, event.at) == ("subscriber.consented", "main", PERSON, T0)
    person = fold(Person(), event)
    assert person.push == (BROWSER.at("https://push.example.com/send/abc"),)
    consent = person.on("push").consent
    assert consent is not None
    assert (consent.granted, consent.text) == (True, "Tell me when I forget my cart")
    assert set(person.standing) == {"push"}


def test_renewing_replaces_the_browser_and_is_no_consent(site: Site) -> None:
    renew = site.subscribe().json()["renew"]
    first = decode_subscriber_event(site.written.records[0][2])
    withdrawn = fold(fold(Person(), first), decode_subscriber_event(json.dumps(
        {"event_id": "w", "type": "subscriber.withdrawn", "subscriber_id": PERSON, "occurred_at": T0 + 1}
    ).encode()))  # fmt: skip
    site.clock.advance(300 * 86_400_000)
    fresh = BROWSER.at("https://push.example.com/send/new")
    subscription = {"endpoint": fresh.endpoint, "keys": {"p256dh": fresh.p256dh, "auth": fresh.auth}}
    answer = site.subscribe(subscription=subscription, token=renew, replaces="https://push.example.com/send/abc")
    assert answer.status_code == 201
    event = decode_subscriber_event(site.written.records[1][2])
    assert (event.type, event.consent) == ("subscriber.updated", None)
    person = fold(withdrawn, event)
    assert person.push == (fresh,)
    assert person.on("push") == withdrawn.on("push")
    assert TOKENS.read(answer.json()["renew"], now=site.clock.now_ms()).key == KEY


def test_a_subscription_that_says_to_replace_itself_stays(site: Site) -> None:
    site.subscribe(replaces="https://push.example.com/send/abc")
    assert fold(Person(), decode_subscriber_event(site.written.records[0][2])).push


def test_nobody_can_hang_his_browser_on_somebody_elses_mailbox(site: Site) -> None:
    unsubscribe = LINKS.unsubscribe_url(KEY).rpartition("/")[2]
    for attempt in (
        {"token": ""},
        {"token": "", "email": ANA, "subscriber_id": PERSON},
        {"token": unsubscribe},
        {"token": Tokens("guessed").make(KEY, "subscribe", now=T0)},
        {"token": TOKENS.make(KEY, "subscribe", now=T0 - 86_400_000)},
        {"token": TOKENS.make(("other", PERSON), "subscribe", now=T0)},
    ):
        answer = site.subscribe(**attempt)
        assert answer.status_code == 403
        assert "token" in answer.json()["error"]
    own = TOKENS.make(("main", person_id("eve@example.com")), "subscribe", now=T0)
    site.subscribe(token=own, email=ANA, subscriber_id=PERSON)
    assert [key for _, key, _ in site.written.records] == [person_id("eve@example.com")]


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example.com", "http://porto.example.com", SHOP + ":8443", SHOP + ".evil.test"],
)
def test_only_pages_of_the_shop_may_subscribe(site: Site, origin: str | None) -> None:
    answer = site.subscribe(origin=origin)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    asked = site.ask("OPTIONS", "/push/subscribe", headers={"Origin": origin} if origin else {})
    assert asked.status_code == 403
    assert site.written.records == []


def test_each_shop_has_an_origin_of_its_own(site: Site) -> None:
    token = TOKENS.make(("other", PERSON), "subscribe", now=T0)
    assert site.subscribe(origin="https://other.example.com:8443", shop="other", token=token).status_code == 201
    assert site.subscribe(origin=SHOP, shop="other", token=token).status_code == 403
    site.shops.apply(Setting(shop_id="main", name="shop", value={"url": "https://bücher.example.com/"}))
    assert site.subscribe(origin="https://xn--bcher-kva.example.com").status_code == 201
    for broken in ("http://[", "https://x:y/", "javascript:alert(1)", ""):
        site.shops.apply(Setting(shop_id="main", name="shop", value={"url": broken}))
        assert site.subscribe(origin="javascript://").status_code == 403


def test_a_browser_that_asks_first_is_told_what_it_may(site: Site) -> None:
    answer = site.ask("OPTIONS", "/push/subscribe", headers={"Origin": SHOP})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "subscription",
    [
        {"endpoint": "http://push.example.com/x"}, {"endpoint": "https://169.254.169.254/latest"},
        {"endpoint": "https://localhost/x"}, {"endpoint": "https://push.example.com/" + "x" * 2_000},
        {"keys": {"p256dh": "A" * 87, "auth": "A" * 22}}, {"keys": {"p256dh": "A" * 87}}, {"keys": None},
        {"endpoint": 5},
        {"keys": {"p256dh": BROWSER.at("").p256dh, "auth": "A" * 30}},
    ],
)  # fmt: skip
def test_a_subscription_that_can_not_be_one_is_refused(site: Site, subscription: dict[str, Any]) -> None:
    answer = site.subscribe(subscription=wish()["subscription"] | subscription)
    assert answer.status_code == 422
    assert site.written.records == []


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"{", "application/json", 422),
        (b"\xff\xfe", "application/json", 422),
        (b"[" * 5_000, "application/json", 422),
        (b"[]", "application/json", 422),
        (b"x" * 9_000, "application/json", 413),
        (b"{}", "text/plain", 415),
        (b"{}", "", 415),
    ],
)
def test_bodies_that_are_none_are_refused(site: Site, body: bytes, media: str, status: int) -> None:
    headers = {"Origin": SHOP, "Content-Type": media}
    assert site.ask("POST", "/push/subscribe", headers=headers, content=body).status_code == status
    assert site.written.records == []


def test_a_person_subscribes_so_many_browsers_an_hour(site: Site) -> None:
    assert {site.subscribe().status_code for _ in range(10)} == {201}
    answer = site.subscribe()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "360")
    other = TOKENS.make(("main", "c-2"), "subscribe", now=T0)
    assert site.subscribe(token=other).status_code == 201
    site.clock.advance(360_000)
    assert site.subscribe().status_code == 201


def test_all_together_are_bounded_too_and_rubbish_does_not_count(site: Site) -> None:
    assert {site.subscribe(token="x").status_code for _ in range(210)} == {403}
    tokens = [TOKENS.make(("main", f"c-{n}"), "subscribe", now=T0) for n in range(201)]
    statuses = [site.subscribe(token=token).status_code for token in tokens]
    assert (statuses[:200], statuses[200]) == ([201] * 200, 429)


def test_what_could_not_be_recorded_is_not_called_recorded(site: Site) -> None:
    site.written.away = True
    answer = site.subscribe()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.headers["access-control-allow-origin"] == SHOP


# -- the shop's server -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("somebody", "subscriber_id"),
    [
        ({"email": " Ana@Example.com".strip()}, PERSON),
        ({"email": ANA, "customer_id": "7"}, PERSON),
        ({"customer_id": "7"}, "7"),
        ({"subscriber_id": "s-1", "customer_id": "7"}, "s-1"),
    ],
)
def test_the_shops_server_gets_a_token_for_whom_it_knows(
    site: Site, somebody: dict[str, str], subscriber_id: str
) -> None:
    answer = site.ask("POST", "/push/token", headers=SERVER, json=somebody)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert site.subscribe(token=answer.json()["token"]).status_code == 201
    assert site.written.records[0][1] == subscriber_id


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", "Basic ingest", "ingest", "Bearer ingest2", "Bearer é"]
)
def test_nobody_else_gets_one(site: Site, header: str) -> None:
    headers = [(b"authorization", header.encode("latin-1"))]
    assert site.ask("POST", "/push/token", headers=headers, json={"email": ANA}).status_code == 401


def test_without_an_ingest_token_nobody_is_vouched_for() -> None:
    for header in ("", "Bearer ", "Bearer x"):
        answer = Site(ingest_token="").ask(
            "POST", "/push/token", headers={"Authorization": header}, json={"email": ANA}
        )
        assert answer.status_code == 403
        assert "ingest_token" in answer.json()["error"]


@pytest.mark.parametrize(
    "somebody",
    [{}, {"email": "nobody"}, {"email": "a@b.example\r\nx"}, {"customer_id": ""}, {"customer_id": "a\0b"}, []],
)
def test_a_token_for_nobody_is_refused(site: Site, somebody: Any) -> None:
    assert site.ask("POST", "/push/token", headers=SERVER, json=somebody).status_code == 422


# -- scripts and the key -----------------------------------------------------------------------------------------------
def test_the_key_is_public_for_every_page(site: Site) -> None:
    answer = site.ask("GET", "/push/key")
    assert answer.json() == {"key": KEYS.public}
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/push/sw.js", "/push/push.js"])
def test_scripts_know_the_collector_and_the_key_and_may_be_taken_in_by_the_shop(site: Site, path: str) -> None:
    answer = site.ask("GET", path)
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert f'({{"base":"https://t.shop.example.com","key":"{KEYS.public}"}});' in answer.text
    assert "__SETTINGS__" not in answer.text


def test_nothing_secret_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "reminders"):
        token = wish()["token"]
        site.subscribe(token=token)
        site.written.away = True
        site.subscribe(token=token)
    assert "could not be recorded" in caplog.text
    assert token not in caplog.text
    assert "send/abc" not in caplog.text
