"""The pages that the links of a message open: in the reader's language, running nothing, saying what they know.

The words are those of `templates/words/<language>.toml`, section `page`, in the browser's language, else the shop's.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from cartwake.shops import Shop
from reminders.clean import line, web_url
from reminders.reader import TEMPLATES
from reminders.words import DEFAULT_LANGUAGE, Speech, catalogues, preferred, speech_of

CHANNELS: Final = ("email", "sms", "push")
#: What no answer to a link should be without.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}


class Pages:
    """Makes the pages `ask`, `stopped`, `returned`, `later`, `old` and `unknown`."""

    def __init__(self) -> None:
        env = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._template = env.get_template("page.html")

    def __call__(
        self,
        page: str,
        request: Request,
        shop: Shop | None = None,
        *,
        status: int = 200,
        ticked: tuple[str, ...] = (),
        do: str = "",
        warning: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """A page. `ticked` are the channels it speaks of, `do` what to try again, `warning` a word of the section."""
        speech, nonce = spoken(request, shop), secrets.token_urlsafe(12)
        title = line(shop.profile.title, 100) if shop else ""
        known: dict[str, Any] = {"title": title, "url": web_url(shop.profile.url) if shop else None}
        html = self._template.render(
            page=page, language=speech.language, direction=speech.direction, nonce=nonce, shop=known if shop else None,
            headline=speech.say("page", page), text=speech.say("page", f"{page}_words", shop=title),
            visit=speech.say("page", "visit", shop=title), say=lambda key: speech.say("page", key),
            warning=speech.say("page", warning) if warning else "", channels=CHANNELS, ticked=ticked, do=do,
        )  # fmt: skip
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; "
            "base-uri 'none'"
        )
        return HTMLResponse(html, status, {**HEADERS, "Content-Security-Policy": policy, **(headers or {})})


def spoken(request: Request, shop: Shop | None) -> Speech:
    """The first language the browser asks for in which there are words, else the shop's, else English."""
    wanted = preferred(request.headers.get("accept-language", ""))
    for text in (*wanted, shop.profile.locale if shop else ""):
        speech = speech_of(text) if text else None
        if speech is not None and speech.language in catalogues():
            return speech
    found = speech_of(DEFAULT_LANGUAGE)
    assert found is not None, "English is a language"
    return found
