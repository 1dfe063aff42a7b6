"""What the unsubscribe link of a message leads to: a page on which a person says what he wants to receive.

in   GET and POST /u/{token}
out  subscriber-events, subscriber_id: subscriber.withdrawn, subscriber.consented

Opening a link changes nothing: mail scanners open them all. Unsubscribing is a POST (RFC 8058: no cookie, no token
but the one in the link, no redirect), honoured as soon as it is answered; whatever a POST says that is not understood
ends the mails.
"""

import logging
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cartwake.clock import Clock, SystemClock, to_datetime
from cartwake.errors import InvalidEvent, Unavailable
from cartwake.model import Channel, Consent, SubscriberEvent, derived_id, encode
from cartwake.publish import Records
from cartwake.shops import Shop, Shops
from cartwake.topics import SUBSCRIBER_EVENTS, Topic
from reminders import bodies
from reminders.clean import line
from reminders.links import Links
from reminders.pages import CHANNELS, Pages, spoken
from reminders.person import Key

log = logging.getLogger(__name__)

_MOST_BODY: Final = 4_096

#: What is wanted, and for which channels; none: nothing was ticked.
Wish = tuple[Literal["stop", "all", "again"], tuple[Channel, ...]]
ONE_CLICK: Final[Wish] = ("stop", ("email",))


def routes(links: Links, publisher: Records, shops: Shops, clock: Clock | None = None) -> list[Route]:
    """The routes of the links, for the collector's application."""
    tracking = _Tracking(links, publisher, shops, clock or SystemClock())
    return [
        Route("/u/{token}", tracking.ask, methods=["GET"]),
        Route("/u/{token}", tracking.choose, methods=["POST"]),
    ]


def wish(body: bytes) -> Wish:
    """What a POST asks for. Anything but a choice made on our page ends the mails."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=20)
    except ValueError:
        return ONE_CLICK
    do = fields.get("do", [""])[0]
    if "List-Unsubscribe" in fields or do not in ("stop", "all", "again"):
        return ONE_CLICK
    ticked = CHANNELS if do == "all" else tuple(x for x in CHANNELS if x in fields.get("channel", ()))
    return cast("Wish", (do, ticked))


class _Tracking:
    def __init__(self, links: Links, publisher: Records, shops: Shops, clock: Clock) -> None:
        self._links = links
        self._publisher = publisher
        self._shops = shops
        self._clock = clock
        self._pages = Pages()

    async def ask(self, request: Request) -> Response:
        """The page with the choices. It changes nothing, and does not know what is set."""
        try:
            shop_id, _ = self._links.read_unsubscribe(request.path_params["token"])
        except InvalidEvent:
            return self._pages("unknown", request, status=404)
        return self._pages("ask", request, self._shops.of(shop_id), ticked=("email",))

    async def choose(self, request: Request) -> Response:
        """Record what the person wants, then say so."""
        try:
            key = self._links.read_unsubscribe(request.path_params["token"])
        except InvalidEvent:
            return self._pages("unknown", request, status=404)
        shop = self._shops.of(key[0])
        do, channels = wish(await _body(request))
        if not channels:
            return self._pages("ask", request, shop, status=400, warning="none")
        event = self._event(key, do, channels, consent_text=_consent_text(request, shop))
        try:
            await self._write(SUBSCRIBER_EVENTS, key[1], encode(event))
        except Unavailable as exc:
            log.warning("a person's choice could not be recorded: %s", exc)
            again: dict[str, Any] = {"ticked": channels, "do": do, "headers": {"Retry-After": "60"}}
            return self._pages("later", request, shop, status=503, **again)
        return self._pages("returned" if do == "again" else "stopped", request, shop, ticked=channels)

    def _event(self, key: Key, do: str, channels: tuple[Channel, ...], *, consent_text: str) -> SubscriberEvent:
        now = self._clock.now_ms()
        again = do == "again"
        return SubscriberEvent(
            event_id=derived_id("preferences", *key, do, *channels, now),
            type="subscriber.consented" if again else "subscriber.withdrawn",
            shop_id=key[0],
            subscriber_id=key[1],
            occurred_at=to_datetime(now),
            reason="preference centre" if again else "unsubscribe link",
            channels=channels,
            consent=Consent(basis="preference centre", text=consent_text, channels=channels) if again else None,
        )

    async def _write(self, topic: Topic, key: str, value: bytes) -> None:
        await run_in_threadpool(self._publisher.send_and_wait, topic, key, value, timeout=3.0)


def _consent_text(request: Request, shop: Shop) -> str:
    return spoken(request, shop).say("page", "consent", shop=line(shop.profile.title, 100))


async def _body(request: Request) -> bytes:
    """The body; empty when it is longer than any choice, or broken off: that is no reason not to unsubscribe."""
    try:
        return await bodies.read(request, _MOST_BODY)
    except bodies.Refused:
        return b""
