"""The link back to a cart: where it leads, what is written down, and what a shop gets for it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.applications import Starlette

from cartwake.cart import CurrentCart
from cartwake.clock import FakeClock
from cartwake.errors import InvalidEvent, KafkaUnavailable, Rejected, SinkUnavailable
from cartwake.model import Item, Setting, decode_device_event, decode_message, derived_id, person_id
from cartwake.shops import Shops
from cartwake.topics import DEVICE_EVENTS, MESSAGES, Topic
from reminders.limits import Buckets, neighbourhood
from reminders.links import Links, Recovery
from reminders.recovery import PARAMETER, REDEEM_MS, Patience, routes
from reminders.words import catalogues
from tests.patience import until
from tests.reminders.world import ANA, DAY, HOUR, LINKS, MINUTE, T0, World, cart

PERSON = person_id(ANA)
PLAN = derived_id("plan", 1)
BROWSER = {
    "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1",
    "Accept-Language": "de-DE,de;q=0.9",
}


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


class Carts:
    """Carts in memory, or a ClickHouse that does not answer."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], CurrentCart] = {}
        self.problem: Exception | None = None
        self.hangs: threading.Event | None = None
        self.asked = 0

    def read(self, shop_id: str, cart_id: str) -> CurrentCart | None:
        self.asked += 1
        if self.hangs is not None:
            self.hangs.wait(20)
        if self.problem is not None:
            raise self.problem
        return self.known.get((shop_id, cart_id))


class Site:
    """The collector's routes for links to carts."""

    def __init__(self, now: int = T0, *, opens: bool = True, patience: Patience = Patience()) -> None:  # noqa: B008
        self.written = Written()
        self.carts = Carts()
        self.clock = FakeClock(now)
        self.shops = Shops()
        self.profile(title="<b>Porto</b>", url="https://porto.example.com")
        found = routes(
            LINKS, self.written, self.shops, carts=self.carts, opens=lambda _shop: opens, clock=self.clock,
            patience=patience,
        )  # fmt: skip
        self.app = Starlette(routes=found)
        self.address = "203.0.113.7"

    def profile(self, **values: Any) -> None:
        self.shops.apply(Setting(shop_id="main", name="shop", value=values))

    def ask(self, method: str, url: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(self.address, 1))
            async with httpx.AsyncClient(transport=transport, base_url=LINKS.base) as client:
                return await client.request(method, url, headers=BROWSER if headers is None else headers, **body)

        return asyncio.run(ask())

    def click(self, **changes: Any) -> httpx.Response:
        return self.ask("GET", LINKS.recovery_url(recovery(**changes)))

    def token(self, **changes: Any) -> str:
        """What the shop finds in its cart URL after a click."""
        return parse_qs(urlsplit(self.click(**changes).headers["location"]).query)[PARAMETER][0]

    def has(self, **changes: Any) -> None:
        values = {"shop_id": "main", "cart_id": "c-1", "items": (SHIRT,), "currency": "EUR", "changed_at": T0 - HOUR}
        self.carts.known["main", "c-1"] = CurrentCart(**(values | changes))


