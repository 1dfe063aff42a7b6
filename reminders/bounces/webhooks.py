"""Bounces and complaints from providers: heard over HTTP, verified, answered with 200 only once Kafka has them.

in   POST /v1/mail/ses, /v1/mail/sendgrid, /v1/mail/postmark
out  subscriber-events and messages, as reminders/bounces/record.py says
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cartwake.clock import Clock, SystemClock
from cartwake.errors import ConfigurationError, InvalidEvent, Unavailable
from cartwake.shops import Shops
from reminders.bodies import Refused
from reminders.bounces import providers
from reminders.bounces.bodies import Bodies
from reminders.bounces.intake import Feedback, Intake, Returns
from reminders.bounces.record import Records
from reminders.bounces.signatures import (
    Unsigned,
    check_topics,
    sendgrid_key,
    sns_certificate_url,
    sns_confirm_url,
    verify_basic,
    verify_sendgrid,
    verify_sns,
)
from reminders.bounces.verp import Signer

log = logging.getLogger(__name__)

#: Fetches an address of Amazon's: a certificate, or the confirmation of a subscription. Raises Unavailable.
Fetch = Callable[[str], Awaitable[bytes]]
MOST_FETCHED: Final = 64 * 1024
_MOST_CERTIFICATES: Final = 16
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Secrets:
    """What each provider is known by; one that is empty has no route.

    The ARNs of the SNS topics that SES writes to, SendGrid's verification key, `user:password` in Postmark's URL.
    """

    ses_topics: frozenset[str] = frozenset()
    sendgrid_key: str = ""
    postmark: str = field(default="", repr=False)


def routes(
    signer: Signer,
    publisher: Records,
    shops: Shops,
    secrets: Secrets,
    *,
    fetch: Fetch | None = None,
    clock: Clock | None = None,
    returns: Returns | None = None,
) -> list[Route]:
    """The routes of the providers that `secrets` names, for the collector's application; raises ConfigurationError."""
    clock = clock or SystemClock()
    intake = Intake(signer, publisher, lambda: [shop.shop_id for shop in shops], clock=clock, returns=returns)
    answers = _Answers(intake)
    found: list[Route] = []
    if secrets.ses_topics:
        check_topics(secrets.ses_topics)
        found.append(answers.route("ses", _Ses(secrets.ses_topics, fetch or fetch_https, clock)))
    if secrets.sendgrid_key:
        found.append(answers.route("sendgrid", _SendGrid(secrets.sendgrid_key, clock)))
    if secrets.postmark:
        found.append(answers.route("postmark", _Postmark(secrets.postmark)))
    return found


async def fetch_https(url: str) -> bytes:
    """What lies at an address, without following it elsewhere; raises Unavailable."""
    body = bytearray()
    try:
        async with httpx.AsyncClient(timeout=5.0) as client, client.stream("GET", url) as answer:
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_FETCHED:
                    raise Unavailable("what was to be fetched is too large")
    except httpx.HTTPError as exc:
        raise Unavailable(f"Amazon can't be asked: {exc}") from exc
    return bytes(body)


#: Verifies a request and says what its events mean, and how many were of no known shape.
#: Raises Unsigned, InvalidEvent, Unavailable.
_Read = Callable[[Request, bytes], Awaitable[tuple[list[Feedback], int]]]


class _Answers:
    """What every provider's route does around reading its events."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._bodies = Bodies()

    def route(self, provider: str, read: _Read) -> Route:
        async def post(request: Request) -> Response:
            try:
                heard, odd = await read(request, await self._bodies.read(request))
                await run_in_threadpool(self._intake.take, heard, way=provider)
            except Refused as exc:
                return _said(exc.status, str(exc))
            except Unsigned as exc:
                self._intake.returns.count(provider, "unsigned")
                log.warning("a webhook of %s was refused: %s", provider, exc)
                return _said(401, "not signed as it should be")
            except InvalidEvent as exc:
                self._intake.returns.count(provider, "invalid")
                return _said(400, str(exc))
            except Unavailable as exc:
                log.warning("events of %s not taken: %s", provider, exc)
                return _said(503, "nothing was taken, send it again")
            for _ in range(odd):
                self._intake.returns.count(provider, "invalid")
            return _said(200, "taken")

        return Route(f"/v1/mail/{provider}", post, methods=["POST"])


class _Ses:
    def __init__(self, topics: frozenset[str], fetch: Fetch, clock: Clock) -> None:
        self._topics = topics
        self._fetch = fetch
        self._clock = clock
        self._certificates: dict[str, bytes] = {}

    async def __call__(self, _request: Request, body: bytes) -> tuple[list[Feedback], int]:
        message = providers.decoded(body)
        if not isinstance(message, dict):
            raise InvalidEvent("an object is expected")
        url = sns_certificate_url(message, self._topics)
        certificate = self._certificates.get(url) or await self._fetch(url)
        verify_sns(message, certificate, self._clock.now_ms())
        if len(self._certificates) < _MOST_CERTIFICATES:
            self._certificates[url] = certificate
        match message["Type"]:
            case "SubscriptionConfirmation":
                await self._fetch(sns_confirm_url(message))
                log.warning("subscribed to %s", message["TopicArn"])
            case "UnsubscribeConfirmation":
                log.warning("SNS sends no more of %s", message["TopicArn"])
            case _:
                try:
                    return providers.ses(providers.decoded(message["Message"].encode())), 0
                except InvalidEvent:
                    return [], 1  # as what SES says when a topic is set up; to be sent again it need not
        return [], 0


class _SendGrid:
    def __init__(self, key: str, clock: Clock) -> None:
        self._key = sendgrid_key(key)
        self._clock = clock

    async def __call__(self, request: Request, body: bytes) -> tuple[list[Feedback], int]:
        verify_sendgrid(
            self._key,
            signature=request.headers.get("x-twilio-email-event-webhook-signature", ""),
            timestamp=request.headers.get("x-twilio-email-event-webhook-timestamp", ""),
            body=body,
            now=self._clock.now_ms(),
        )
        return providers.sendgrid(providers.decoded(body))


class _Postmark:
    def __init__(self, credentials: str) -> None:
        user, colon, password = credentials.partition(":")
        if not user or not colon or len(password) < 16:
            raise ConfigurationError(
                "Postmark's user and password need a colon between them, and 16 characters behind it. "
                "Example: postmark:$(openssl rand -hex 24)"
            )
        self._credentials = credentials

    async def __call__(self, request: Request, body: bytes) -> tuple[list[Feedback], int]:
        verify_basic(request.headers.get("authorization", ""), self._credentials)
        return providers.postmark(providers.decoded(body)), 0


def _said(status: int, words: str) -> Response:
    headers = _HEADERS | ({"Retry-After": "30"} if status == 503 else {})
    return PlainTextResponse(words + "\n", status, headers)
