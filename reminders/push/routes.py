"""What a shop's page and its server ask for web push.

in   GET /push/key, /push/sw.js, /push/push.js
in   POST /push/token: the shop's server vouches for somebody
in   POST /push/subscribe: a browser of that person takes messages
out  subscriber-events, subscriber_id: subscriber.consented, subscriber.updated
"""

import hmac
import logging
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cartwake.clock import Clock, SystemClock, to_datetime
from cartwake.errors import InvalidEvent, Unavailable
from cartwake.model import (
    DEFAULT_SHOP,
    Consent,
    Email,
    Id,
    PushTarget,
    SubscriberEvent,
    Text,
    Url,
    derived_id,
    encode,
    subscriber_id_for,
)
from cartwake.publish import Records
from cartwake.shops import Shops
from cartwake.topics import SUBSCRIBER_EVENTS
from reminders import bodies
from reminders.address import check_address
from reminders.clean import line, web_url
from reminders.push.endpoints import check_endpoint, check_keys, origin_of
from reminders.push.keys import Keys
from reminders.push.rates import Rate
from reminders.push.tokens import MOST_TOKEN, Grant, Tokens

log = logging.getLogger(__name__)

STATIC: Final = Path(__file__).parent / "static"
MOST_BODY: Final = 8 * 1024
_HOUR_MS: Final = 3_600_000
_SCRIPT: Final = {"Cache-Control": "public, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}


class _Keys(Struct, frozen=True):
    p256dh: str
    auth: str


class _Subscription(Struct, frozen=True):
    endpoint: Url
    keys: _Keys


class _Wish(Struct, frozen=True):
    subscription: _Subscription
    token: Annotated[str, Meta(max_length=MOST_TOKEN)] = ""
    text: Text | None = None  # what the shopper agreed to
    replaces: Url | None = None  # an endpoint that is over


class _Somebody(Struct, frozen=True):
    shop_id: Id = DEFAULT_SHOP
    email: Email | None = None
    customer_id: Id | None = None
    subscriber_id: Id | None = None


class _No(Exception):
    """A refusal, with its HTTP status."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers or {}


def routes(
    *, base: str, keys: Keys, tokens: Tokens, ingest_token: str, publisher: Records, shops: Shops,
    anywhere: bool = False, clock: Clock | None = None,
) -> list[Route]:  # fmt: skip
    """The routes of web push, for the collector's application. `base` is its address as shoppers see it."""
    push = _Push(base, keys, tokens, ingest_token.encode(), publisher, shops, anywhere, clock or SystemClock())
    return [
        Route("/push/key", push.key),
        Route("/push/sw.js", push.worker),
        Route("/push/push.js", push.page),
        Route("/push/token", push.vouch, methods=["POST"]),
        Route("/push/subscribe", push.subscribe, methods=["POST"]),
        Route("/push/subscribe", push.preflight, methods=["OPTIONS"]),
    ]


class _Push:
    def __init__(
        self, base: str, keys: Keys, tokens: Tokens, ingest_token: bytes, publisher: Records, shops: Shops,
        anywhere: bool, clock: Clock,
    ) -> None:  # fmt: skip
        self._settings = encode({"base": base.rstrip("/"), "key": keys.public}).decode()
        self._public = keys.public
        self._tokens = tokens
        self._ingest_token = ingest_token
        self._publisher = publisher
        self._shops = shops
        self._anywhere = anywhere
        self._clock = clock
        self._each = Rate(10, _HOUR_MS // 10)  # by person
        self._all = Rate(200, 20)

    # -- what is the same for everybody ------------------------------------------------------------------------------
    async def key(self, _request: Request) -> Response:
        """The public key, for `pushManager.subscribe`."""
        return _json(200, {"key": self._public}, {"Access-Control-Allow-Origin": "*"} | _SCRIPT)

    async def worker(self, _request: Request) -> Response:
        """What the shop's service worker takes in with `importScripts`."""
        return self._script("cartwake-push.js")

    async def page(self, _request: Request) -> Response:
        """What the shop's pages take in."""
        return self._script("subscribe.js")

    def _script(self, name: str) -> Response:
        text = _static(name).replace("__SETTINGS__", self._settings)
        return Response(text, media_type="text/javascript", headers=_SCRIPT)

    # -- the shop's server ---------------------------------------------------------------------------------------------
    async def vouch(self, request: Request) -> Response:
        """A token for the person whom the shop's server has logged in."""
        try:
            self._check_server(request)
            somebody = _decoded(await _body(request), _Somebody)
            if somebody.email is not None and (problem := check_address(somebody.email)):
                raise _No(422, f"email: {problem}")
            subscriber_id = subscriber_id_for(
                email=somebody.email, customer_id=somebody.customer_id, subscriber_id=somebody.subscriber_id
            )
            if subscriber_id is None or "\0" in somebody.shop_id + subscriber_id:
                raise _No(422, "one of email, customer_id and subscriber_id is needed")
        except _No as no:
            return _refused(no)
        token = self._tokens.make((somebody.shop_id, subscriber_id), "subscribe", now=self._clock.now_ms())
        return _json(200, {"token": token})

    def _check_server(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if not self._ingest_token:
            raise _No(403, "the setting ingest_token is empty: without it anybody could claim to be the shop's server")
        right = hmac.compare_digest(given.strip().encode("latin-1"), self._ingest_token)
        if scheme.lower() != "bearer" or not right:
            raise _No(401, "Authorization: Bearer … with the collector's token", {"WWW-Authenticate": "Bearer"})

    # -- a browser -----------------------------------------------------------------------------------------------------
    async def preflight(self, request: Request) -> Response:
        """What a browser asks before a page of the shop may subscribe it."""
        try:
            cors = self._cors(request)
        except _No as no:
            return _refused(no)
        more = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Content-Type"}
        return Response(status_code=204, headers=cors | more | {"Access-Control-Max-Age": "86400"})

    async def subscribe(self, request: Request) -> Response:
        """Record that a browser is the person's, and that he agreed; answers with a token to renew it by."""
        cors: dict[str, str] = {}
        try:
            cors = self._cors(request)
            now = self._clock.now_ms()
            wish = _decoded(await _body(request), _Wish)
            grant = self._granted(wish.token, _shop_of(request), now)
            self._check_rate(self._each, "\0".join(grant.key), now)
            self._check_rate(self._all, "", now)
            event = self._event(wish, grant, now)
            await run_in_threadpool(
                self._publisher.send_and_wait, SUBSCRIBER_EVENTS, grant.key[1], encode(event), timeout=3.0
            )
        except _No as no:
            return _refused(no, cors)
        except Unavailable as exc:
            log.warning("a push subscription could not be recorded: %s", exc)
            return _refused(_No(503, "it could not be recorded; send it again", {"Retry-After": "60"}), cors)
        return _json(201, {"renew": self._tokens.make(grant.key, "renew", now=now)}, cors)

    def _cors(self, request: Request) -> dict[str, str]:
        origin, home = request.headers.get("origin", ""), _home(self._shops.of(_shop_of(request)).profile.url)
        if origin != home:
            raise _No(
                403, f"pages of {line(origin, 200) or 'nowhere'} may not subscribe: the shop's url is set to {home}"
            )
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def _check_rate(self, rate: Rate, key: str, now: int) -> None:
        if wait := rate.wait(key, now):
            raise _No(429, "too many subscriptions", {"Retry-After": str(-(-wait // 1000))})

    def _granted(self, token: str, shop_id: str, now: int) -> Grant:
        if not token:
            raise _No(403, "token is missing: the shop's server gets one from POST /push/token for whom it knows")
        try:
            grant = self._tokens.read(token, now=now)
        except InvalidEvent as exc:
            raise _No(403, f"token: {exc}") from exc
        if grant.key[0] != shop_id:
            raise _No(403, "token: it is of another shop")
        return grant

    def _event(self, wish: _Wish, grant: Grant, now: int) -> SubscriberEvent:
        subscription = wish.subscription
        try:
            target = msgspec.convert(
                {"endpoint": subscription.endpoint} | msgspec.to_builtins(subscription.keys), PushTarget
            )
        except msgspec.ValidationError as exc:
            raise _No(422, f"subscription: {exc}") from exc
        problem = check_endpoint(target.endpoint, anywhere=self._anywhere) or check_keys(target)
        if problem is not None:
            raise _No(422, f"subscription: {problem}")
        agreed = grant.purpose == "subscribe"
        consent = Consent(basis="asked for by a page of the shop", text=wish.text, channels=("push",))
        return SubscriberEvent(
            event_id=derived_id("push", *grant.key, target.endpoint, now),
            type="subscriber.consented" if agreed else "subscriber.updated",
            shop_id=grant.key[0],
            subscriber_id=grant.key[1],
            occurred_at=to_datetime(now),
            consent=consent if agreed else None,
            channels=("push",),
            push=target,
            push_gone=wish.replaces,
        )


@cache
def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _shop_of(request: Request) -> str:
    return request.query_params.get("shop", DEFAULT_SHOP)[:200]


def _home(url: str) -> str | None:
    """The origin of a shop's pages as browsers write it, or None where its address can't be used."""
    try:
        host = (urlsplit(url).hostname or "").encode("idna").decode()
        plain = url.replace(urlsplit(url).hostname or "", host, 1)
    except ValueError:
        return None
    return origin_of(plain) if web_url(plain) else None


async def _body(request: Request) -> bytes:
    """The body, bounded in size and time; raises _No."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _No(415, "Content-Type must be application/json")
    try:
        return await bodies.read(request, MOST_BODY)
    except bodies.Refused as exc:
        raise _No(exc.status, str(exc)) from exc


def _decoded(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _No(422, str(exc)[:300]) from exc


def _refused(no: _No, headers: dict[str, str] | None = None) -> Response:
    return _json(no.status, {"error": str(no)}, no.headers | (headers or {}))


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    fresh = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(encode(body), status, fresh | (headers or {}), "application/json")