LONG = b'{"device_id": "d-7"}' + b" " * 5_000
SHIRT = Item(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.99"))


@pytest.fixture
def site() -> Site:
    return Site()


def recovery(**changes: Any) -> Recovery:
    values: dict[str, Any] = {
        "shop_id": "main", "subscriber_id": PERSON, "plan_id": PLAN, "cart_id": "c-1",
        "cart_url": "https://porto.example.com/cart/1?x=1&y=%20#top", "expires_at": T0 + 90 * DAY,
        "written_at": T0 - HOUR, "step": 2, "variant": "b",
    }  # fmt: skip
    return Recovery(**(values | changes))


# -- the click -----------------------------------------------------------------------------------------------
def test_the_link_leads_to_the_cart_with_query_and_fragment_kept_and_tags_added(site: Site) -> None:
    answer = site.click()
    assert answer.status_code == 302
    where = urlsplit(answer.headers["location"])
    assert where[:3] == ("https", "porto.example.com", "/cart/1")
    assert where.query.startswith("x=1&y=%20&utm_source=")
    assert where.fragment == "top"
    said = dict(parse_qsl(where.query))
    assert (said["utm_source"], said["utm_medium"], said["utm_content"]) == ("cartwake", "email", "step-2-b")
    assert "set-cookie" not in answer.headers
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_click_is_written_down_with_where_it_led_and_without_the_token(site: Site) -> None:
    site.click()
    ((topic, key, value),) = site.written.records
    clicked = decode_message(value)
    assert (topic, key, clicked.type, clicked.plan_id) == (MESSAGES, PERSON, "message.clicked", PLAN)
    assert (clicked.cart_id, clicked.step, clicked.variant, clicked.machine) == ("c-1", 2, "b", False)
    assert clicked.url == "https://porto.example.com/cart/1?x=1&y=%20#top"


def test_a_scanner_that_only_asks_for_the_head_has_clicked_nothing(site: Site) -> None:
    assert site.ask("HEAD", LINKS.recovery_url(recovery())).status_code == 302
    assert site.written.records == []
    assert site.carts.asked == 0


def test_a_scanners_click_is_kept_apart_and_gets_to_the_cart_all_the_same(site: Site) -> None:
    answer = site.ask("GET", LINKS.recovery_url(recovery()), {"User-Agent": "curl/8.5.0"})
    assert answer.status_code == 302
    clicked = decode_message(site.written.records[0][2])
    assert (clicked.machine, clicked.reason) == (True, "scanner")


def test_a_click_gets_to_the_cart_when_neither_kafka_nor_clickhouse_answers(site: Site) -> None:
    site.written.away = True
    site.carts.problem = SinkUnavailable("away")
    assert site.click().headers["location"].startswith("https://porto.example.com/cart/1?")


def test_a_clickhouse_that_hangs_keeps_nobody_for_long() -> None:
    site = Site(patience=Patience(click=0.01))
    site.carts.hangs = threading.Event()
    try:
        answers = [site.click(plan_id=derived_id(n)) for n in range(12)]
        assert {answer.status_code for answer in answers} == {302}
        assert site.carts.asked == 8
    finally:
        site.carts.hangs.set()


def test_while_all_readers_hang_the_next_click_does_not_wait_at_all() -> None:
    site = Site(patience=Patience(click=600))
    site.carts.hangs = threading.Event()
    waiting = [threading.Thread(target=site.click, kwargs={"plan_id": derived_id(n)}) for n in range(8)]
    try:
        for thread in waiting:
            thread.start()
        until(lambda: site.carts.asked == 8)
        assert site.click().status_code == 302
        assert site.carts.asked == 8
    finally:
        site.carts.hangs.set()
        for thread in waiting:
            thread.join()


@pytest.mark.parametrize("over", ["bought", "emptied", "merged"])
def test_a_cart_that_is_bought_or_gone_leads_to_a_page_with_the_way_to_the_shop(site: Site, over: Any) -> None:
    site.has(over=over, items=())
    answer = site.click()
    assert answer.status_code == 410
    assert str(catalogues()["de"]["page"][over]) in answer.text
    assert 'href="https://porto.example.com"' in answer.text
    assert len(site.written.records) == 1


def test_pages_speak_the_shops_language_run_nothing_and_escape_its_name(site: Site) -> None:
    site.profile(title="<b>Laden</b>", url="https://porto.example.com", locale="de_AT")
    site.has(over="bought", items=())
    answer = site.click()
    assert "schon gekauft" in answer.text
    assert "&lt;b&gt;Laden" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'nonce-")


@pytest.mark.parametrize(("late", "status"), [(-1, 302), (0, 410), (1, 410)])
def test_the_link_ends_exactly_at_its_time(late: int, status: int) -> None:
    site = Site(T0 + 90 * DAY + late)
    answer = site.click()
    assert answer.status_code == status
    if status == 410:
        assert "https://porto.example.com" in answer.text
        assert site.written.records == []


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//evil.example.com/",
        "https://user:pw@evil.example.com/",
        "https://a.example.com/\r\nX: 1",
        "",
    ],
)
def test_a_signed_address_that_is_not_of_the_web_is_not_followed(site: Site, url: str) -> None:
    answer = site.click(cart_url=url)
    assert answer.status_code == 410
    assert "evil" not in answer.text
    assert "javascript" not in answer.text


def test_no_parameter_of_the_request_changes_where_the_link_leads(site: Site) -> None:
    url = LINKS.recovery_url(recovery())
    hostile = {**BROWSER, "Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"}
    for more in ("?url=https://evil.example.com", "?next=//evil.example.com&cartwake=x#evil"):
        location = site.ask("GET", url + more, hostile).headers["location"]
        assert urlsplit(location).hostname == "porto.example.com"
        assert "evil" not in location


