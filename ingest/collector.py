"""Hears a shop's events over HTTP, and says 202 only for what Kafka has.

in   POST /v1/events: one event or an array of them (docs/event-format.md)
out  cart-events, device-events, order-events, subscriber-events, keyed as ingest/routing.py says
"""

import hmac
import ipaddress
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cartwake.errors import ConfigurationError, InvalidEvent, KafkaUnavailable
from cartwake.model import encode
from cartwake.settings import Settings
from cartwake.shops import Shops
from ingest.batches import Batch, NotJson, TooMany, sort_out
from ingest.bodies import BadBody, Bodies
from ingest.delivery import Delivery, Sender
from ingest.devices import device_kind
from ingest.meters import Meters
from ingest.readiness import probe

log = logging.getLogger(__name__)

RETRY_AFTER: Final = "5"
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",  # events carry no cookie: any shop's page may send, none may read more
    "Access-Control-Expose-Headers": "Retry-After",
}
_PREFLIGHT: Final = _CORS | {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding",
    "Access-Control-Max-Age": "86400",
}
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def check_address(settings: Settings) -> None:
    """Raise ConfigurationError when anybody could write events: an address beyond this machine without a token."""
    if not settings.ingest_token and not _is_loopback(settings.host):
        raise ConfigurationError(
            f"host {settings.host!r} is reachable from other machines, and ingest_token is empty, so anybody could "
            "write events. Set one, for example: CARTWAKE_INGEST_TOKEN=$(openssl rand -hex 24)"
        )


def create_app(
    settings: Settings,
    publisher: Sender,
    shops: Shops,
    *,
    extra_routes: Sequence[BaseRoute] = (),
    figures: Sequence[CollectorRegistry] = (),
    ready: Callable[[], None] | None = None,
    answer_within: timedelta = timedelta(seconds=10),
) -> Starlette:
    """The collector as an ASGI app; raises ConfigurationError as `check_address` does.

    `extra_routes` answer beside it and find `app.state.shops`; `figures` stand beside its own in /metrics; `ready`
    raises KafkaUnavailable while Kafka is away; events that Kafka has not taken `answer_within` that time are answered
    with 503.
    """
    check_address(settings)
    events = Events(settings.ingest_token, Delivery(publisher, timeout=answer_within.total_seconds()))
    ask = ready or probe(settings)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        try:
            await run_in_threadpool(ask)
        except KafkaUnavailable as exc:
            log.warning("not ready: %s", exc)
            return PlainTextResponse("Kafka is away\n", 503, {"Retry-After": RETRY_AFTER})
        return PlainTextResponse("ready\n")

    async def metrics(_request: Request) -> Response:
        text = events.meters.text() + b"".join(generate_latest(registry) for registry in figures)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    app = Starlette(
        routes=[
            Route("/v1/events", events.post, methods=["POST"]),
            Route("/v1/events", preflight, methods=["OPTIONS"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            *extra_routes,
        ],
        middleware=[Middleware(SecurityHeaders)],
    )
    app.state.shops = shops
    return app


def server(app: ASGIApp, settings: Settings) -> uvicorn.Server:
    """The HTTP server for an app: `.run()` it, or await `.serve()`."""
    check_address(settings)
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.collector_port,
            log_level=settings.log_level,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=10,
            timeout_graceful_shutdown=15,
            limit_concurrency=1_000,
        )
    )


class Events:
    """`POST /v1/events`."""

    def __init__(self, token: str, delivery: Delivery) -> None:
        self._token = token.encode()
        self._delivery = delivery
        self._bodies = Bodies()
        self.meters = Meters(lambda: delivery.waiting)

    async def post(self, request: Request) -> Response:
        """202 when at least one event is in Kafka, or there was none; the others' reasons beside it."""
        try:
            answer = await self._answer(request)
        except BadBody as exc:
            answer = self._refuse(exc.status, exc.kind, str(exc))
        except KafkaUnavailable as exc:
            log.warning("events not taken: %s", exc)
            answer = self._refuse(503, "unavailable", "Kafka does not answer; nothing was accepted, send it again")
        self.meters.requests.labels(str(answer.status_code)).inc()
        return answer

    async def _answer(self, request: Request) -> Response:
        if not self._may_write(request):
            return self._refuse(401, "unauthorized", "Authorization: Bearer … with the collector's token is needed")
        body = await self._bodies.read(request)
        try:
            batch = sort_out(body, device_kind(request.headers))
            await self._delivery.send(batch.accepted)
        except TooMany as exc:
            raise BadBody(413, "size", str(exc)) from exc
        except (NotJson, InvalidEvent) as exc:
            raise BadBody(400, "json", str(exc)) from exc
        finally:
            self._bodies.release(len(body))
        self._count(batch)
        return _json(_status(batch), _said(batch))

    def _may_write(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        return not self._token or hmac.compare_digest(given, self._token)

    def _refuse(self, status: int, kind: str, reason: str) -> Response:
        self.meters.refused.labels(kind).inc()
        headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": RETRY_AFTER}}.get(status, {})
        return _json(status, {"accepted": 0, "error": reason}, headers)

    def _count(self, batch: Batch) -> None:
        for record in batch.accepted:
            self.meters.accepted.labels(record.topic.name).inc()
            self.meters.bytes.inc(len(record.value))
        for rejection in batch.rejected:
            self.meters.rejected.labels(rejection.kind).inc()


async def preflight(_request: Request) -> Response:
    """What a browser asks before a page of the shop may send an event."""
    return Response(status_code=204, headers=_PREFLIGHT)


class SecurityHeaders:
    """Adds the headers that an answer has not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, headers added."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


def _status(batch: Batch) -> int:
    if batch.accepted or not batch.rejected:
        return 202
    return 413 if all(rejection.kind == "size" for rejection in batch.rejected) else 422


def _said(batch: Batch) -> dict[str, Any]:
    said: dict[str, Any] = {"accepted": len(batch.accepted)}
    if batch.rejected:
        said["rejected"] = [{"index": x.index, "event_id": x.event_id, "error": x.error} for x in batch.rejected]
    return said


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(encode(body), status, _CORS | (headers or {}), "application/json")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
