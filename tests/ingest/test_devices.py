"""What kind of device a browser says it is."""

import pytest

from ingest.devices import device_kind

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15"
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/140.0.0.0"


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (MAC, "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/140.0", "desktop"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148 Safari/604.1", "mobile"),
        (ANDROID + " Mobile Safari/537.36", "mobile"),
        (ANDROID + " Safari/537.36", "tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) Mobile/15E148", "tablet"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/140.0.0.0 Safari/537.36", "bot"),
        ("", ""),
    ],
)
def test_the_kind_is_that_of_the_browser(agent: str, kind: str) -> None:
    assert device_kind({"origin": "https://shop.example.com", "user-agent": agent}) == kind


def test_a_hint_of_the_browser_counts_where_its_name_says_nothing() -> None:
    said = {"origin": "null", "user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "sec-ch-ua-mobile": "?1"}
    assert device_kind(said) == "mobile"


def test_nothing_is_said_of_what_no_page_has_sent() -> None:
    assert device_kind({"user-agent": MAC}) == ""


def test_a_long_name_is_not_read_to_its_end() -> None:
    assert device_kind({"origin": "null", "user-agent": "x" * 1_000 + " iPhone"}) == "desktop"