def test_an_old_token_and_tags_of_the_shop_in_the_carts_address_are_respected(site: Site) -> None:
    answer = site.click(cart_url="https://porto.example.com/c?cartwake=OLD&utm_source=shop&flag")
    pairs = parse_qsl(urlsplit(answer.headers["location"]).query, keep_blank_values=True)
    assert [name for name, _ in pairs].count(PARAMETER) == 1
    assert [value for name, value in pairs if name == "utm_source"] == ["shop"]
    assert ("flag", "") in pairs
    assert "OLD" not in answer.headers["location"]


def test_no_link_can_be_made_or_changed_without_the_secret(site: Site) -> None:
    good = LINKS.recovery_url(recovery())
    for url in (
        Links(LINKS.base, "another secret").recovery_url(recovery()),
        good[:-2] + ("AA" if good[-2:] != "AA" else "BB"),
        LINKS.base + "/r/" + LINKS.cart_token(recovery()),
        LINKS.base + "/r/" + LINKS.unsubscribe_url(("main", PERSON)).rpartition("/")[2],
        LINKS.base + "/r/x",
        LINKS.base + "/r/" + "A" * 10_000,
        LINKS.base + "/r/%00%ff",
    ):
        answer = site.ask("GET", url)
        assert answer.status_code == 404
        assert "location" not in answer.headers
    assert site.written.records == []


def test_one_link_clicked_for_ever_is_not_written_down_for_ever(site: Site) -> None:
    assert {site.click().status_code for _ in range(40)} == {302}
    assert len(site.written.records) == 20


# -- tokens --------------------------------------------------------------------------------------------------
_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


@given(
    _ids, _ids, st.text(st.characters(codec="utf-8", categories=["L", "N"]), max_size=300), st.integers(0, 63),
    st.sampled_from(["email", "sms", "push"]), st.text("abc-", max_size=40), st.booleans(),
)  # fmt: skip
@example("main", "0b9e0f7a-5a3c-4f65-8d2c-2f4e6a1b7c9d", "x", 1, "sms", "", True)
@example("main", "ab" * 16, "", 0, "email", "", False)
@example("main", "AB" * 16, "", 0, "email", "", False)
def test_a_token_says_what_was_put_in(
    shop_id: str, cart_id: str, path: str, step: int, channel: Any, variant: str, short: bool
) -> None:
    home = "https://porto.example.com"
    put = recovery(
        shop_id=shop_id, cart_id=cart_id, cart_url=f"{home}/{path}", step=step, channel=channel, variant=variant
    )
    token = LINKS.recovery_url(put, home if short else None).rpartition("/")[2]
    got = LINKS.read_recovery(token)
    assert got == Recovery(**{name: getattr(put, name) for name in Recovery.__struct_fields__} | {
        "cart_url": "\x02/" + path if short else put.cart_url})  # fmt: skip


def test_a_token_hides_what_is_in_it_and_is_another_for_every_message() -> None:
    tokens = [LINKS.cart_token(recovery(plan_id=derived_id(n))) for n in range(200)]
    assert len({token[:22] for token in tokens}) == 200
    assert len({token[-8:] for token in tokens}) == 200


def test_a_link_of_a_text_message_is_short() -> None:
    said = recovery(cart_url="https://porto.example.com/cart/c-1", channel="sms", variant="")
    whole, short = LINKS.recovery_url(said), LINKS.recovery_url(said, "https://porto.example.com/")
    token = short.rpartition("/")[2]
    assert len(token) <= 90
    assert len(whole) > len(short) + 30
    assert all(letter.isalnum() or letter in "-_" for letter in token)


def test_a_short_link_is_under_the_shops_address_of_today(site: Site) -> None:
    url = LINKS.recovery_url(recovery(cart_url="https://old.example.com/cart/c-1"), "https://old.example.com")
    assert site.ask("GET", url).headers["location"].startswith("https://porto.example.com/cart/c-1?utm_source=")


def test_a_home_is_left_out_only_where_the_host_ends() -> None:
    said = recovery(cart_url="https://porto.example.com.evil.example.com/cart")
    token = LINKS.recovery_url(said, "https://porto.example.com").rpartition("/")[2]
    assert LINKS.read_recovery(token).cart_url == said.cart_url


def test_a_short_link_waits_while_the_shop_is_not_known(site: Site) -> None:
    url = LINKS.recovery_url(
        recovery(shop_id="lisboa", cart_url="https://lisboa.example.com/c"), "https://lisboa.example.com"
    )
    answer = site.ask("GET", url)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert "location" not in answer.headers


# -- redeeming -----------------------------------------------------------------------------------------------
def redeem(site: Site, token: str) -> httpx.Response:
    return site.ask("GET", f"/v1/carts/{token}", {})


