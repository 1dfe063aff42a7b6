"""The kind of device behind a request, by what its browser says."""

import re
from collections.abc import Mapping
from typing import Final

_BOT: Final = re.compile(r"bot\b|crawl|spider|headless|lighthouse", re.IGNORECASE)
_TABLET: Final = re.compile(r"iPad|Tablet|Android(?!.*Mobile)|Silk(?!.*Mobile)|PlayBook|Kindle", re.IGNORECASE)
_MOBILE: Final = re.compile(r"Mobi|iPhone|iPod|Android", re.IGNORECASE)


def device_kind(headers: Mapping[str, str]) -> str:
    """desktop, mobile, tablet or bot; empty when no page sent the request, so that nothing is said of the shopper.

    Browsers name the page a POST comes from (Origin, Fetch Standard 3.1); a shop's server does not. An iPad that asks
    for pages as a Mac does counts as desktop: it can't be told apart.
    """
    agent = headers.get("user-agent", "")[:1_000]
    if "origin" not in headers or not agent:
        return ""
    if _BOT.search(agent):
        return "bot"
    if _TABLET.search(agent):
        return "tablet"
    if headers.get("sec-ch-ua-mobile") == "?1" or _MOBILE.search(agent):
        return "mobile"
    return "desktop"
