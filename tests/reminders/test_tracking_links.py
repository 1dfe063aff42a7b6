"""The link of a mail that leads out."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from cartwake.clock import FakeClock
from cartwake.errors import InvalidEvent, KafkaUnavailable
from cartwake.model import Consent, Setting, decode_subscriber_event, person_id
from cartwake.shops import Shops
from cartwake.topics import MESSAGES, SUBSCRIBER_EVENTS, Topic
from reminders.reader import TEMPLATES
from reminders.tracking import routes, wish
from tests.reminders.contrast import contrast
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

    @property
    def said(self) -> list[tuple[str, Any]]:
        """What was recorded of the person, in short."""
        events = [decode_subscriber_event(value) for topic, _, value in self.written.records if topic != MESSAGES]
        return [(event.type, event.channels) for event in events]


def reading(language: str) -> dict[str, str]:
    return {"accept-language": language}


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
    assert event.channels == ("email",)


HOSTILE_BODIES = (
    b"", b"\xff" * 100_000, b"{", b"do=drop", b"do=again&List-Unsubscribe=One-Click&channel=sms", b"&" * 4_000,
    b"do=again&channel=sms&" + b"x=1&" * 900, b"do=\xc3\xa4gain", b"do%00=again",
    b"do=again&channel=sms" + b" " * 5_000,
)  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE_BODIES)
def test_a_body_that_is_not_understood_ends_the_mails(site: Site, body: bytes) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert site.ask("POST", LINKS.unsubscribe_url(KEY), content=body, headers=form).status_code == 200
    assert site.said == [("subscriber.withdrawn", ("email",))]


@given(st.binary(max_size=200))
def test_no_body_whatever_signs_anybody_up_by_chance(body: bytes) -> None:
    do, channels = wish(body)
    assert do in ("stop", "all") or b"again" in body
    assert set(channels) <= {"email", "sms", "push"}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"do": "stop", "channel": "sms"}, ("subscriber.withdrawn", ("sms",))),
        ({"do": "stop", "channel": ["push", "email", "fax"]}, ("subscriber.withdrawn", ("email", "push"))),
        ({"do": "all"}, ("subscriber.withdrawn", ("email", "sms", "push"))),
        ({"do": "again", "channel": "email"}, ("subscriber.consented", ("email",))),
    ],
)
def test_a_choice_on_the_page_is_recorded_for_the_channels_it_names(site: Site, form: Any, said: Any) -> None:
    answer = site.ask("POST", LINKS.unsubscribe_url(KEY), data=form)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert site.said == [said]


def test_who_ticks_nothing_is_asked_again_and_nothing_is_recorded(site: Site) -> None:
    for do in ("stop", "again"):
        answer = site.ask("POST", LINKS.unsubscribe_url(KEY), data={"do": do, "channel": "fax"})
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
    assert site.said == []


def test_subscribing_again_says_to_which_words_the_person_agreed(site: Site) -> None:
    site.ask("POST", LINKS.unsubscribe_url(KEY), data={"do": "again", "channel": "sms"}, headers=reading("ro"))
    consent = decode_subscriber_event(site.written.records[0][2]).consent
    assert isinstance(consent, Consent)
    assert (consent.granted, consent.basis, consent.channels) == (True, "preference centre", ("sms",))
    assert consent.text == "<b>Porto</b> îmi poate aminti de coșurile lăsate, prin mijloacele bifate."


def test_what_was_done_can_be_undone_with_the_button_of_the_page(site: Site) -> None:
    url = LINKS.unsubscribe_url(KEY)
    stopped = site.ask("POST", url, data={"do": "stop", "channel": ["email", "push"]})
    fields = re.findall(r'<input type="hidden" name="channel" value="(\w+)">', stopped.text)
    undo = re.findall(r'<button type="submit" name="do" value="(\w+)"', stopped.text)
    assert (fields, undo) == (["email", "push"], ["again"])
    site.ask("POST", url, data={"do": undo[0], "channel": fields})
    assert site.said == [("subscriber.withdrawn", ("email", "push")), ("subscriber.consented", ("email", "push"))]


def test_undoing_lets_the_next_reminder_out(site: Site) -> None:
    site.ask("POST", LINKS.unsubscribe_url(KEY))
    site.clock.advance(1_000)
    site.ask("POST", LINKS.unsubscribe_url(KEY), data={"do": "again", "channel": "email"})
    events = [decode_subscriber_event(value) for _, _, value in site.written.records]
    left = cart(T0 + DAY, consent=True)
    assert World().hear(*events, left, at=T0 + DAY).work().said == ["sent"]
    assert World().hear(events[0], left, at=T0 + DAY).work().said == ["suppressed:unsubscribed"]


def test_a_wish_that_could_not_be_saved_is_not_called_saved(site: Site) -> None:
    site.written.away = True
    answer = site.ask("POST", LINKS.unsubscribe_url(KEY), data={"do": "stop", "channel": "sms"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"
    assert '<input type="hidden" name="channel" value="sms">' in answer.text
    assert 'name="do" value="stop"' in answer.text


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


def test_pages_speak_the_browsers_language_else_the_shops(site: Site) -> None:
    site.shops.apply(Setting(shop_id="main", name="shop", value={"title": "Laden", "locale": "de-AT"}))
    url = LINKS.unsubscribe_url(KEY)
    assert "Weniger Erinnerungen?" in site.ask("GET", url).text
    for accepted, words in (
        ("bg-BG,bg;q=0.9,en;q=0.8", "По-малко напомняния?"),
        ("fr, pl;q=0.2, ro;q=0.9", "Mai puține notificări?"),
        ("fr, ja", "Weniger Erinnerungen?"),
        ("en;q=0, de;q=x, " * 500, "Weniger Erinnerungen?"),
        ("pl-PL", "Mniej przypomnień?"),
    ):
        answer = site.ask("GET", url, headers=reading(accepted)).text
        assert words in answer, accepted
    assert f'<html lang="{"pl"}" dir="ltr">' in answer


def test_pages_can_be_read_in_both_modes() -> None:
    style = (TEMPLATES / "page.html").read_text()
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block)) for block in re.findall(r":root \{(.*?)\}", style))
    for colours in (light, dark):
        for on, texts in (("card", ("ink", "soft", "act", "warn")), ("page", ("ink",)), ("act", ("on",))):
            for text in texts:
                assert contrast(colours[text], colours[on]) >= 4.5, (text, on)
        assert contrast(colours["line"], colours["card"]) >= 3


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