def test_the_token_of_the_cart_url_gives_the_cart_as_it_is_now_and_nobodys_name(site: Site) -> None:
    site.has(items=(SHIRT, Item(sku="B2")), cart_url="https://porto.example.com/cart/1", stage="payment")
    answer = redeem(site, site.token())
    assert answer.status_code == 200
    assert answer.json() == {
        "shop_id": "main", "cart_id": "c-1", "cart_url": "https://porto.example.com/cart/1", "stage": "payment",
        "currency": "EUR", "value": "39.98", "units": 3, "changed_at": "2026-11-23T09:15:00.000Z",
        "items": [{"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99"}, {"sku": "B2"}],
    }  # fmt: skip
    assert PERSON not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("over", ["bought", "merged", "emptied"])
def test_a_cart_that_is_over_can_not_be_redeemed_and_says_why(site: Site, over: Any) -> None:
    token = site.token()
    site.has(over=over, items=())
    answer = redeem(site, token)
    assert (answer.status_code, answer.json()["reason"]) == (410, over)


@pytest.mark.parametrize(("late", "status"), [(-1, 200), (0, 410)])
def test_a_token_can_be_redeemed_for_a_day_after_its_click(site: Site, late: int, status: int) -> None:
    site.has()
    token = site.token()
    site.clock.advance(REDEEM_MS + late)
    assert redeem(site, token).status_code == status


def test_a_token_does_not_outlive_its_link() -> None:
    site = Site(T0 + 90 * DAY - MINUTE)
    site.has()
    token = site.token()
    site.clock.advance(MINUTE)
    assert (redeem(site, token).status_code, redeem(site, token).json()["reason"]) == (410, "expired")


def test_a_cart_nobody_has_heard_of_is_not_found(site: Site) -> None:
    answer = redeem(site, site.token())
    assert (answer.status_code, answer.json()["reason"]) == (404, "no_cart")


@pytest.mark.parametrize(
    ("problem", "status", "reason"),
    [(SinkUnavailable("away"), 503, "unavailable"), (Rejected("a robot's"), 410, "too_long")],
)
def test_a_cart_that_can_not_be_read_says_so(site: Site, problem: Exception, status: int, reason: str) -> None:
    token = site.token()
    site.carts.problem = problem
    answer = redeem(site, token)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("token", ["x", "A" * 100, "A" * 10_000, "%00", "..", "ä"])
def test_what_is_no_token_redeems_nothing_and_asks_nobody(site: Site, token: str) -> None:
    assert redeem(site, token).status_code == 404
    assert site.carts.asked == 0


def test_neither_the_mails_own_token_nor_that_of_a_pixel_redeems_a_cart(site: Site) -> None:
    for url in (LINKS.recovery_url(recovery()), LINKS.pixel_url(recovery())):
        answer = redeem(site, url.rpartition("/")[2].removesuffix(".gif"))
        assert (answer.status_code, answer.json()["reason"]) == (404, "unknown")


def test_one_token_can_be_redeemed_only_so_often(site: Site) -> None:
    site.has()
    token = site.token()
    assert [redeem(site, token).status_code for _ in range(22)] == [200] * 20 + [429] * 2
    assert int(redeem(site, token).headers["retry-after"]) > 0
    site.clock.advance(5_000)
    assert redeem(site, token).status_code == 200


def test_guessing_is_stopped_by_address_long_before_redeeming_is(site: Site) -> None:
    site.has()
    right = site.token()
    tries = [redeem(site, f"guess{n}").status_code for n in range(60)]
    assert tries[:50] == [404] * 50
    assert tries[-1] == 429
    assert redeem(site, right).status_code == 429
    site.address = "203.0.113.8"
    assert redeem(site, right).status_code == 200


# -- identity ------------------------------------------------------------------------------------------------
def identify(site: Site, token: str, **body: Any) -> httpx.Response:
    return site.ask("POST", f"/v1/carts/{token}/device", {}, content=json.dumps(body))


def test_the_device_of_a_click_is_seen_with_the_person_of_the_token_whatever_the_body_claims(site: Site) -> None:
    token = site.token()
    answer = identify(
        site, token, device_id="d-7", session_id="s-1", subscriber_id="p-evil", email="eva@example.com", how="login"
    )
    assert answer.status_code == 202
    topic, key, value = site.written.records[-1]
    seen = decode_device_event(value)
    assert (topic, key, seen.type, seen.how) == (DEVICE_EVENTS, "d-7", "device.identified", "link")
    assert (seen.subscriber_id, seen.email, seen.customer_id, seen.session_id) == (PERSON, None, None, "s-1")
    assert (seen.shop_id, seen.at) == ("main", T0)


