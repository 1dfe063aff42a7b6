"""Text messages over an HTTP gateway. Connections are kept and used again.

Nothing is sent twice by itself: what breaks before the request is on its way may be tried again, what breaks after it
is `Uncertain`, because only the gateway knows; unless it takes a message of the same id once (`idempotent`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from cartwake.errors import MailUnavailable
from cartwake.settings import Settings
from reminders.channels.pace import Pace
from reminders.links import Links
from reminders.outbox import Medium
from reminders.outcomes import Failed, Sent, Uncertain
from reminders.sms.callbacks import Callbacks
from reminders.sms.gateway import gateway_of, is_loopback, judge, request, values_of
from reminders.sms.render import Sms, SmsRenderer

_IDLE: Final = 20.0  # seconds a connection may rest; gateways close them after a minute
_BACK_OFF: Final = 4.0  # seconds to leave a gateway alone that is away, when it does not say how long
_LONGEST_BACK_OFF: Final = 60.0
_MOST_ANSWER: Final = 64 * 1024  # bytes
_CONNECTIONS: Final = 16
_LEAST_SECRET: Final = 4  # characters: shorter ones would blank out ordinary words
_ON_ITS_WAY: Final = ("http11.send_request_headers.started", "http2.send_request_headers.started")


def sms(settings: Settings, links: Links, callbacks: Callbacks) -> Medium:
    """Text messages as they are set up; raises ConfigurationError."""
    return Medium(renderer(settings, links, callbacks), SmsChannel(settings))


def renderer(settings: Settings, links: Links, callbacks: Callbacks) -> SmsRenderer:
    """What makes text messages as the settings say."""
    told = settings.sms_preset == "twilio" and not is_loopback(httpx.URL(callbacks.base).host)
    return SmsRenderer(
        links=links,
        sender=settings.sms_sender,
        segments=settings.sms_segments,
        transliterate=settings.sms_transliterate,
        callbacks=callbacks if told else None,  # nobody outside reaches loopback
    )


class SmsChannel:
    """A gateway, asked at most `sms_rate` times a second. `timeout` and `answer` are seconds."""

    def __init__(
        self,
        settings: Settings,
        *,
        timeout: float = 10.0,
        answer: float = 30.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._gateway = gateway_of(settings)
        self._hidden = tuple(
            value
            for name, value in values_of(settings, to="", text="", message_id="").items()
            if name in ("secret", "basic") and len(value) >= _LEAST_SECRET
        )
        self._answer = timeout + answer
        self._sleep = sleep
        self._monotonic = monotonic
        self._pace = Pace(settings.sms_rate)
        self._away: tuple[float, str] = (0.0, "")
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=not is_loopback(httpx.URL(self._gateway.url.partition("?")[0]).host),
            timeout=httpx.Timeout(timeout, read=answer),
            limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_IDLE),
            headers={"User-Agent": "Cartwake", "Accept-Encoding": "identity"},
        )
        logging.getLogger("httpx").addFilter(_tells_no_address)

    async def send(self, message: Sms) -> Sent | Failed | Uncertain:
        """Hand the message over once. Raises MailUnavailable when it certainly did not leave and may later."""
        until, words = self._away
        if self._monotonic() < until:
            raise MailUnavailable(words)
        if pause := self._pace.turn(self._monotonic()):
            await self._sleep(pause)
        result = await self._ask(message)
        if isinstance(result, Uncertain) and self._gateway.idempotent:
            raise MailUnavailable("the SMS gateway did not answer; it will be asked again about the same message")
        return result

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, message: Sms) -> Sent | Failed | Uncertain:
        values = values_of(
            self._settings, to=message.to, text=message.text, message_id=message.message_id, callback=message.callback
        )
        asked = request(self._gateway, values)
        on_its_way = False

        async def trace(name: str, _info: dict[str, Any]) -> None:
            nonlocal on_its_way
            on_its_way = on_its_way or name in _ON_ITS_WAY

        ready = self._client.build_request(
            asked.method, asked.url, headers=asked.headers, content=asked.body, extensions={"trace": trace}
        )
        try:
            async with asyncio.timeout(self._answer):
                answer = await self._client.send(ready, stream=True)
                try:
                    body = await _body(answer)
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, httpx.StreamError, OSError, TimeoutError) as exc:
            if on_its_way:
                return Uncertain(message.message_id)
            words = f"the SMS gateway {ready.url.host} can't be reached: {type(exc).__name__}"
            raise self._unavailable(words, _BACK_OFF) from exc
        try:
            return judge(self._gateway, answer.status_code, body, message_id=message.message_id, hidden=self._hidden)
        except MailUnavailable as exc:
            raise self._unavailable(str(exc), _back_off(answer.headers.get("Retry-After"))) from exc

    def _unavailable(self, words: str, back_off: float) -> MailUnavailable:
        self._away = (self._monotonic() + back_off, words)
        return MailUnavailable(words)


async def _body(answer: httpx.Response) -> bytes:
    """The answer's first 64 KiB; no gateway has more to say."""
    body = b""
    async for part in answer.aiter_raw():  # never unpacked: a small answer could be a huge one
        body += part
        if len(body) > _MOST_ANSWER:
            return body[:_MOST_ANSWER]
    return body


def _back_off(retry_after: str | None) -> float:
    """Seconds to leave the gateway alone."""
    text = (retry_after or "").strip()
    seconds = float(text) if text.isascii() and text.isdigit() else _BACK_OFF
    return min(seconds, _LONGEST_BACK_OFF)


def _tells_no_address(record: logging.LogRecord) -> bool:
    """httpx logs the address of every request, which may have a person's number in it."""
    return not str(record.msg).startswith("HTTP Request")
