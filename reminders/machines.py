"""Was it the person, or a machine on the way to them? Pure: what a request said and when in, the reason out.

Mail proxies load every picture before anybody looks, scanners follow every link. Their figures are kept, apart. What
can't be told apart counts as a person's, so opens are an upper bound; a purchase is the measure.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal

#: Sooner after the sending than this nobody has got, found and read a message; clicking takes longer than opening.
SOON_MS: Final = {"open": 5_000, "click": 8_000}

#: Proxies that load pictures when the mail arrives, or whenever they like.
_PROXIES: Final = {
    "GoogleImageProxy": "gmail_proxy",
    "ggpht.com": "gmail_proxy",
    "YahooMailProxy": "yahoo_proxy",
}
_SCANNER: Final = re.compile(
    r"(?<!cu)bot\b|crawl|spider|scanner|preview|prefetch|archiver|facebookexternalhit|whatsapp|embedly|barracuda|"
    r"mimecast|proofpoint|symantec|messagelabs|trendmicro|fireeye|cloudmark|sophos|forcepoint|bitdefender|zscaler|"
    r"safelinks|virustotal|urlscan|headless|phantomjs|selenium|puppeteer|playwright",
    re.IGNORECASE,
)
_PROGRAM: Final = re.compile(
    r"^(python|curl|wget|go-http|java|okhttp|apache-httpclient|axios|node|ruby|perl|libwww|php|guzzle|aiohttp|httpx|"
    r"postman|powershell|winhttp|microsoft-cryptoapi)",
    re.IGNORECASE,
)
#: All that Apple's Mail Privacy Protection says of itself when it loads pictures ahead, for whoever has switched it on.
_APPLE: Final = "Mozilla/5.0"
_AHEAD: Final = ("purpose", "sec-purpose", "x-purpose", "x-moz")


def machine(
    kind: Literal["open", "click"], headers: Mapping[str, str], *, method: str = "GET", since_ms: int | None = None
) -> str | None:
    """Why this request was a machine's, in one word, or None; `headers` have names in lower case.

    `since_ms` is the time since the message was sent, None when that is not known.
    """
    return next(_reasons(kind, headers, method, since_ms), None)


def _reasons(kind: str, headers: Mapping[str, str], method: str, since_ms: int | None) -> Iterator[str]:
    agent = headers.get("user-agent", "").strip()
    if method == "HEAD":
        yield "head"
    if any(word in headers.get(name, "").lower() for name in _AHEAD for word in ("prefetch", "preview", "prerender")):
        yield "prefetch"
    if not agent:
        yield "no_agent"
    if agent == _APPLE:
        yield "apple_privacy"
    yield from (reason for part, reason in _PROXIES.items() if part in agent)
    if _SCANNER.search(agent) or _PROGRAM.match(agent):
        yield "scanner"
    if kind == "click":
        yield from _not_a_visit(agent, headers)
    if since_ms is not None and since_ms < SOON_MS[kind]:
        yield "too_soon"


def _not_a_visit(agent: str, headers: Mapping[str, str]) -> Iterator[str]:
    """Browsers that follow a link say which languages are wanted, and those of today that a page is."""
    if not agent.startswith("Mozilla/"):
        yield "no_browser"
    if "accept-language" not in headers:
        yield "no_language"
    if headers.get("sec-fetch-dest", "document") not in ("document", "iframe"):
        yield "no_visit"