def test_a_device_said_twice_is_one_event(site: Site) -> None:
    token = site.token()
    identify(site, token, device_id="d-7")
    identify(site, token, device_id="d-7")
    first, second = (decode_device_event(value) for topic, _, value in site.written.records if topic is DEVICE_EVENTS)
    assert first.event_id == second.event_id


def test_one_message_identifies_a_handful_of_devices_and_no_more(site: Site) -> None:
    token = site.token()
    assert [identify(site, token, device_id=f"d-{n}").status_code for n in range(7)] == [202] * 5 + [429] * 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"device_id": ""}', b"\xff", b'{"device_id": 7}', LONG])
def test_a_body_that_names_no_device_identifies_nobody(site: Site, body: bytes) -> None:
    token, before = site.token(), len(site.written.records)
    answer = site.ask("POST", f"/v1/carts/{token}/device", {}, content=body)
    assert (answer.status_code, answer.json()["reason"]) == (400, "body")
    assert len(site.written.records) == before


def test_nobody_is_identified_by_an_old_or_a_wrong_token_or_while_kafka_is_away(site: Site) -> None:
    token = site.token()
    assert identify(site, token[:-2] + "xx", device_id="d-7").status_code == 404
    site.written.away = True
    assert identify(site, token, device_id="d-7").status_code == 503
    site.clock.advance(REDEEM_MS)
    assert identify(site, token, device_id="d-7").status_code == 410


# -- opens ---------------------------------------------------------------------------------------------------
def test_an_opening_is_written_down_where_the_shop_wants_it(site: Site) -> None:
    answer = site.ask("GET", LINKS.pixel_url(recovery()))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.content.startswith(b"GIF89a")
    opened = decode_message(site.written.records[0][2])
    assert (opened.type, opened.plan_id, opened.machine, opened.url) == ("message.opened", PLAN, False, None)


def test_an_opening_is_not_written_down_for_a_shop_that_has_not_asked_for_it() -> None:
    site = Site(opens=False)
    assert site.ask("GET", LINKS.pixel_url(recovery())).status_code == 200
    assert site.written.records == []


def test_a_proxys_opening_is_kept_apart(site: Site) -> None:
    site.ask("GET", LINKS.pixel_url(recovery()), {"User-Agent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"})
    opened = decode_message(site.written.records[0][2])
    assert (opened.machine, opened.reason) == (True, "gmail_proxy")


def test_a_wrong_pixel_is_a_picture_as_well_and_says_nothing(site: Site) -> None:
    for token in ("x", LINKS.cart_token(recovery())):
        answer = site.ask("GET", f"/o/{token}.gif")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "image/gif")
    assert site.ask("HEAD", LINKS.pixel_url(recovery())).status_code == 200
    assert site.written.records == []


# -- limits --------------------------------------------------------------------------------------------------
def test_a_bucket_fills_again_with_time_and_says_how_long_that_takes() -> None:
    bucket = Buckets(burst=2, per_second=0.5)
    assert [bucket.take("a", 0) for _ in range(3)] == [0, 0, 3]
    assert bucket.take("b", 0) == 0
    assert bucket.take("a", 1_999) > 0
    assert bucket.take("a", 4_000) == 0


def test_an_ipv6_caller_is_his_line_not_one_of_its_addresses() -> None:
    assert neighbourhood("2001:db8:1:2:3::4") == neighbourhood("2001:db8:1:2:ffff::1") == "2001:db8:1:2::"
    assert neighbourhood("::ffff:203.0.113.7") == neighbourhood("203.0.113.7")
    assert neighbourhood(None) == neighbourhood("unix") == ""


# -- the whole way -------------------------------------------------------------------------------------------
def test_the_link_of_a_mail_leads_to_its_cart(site: Site) -> None:
    world = World().hear(cart(consent=True), at=T0).work()
    link = next(x for x in (world.ends[0].text or "").split() if "/r/" in x)
    assert site.ask("GET", link).headers["location"].startswith("https://shop.example.com/cart/c-1?utm_source=")


def test_a_token_that_is_cut_or_turned_is_never_read() -> None:
    token = LINKS.cart_token(recovery())

    def broken() -> Iterator[str]:
        yield from (token[:n] for n in range(len(token)))
        yield from (token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(len(token) - 1))

    for one in broken():
        with pytest.raises(InvalidEvent):
            LINKS.read_cart_token(one)
