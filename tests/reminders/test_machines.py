"""Machines on the way to a person, told apart by what they say of themselves and by when they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.machines import SOON_MS, machine

IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
APPLE_MAIL = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
CUBOT = "Mozilla/5.0 (Linux; Android 9; CUBOT NOVA) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
OUTLOOK = "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)"
FACEBOOK = IPHONE + " [FBAN/FBIOS;FBAV/470.0]"


def visit(agent: str, **more: str) -> dict[str, str]:
    headers = {"user-agent": agent, "accept-language": "de"} | {k.replace("_", "-"): v for k, v in more.items()}
    return {name: value for name, value in headers.items() if value}


@pytest.mark.parametrize("agent", [IPHONE, CHROME, CUBOT, FACEBOOK, APPLE_MAIL])
def test_people_who_click_are_people(agent: str) -> None:
    assert machine("click", visit(agent, sec_fetch_dest="document"), since_ms=60_000) is None
    assert machine("click", visit(agent)) is None


@pytest.mark.parametrize("agent", [IPHONE, APPLE_MAIL, OUTLOOK, "Thunderbird/128.0", "Dalvik/2.1.0 (Linux; U)"])
def test_people_who_open_are_people(agent: str) -> None:
    assert machine("open", visit(agent, accept_language=""), since_ms=60_000) is None


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        ("Mozilla/5.0", "apple_privacy"),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "gmail_proxy"),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "yahoo_proxy"),
        ("", "no_agent"), ("   ", "no_agent"), ("curl/8.5.0", "scanner"), ("python-requests/2.32", "scanner"),
        ("Go-http-client/2.0", "scanner"), ("Mozilla/5.0 (compatible; bingbot/2.0)", "scanner"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "scanner"),
        ("Slackbot-LinkExpanding 1.0", "scanner"), ("WhatsApp/2.23.20", "scanner"),
        ("facebookexternalhit/1.1", "scanner"),
        ("Mozilla/5.0 BarracudaCentral", "scanner"), (CHROME.replace("Chrome/", "HeadlessChrome/"), "scanner"),
        ("Mozilla/5.0 (Windows NT 6.1) SkypeUriPreview Preview/0.5", "scanner"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["open", "click"])
def test_what_says_that_it_is_a_machine_is_one(kind: str, agent: str, why: str) -> None:
    assert machine(kind, visit(agent), since_ms=3_600_000) == why  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "said",
    [{"purpose": "prefetch"}, {"sec_purpose": "prefetch;prerender"}, {"x_moz": "Prefetch"}, {"x_purpose": "preview"}],
)
def test_what_is_fetched_ahead_has_not_been_looked_at(said: dict[str, str]) -> None:
    assert machine("open", visit(IPHONE, **said)) == machine("click", visit(IPHONE, **said)) == "prefetch"


def test_a_click_that_no_browser_makes_is_a_machines() -> None:
    assert machine("click", visit(CHROME, accept_language="")) == "no_language"
    assert machine("click", visit(CHROME, sec_fetch_dest="empty")) == "no_visit"
    assert machine("click", visit("Thunderbird/128.0")) == "no_browser"


def test_asking_for_the_head_is_no_reading() -> None:
    assert machine("open", visit(IPHONE), method="HEAD") == "head"


@pytest.mark.parametrize("kind", ["open", "click"])
def test_nobody_reads_a_message_before_it_can_have_been_read(kind: str) -> None:
    soon = SOON_MS[kind]
    said = [machine(kind, visit(IPHONE), since_ms=since) for since in (-5_000, 0, soon - 1, soon, soon + 1)]  # type: ignore[arg-type]
    assert said == ["too_soon"] * 3 + [None] * 2


@given(st.dictionaries(st.sampled_from(["user-agent", "purpose", "sec-fetch-dest", "x-moz"]), st.text()), st.integers())
def test_whatever_a_request_says_there_is_an_answer(headers: dict[str, str], since: int) -> None:
    assert machine("click", headers, since_ms=since) is not None  # no language: no browser
    assert machine("open", headers) is None or isinstance(machine("open", headers), str)
