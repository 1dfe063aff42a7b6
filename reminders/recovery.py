"""What the links to a cart lead to, and what a shop gets for them.

in   GET /r/{token}: to the shop's cart, or to a page that says why not
in   GET /o/{token}.gif: a picture of one pixel, in mails of shops that want to know about opens
in   GET /v1/carts/{token}: the shop redeems the token of its cart URL for the cart as it is now
in   POST /v1/carts/{token}/device: the shop's page says on which device the link was opened
out  messages, subscriber_id: message.clicked, message.opened
out  device-events, device_id: device.identified, how = link

A link logs nobody in and works while Kafka and ClickHouse are away. Who it names stands in its token alone: no body, no
parameter and no cookie can say it is somebody else.
"""

import asyncio
import base64
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cartwake.cart import CartReader, CurrentCart
from cartwake.clock import Clock, SystemClock, rfc3339, to_datetime
from cartwake.errors import InvalidEvent, Rejected, SinkUnavailable, Unavailable
from cartwake.model import DeviceEvent, Id, Message, derived_id, encode
from cartwake.publish import Records
from cartwake.shops import Shop, Shops
from cartwake.topics import DEVICE_EVENTS, MESSAGES, Topic
from reminders import bodies
from reminders.clean import web_url
from reminders.limits import Buckets, neighbourhood
from reminders.links import HOME, Links, Recovery
from reminders.machines import machine
from reminders.pages import HEADERS, Pages

log = logging.getLogger(__name__)

#: The parameter of the shop's cart URL that carries the token to redeem.
PARAMETER: Final = "cartwake"
#: How long the shop may redeem a click; a tab is left open, but a token in a log should not be worth much for long.
REDEEM_MS: Final = timedelta(hours=24) // timedelta(milliseconds=1)
MOST_BODY: Final = 4_096

_PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_READERS: Final = 8
_GONE: Final = {
    "expired": "the token has expired; the shopper clicks the link again",
    "bought": "the cart has been bought",
    "merged": "the cart has gone into another one",
    "emptied": "everything was taken out of the cart",
}


class Device(Struct, frozen=True):
    """The body of `POST /v1/carts/{token}/device`."""

    device_id: Id
    session_id: Id | None = None


class Patience(Struct, frozen=True):
    """How long the answer of ClickHouse is waited for: a shopper not for long, a shop's server longer."""

    click: float = 0.7
    redeem: float = 4.0


def routes(
    links: Links,
    publisher: Records,
    shops: Shops,
    *,
    carts: CartReader,
    opens: Callable[[Shop], bool] = lambda _shop: False,
    clock: Clock | None = None,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> list[Route]:
    """The routes, for the collector's application; `opens` says whether a shop wants to know who opens its mails."""
    recovering = _Recovering(links, publisher, shops, carts, opens, clock or SystemClock(), patience)
    return [
        Route("/r/{token}", recovering.recover, methods=["GET"]),
        Route("/o/{token}.gif", recovering.opened, methods=["GET"]),
        Route("/v1/carts/{token}", recovering.redeem, methods=["GET"]),
        Route("/v1/carts/{token}/device", recovering.identify, methods=["POST"]),
    ]


class _Recovering:
    def __init__(
        self,
        links: Links,
        publisher: Records,
        shops: Shops,
        carts: CartReader,
        opens: Callable[[Shop], bool],
        clock: Clock,
        patience: Patience,
    ) -> None:
        self._links = links
        self._publisher = publisher
        self._shops = shops
        self._carts = carts
        self._opens = opens
        self._clock = clock
        self._patience = patience
        self._page = Pages()
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="carts")
        self._free = threading.Semaphore(_READERS)
        self._noted = Buckets(burst=20, per_second=1 / 60)  # clicks and opens of one message
        self._redeemed = Buckets(burst=20, per_second=1 / 5)  # one token
        self._devices = Buckets(burst=5, per_second=1 / 3600)  # one token
        self._callers = Buckets(burst=1_000, per_second=20)  # one address; a shop's server asks for all its shoppers

    # -- the shopper ---------------------------------------------------------------------------------------------
    async def recover(self, request: Request) -> Response:
        """Lead to the cart. The click is written down meanwhile: that it can't be keeps nobody waiting."""
        try:
            recovery = self._links.read_recovery(request.path_params["token"])
        except InvalidEvent:
            return self._page("unknown", request, status=404)
        shop, now = self._shops.of(recovery.shop_id), self._clock.now_ms()
        if now >= recovery.expires_at:
            return self._page("old", request, shop, status=410)
        url = recovery.cart_url
        if url.startswith(HOME):
            if all(known.shop_id != shop.shop_id for known in self._shops):
                return self._page("away", request, status=503, headers={"Retry-After": "30"})
            url = shop.profile.url.rstrip("/") + url[len(HOME) :]
        target = web_url(url)
        if target is None:
            return self._page("old", request, shop, status=410)
        if request.method != "GET":
            return RedirectResponse(target, 302, HEADERS)
        noting = self._noting(request, recovery, now, url=target)
        answer: Response
        try:
            cart = await self._read(recovery, self._patience.click)
        except (SinkUnavailable, Rejected) as exc:
            log.info("a click went on to the shop without a look at the cart: %s", exc)
            cart = None
        if cart is not None and cart.over is not None:
            answer = self._page(cart.over, request, shop, status=410)
        else:
            redeemable = replace(recovery, expires_at=min(recovery.expires_at, now + REDEEM_MS))
            token = self._links.cart_token(redeemable)
            answer = RedirectResponse(_tagged(target, recovery, token), 302, HEADERS)
        answer.background = noting
        return answer

    async def opened(self, request: Request) -> Response:
        """The picture, whatever the token is; the opening is written down if the shop wants that."""
        answer = Response(_PIXEL, 200, HEADERS, "image/gif")
        try:
            recovery = self._links.read_pixel(request.path_params["token"])
        except InvalidEvent:
            answer.status_code = 404
            return answer
        now = self._clock.now_ms()
        wanted = now < recovery.expires_at and self._opens(self._shops.of(recovery.shop_id))
        if request.method == "GET" and wanted:
            answer.background = self._noting(request, recovery, now)
        return answer

    # -- the shop ------------------------------------------------------------------------------------------------
    async def redeem(self, request: Request) -> Response:
        """The cart as it is now, to build it again; 404, 410, 429 and 503 say their reason in one word."""
        found = self._token(request, self._redeemed)
        if isinstance(found, Response):
            return found
        try:
            cart = await self._read(found, self._patience.redeem)
        except SinkUnavailable as exc:
            log.warning("a cart could not be read: %s", exc)
            return _no(503, "unavailable", "the cart can't be read just now", {"Retry-After": "5"})
        except Rejected:
            return _no(410, "too_long", "the cart has too many events to be built again")
        if cart is None:
            return _no(404, "no_cart", "no event of this cart is known (any more)")
        if cart.over is not None:
            return _no(410, cart.over, _GONE[cart.over])
        return _json(200, _said(cart))

    async def identify(self, request: Request) -> Response:
        """The device the link was opened on was seen with the person of the token; which person, the token says."""
        found = self._token(request, self._devices)
        if isinstance(found, Response):
            return found
        try:
            device = msgspec.json.decode(await bodies.read(request, MOST_BODY), type=Device)
        except (bodies.Refused, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            return _no(400, "body", f'{exc}; send {{"device_id": "…"}}')
        event = DeviceEvent(
            event_id=derived_id("link", found.plan_id, device.device_id),
            type="device.identified",
            shop_id=found.shop_id,
            occurred_at=to_datetime(self._clock.now_ms()),
            device_id=device.device_id,
            session_id=device.session_id,
            subscriber_id=found.subscriber_id,
            how="link",
        )
        try:
            await self._write(DEVICE_EVENTS, device.device_id, encode(event))
        except Unavailable as exc:
            log.warning("a device could not be recorded: %s", exc)
            return _no(503, "unavailable", "Kafka does not answer; nothing was accepted", {"Retry-After": "5"})
        return _json(202, {"accepted": 1})

    def _token(self, request: Request, limit: Buckets) -> Recovery | Response:
        """What the token says, or why it says nothing. A wrong one costs its caller as much as twenty right ones."""
        token, now = request.path_params["token"], self._clock.now_ms()
        caller = neighbourhood(request.client.host if request.client else None)
        wait = self._callers.take(caller, now)
        recovery = None
        if not wait:
            try:
                recovery = self._links.read_cart_token(token)
            except InvalidEvent:
                wait = self._callers.take(caller, now, cost=19)
                if not wait:
                    return _no(404, "unknown", "the token is not one of ours")
        if recovery is not None and not wait:
            wait = limit.take(recovery.plan_id, now)
        if wait or recovery is None:
            return _no(429, "too_often", f"wait {wait} s", {"Retry-After": str(wait)})
        if now >= recovery.expires_at:
            return _no(410, "expired", _GONE["expired"])
        return recovery

    # -- parts ---------------------------------------------------------------------------------------------------
    async def _read(self, recovery: Recovery, within: float) -> CurrentCart | None:
        """The cart; raises SinkUnavailable when that takes longer than `within` seconds, and Rejected."""
        if not self._free.acquire(blocking=False):
            raise SinkUnavailable("all readers are waiting for ClickHouse")
        future = self._threads.submit(self._carts.read, recovery.shop_id, recovery.cart_id)
        future.add_done_callback(lambda _: self._free.release())  # a thread that hangs is not given another cart
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), within)
        except TimeoutError as exc:
            raise SinkUnavailable(f"ClickHouse did not answer within {within:g} s") from exc

    def _noting(self, request: Request, recovery: Recovery, now: int, url: str | None = None) -> BackgroundTask | None:
        """Writes down the click (with `url`) or the opening, once the answer is out; None for one too many."""
        verb = "opened" if url is None else "clicked"
        if self._noted.take(f"{verb} {recovery.plan_id}", now):
            return None
        since = now - recovery.written_at if recovery.written_at else None
        why = machine("open" if url is None else "click", request.headers, method=request.method, since_ms=since)
        message = Message(
            message_id=derived_id(recovery.plan_id, verb, now),
            type="message.opened" if url is None else "message.clicked",
            plan_id=recovery.plan_id,
            shop_id=recovery.shop_id,
            subscriber_id=recovery.subscriber_id,
            occurred_at=rfc3339(now),
            channel=recovery.channel,
            cart_id=recovery.cart_id,
            step=recovery.step or None,
            variant=recovery.variant or None,
            url=url,
            machine=why is not None,
            reason=why,
        )
        return BackgroundTask(self._note, recovery.subscriber_id, encode(message))

    async def _note(self, subscriber_id: str, value: bytes) -> None:
        try:
            await self._write(MESSAGES, subscriber_id, value)
        except Unavailable as exc:
            log.warning("a click or an opening could not be recorded: %s", exc)

    async def _write(self, topic: Topic, key: str, value: bytes) -> None:
        await run_in_threadpool(self._publisher.send_and_wait, topic, key, value, timeout=3.0)


def _tagged(url: str, recovery: Recovery, token: str) -> str:
    """The cart's address with the token and what web statistics ask for; what it says already stays as it is."""
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] != PARAMETER]
    content = f"step-{recovery.step}" if recovery.step else "by-hand"
    tags = {
        "utm_source": "cartwake",
        "utm_medium": recovery.channel,
        "utm_campaign": "cart-reminder",
        "utm_content": content + (f"-{recovery.variant}" if recovery.variant else ""),
    }
    said = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = {name: value for name, value in tags.items() if name not in said} | {PARAMETER: token}
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode(added, quote_via=quote)])))


def _said(cart: CurrentCart) -> dict[str, Any]:
    return {
        "shop_id": cart.shop_id,
        "cart_id": cart.cart_id,
        "cart_url": web_url(cart.cart_url),
        "stage": cart.stage,
        "currency": cart.currency,
        "value": cart.value,
        "units": cart.units,
        "changed_at": rfc3339(cart.changed_at),
        "items": cart.items,
    }


def _no(status: int, reason: str, words: str, headers: dict[str, str] | None = None) -> Response:
    return _json(status, {"reason": reason, "error": words}, headers)


def _json(status: int, said: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(encode(said), status, HEADERS | (headers or {}), "application/json")
