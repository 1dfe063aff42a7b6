"""What Twilio tells us: what became of a message, and who wants no more of them.

in   POST /v1/sms/receipts/{token}, POST /v1/sms/replies
out  messages, subscriber_id: message.bounced
out  subscriber-events, subscriber_id: subscriber.bounced, subscriber.withdrawn, both for channel sms

Every request must carry Twilio's signature. A receipt names its person by the token in its address. A reply has only
a number: it is recorded under the number's own id (`Callbacks.number_id`), from which it goes on to the person.
"""

import base64
import hashlib
import hmac
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cartwake.clock import Clock, SystemClock, rfc3339, to_datetime
from cartwake.errors import InvalidEvent, Unavailable
from cartwake.model import DEFAULT_SHOP, Message, SubscriberEvent, derived_id, encode
from cartwake.publish import Records
from cartwake.shops import Shops
from cartwake.topics import MESSAGES, SUBSCRIBER_EVENTS
from reminders import bodies
from reminders.clean import line
from reminders.sms.callbacks import Callbacks, Receipt
from reminders.sms.gateway import TWILIO_GONE, TWILIO_STOPPED

log = logging.getLogger(__name__)

_MOST_BODY: Final = 16 * 1024
_MOST_FIELDS: Final = 100
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{4,14}")  # E.164
_PORTS: Final = {"https": 443, "http": 80}
_NOT_DELIVERED: Final = frozenset({"undelivered", "failed"})
#: Twilio's own words (the first line) and those of the languages we write in.
_STOP: Final = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"}
    | {"stopp", "abmelden", "стоп", "отказ", "dezabonare", "rezygnacja"}
)
#: As the first of several words these mean the same, and nothing else.
_STOP_FIRST: Final = frozenset({"stop", "stopp", "стоп", "unsubscribe", "abmelden", "dezabonare"})
_NO_ANSWER: Final = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


def routes(
    callbacks: Callbacks, publisher: Records, shops: Shops, auth_token: str, clock: Clock | None = None
) -> list[Route]:
    """The routes Twilio calls, for the collector's application; `auth_token` is what Twilio signs with."""
    webhooks = _Webhooks(callbacks, publisher, shops, auth_token, clock or SystemClock())
    return [
        Route("/v1/sms/receipts/{token}", webhooks.receipt, methods=["POST"]),
        Route("/v1/sms/replies", webhooks.reply, methods=["POST"]),
    ]


def signature(url: str, fields: Sequence[tuple[str, str]], auth_token: str) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the address and the sorted fields, each once, in base64."""
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.digest(auth_token.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha1)
    return base64.b64encode(digest).decode("ascii")


def wants_to_stop(text: str) -> bool:
    """Whether a reply says that the person wants no more messages."""
    words = re.findall(r"\w+", line(text, 200).casefold())
    return bool(words) and ("".join(words) in _STOP or words[0] in _STOP_FIRST)


class _Webhooks:
    def __init__(self, callbacks: Callbacks, publisher: Records, shops: Shops, auth_token: str, clock: Clock) -> None:
        self._callbacks = callbacks
        self._publisher = publisher
        self._shops = shops
        self._auth_token = auth_token
        self._clock = clock

    async def receipt(self, request: Request) -> Response:
        """What became of a message: one that never arrived is recorded, and its number is left alone if it is dead."""
        fields = await self._signed(request)
        if isinstance(fields, Response):
            return fields
        try:
            receipt = self._callbacks.read_receipt(request.path_params["token"])
        except InvalidEvent as exc:
            return PlainTextResponse(f"{exc}\n", 404)
        if fields.get("MessageStatus", "") not in _NOT_DELIVERED:
            return Response(status_code=204)
        code = fields.get("ErrorCode", "")
        now = self._clock.now_ms()
        event, message = _event_of(receipt, code, now), _bounced(receipt, code, fields["MessageStatus"], now)
        return await self._record([message] if event is None else [event, message], Response(status_code=204))

    async def reply(self, request: Request) -> Response:
        """An answer to a message: one that says STOP silences the number at every shop."""
        fields = await self._signed(request)
        if isinstance(fields, Response):
            return fields
        answer = Response(_NO_ANSWER, media_type="text/xml")
        if fields.get("OptOutType", "").upper() != "STOP" and not wants_to_stop(fields.get("Body", "")):
            return answer
        number = fields.get("From", "")
        if not _NUMBER.fullmatch(number):
            log.warning("a STOP came from what is no number in E.164, and has been ignored")
            return answer
        now, number_id = self._clock.now_ms(), self._callbacks.number_id(number)
        cause = fields.get("MessageSid") or str(now)
        shop_ids = sorted({DEFAULT_SHOP, *(shop.shop_id for shop in self._shops)})
        events = [_withdrawn(shop_id, number_id, "reply STOP", cause, now) for shop_id in shop_ids]
        return await self._record(events, answer)

    async def _record(self, records: Sequence[Message | SubscriberEvent], answer: Response) -> Response:
        try:
            for record in records:
                topic = MESSAGES if isinstance(record, Message) else SUBSCRIBER_EVENTS
                await run_in_threadpool(
                    self._publisher.send_and_wait, topic, record.subscriber_id, encode(record), timeout=3.0
                )
        except Unavailable as exc:
            log.warning("what an SMS gateway told could not be recorded: %s", exc)
            return PlainTextResponse("come again later\n", 503, {"Retry-After": "60"})
        return answer

    async def _signed(self, request: Request) -> Mapping[str, str] | Response:
        """The fields of a request that Twilio has signed, else the answer to it."""
        try:
            body = await bodies.read(request, _MOST_BODY)
        except bodies.Refused as exc:
            return PlainTextResponse(f"{exc}\n", exc.status)
        try:
            fields = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=_MOST_FIELDS
            )
        except ValueError:
            return PlainTextResponse("not a form\n", 400)
        query = request.scope.get("query_string", b"")
        url = self._callbacks.base + request.url.path + ("?" + query.decode("latin-1") if query else "")
        said = request.headers.get("X-Twilio-Signature", "").encode()
        right = [signature(form, fields, self._auth_token).encode() for form in _forms(url)]
        if not any(hmac.compare_digest(said, one) for one in right):
            return PlainTextResponse("the signature is wrong\n", 403)
        return dict(fields)


def _forms(url: str) -> tuple[str, ...]:
    """An address with and without its port: Twilio signs either."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition(":")[0] if parts.port else f"{parts.netloc}:{_PORTS.get(parts.scheme, 443)}"
    return url, parts._replace(netloc=host).geturl()


def _bounced(receipt: Receipt, code: str, status: str, now: int) -> Message:
    return Message(
        message_id=derived_id(receipt.plan_id, "message.bounced"),
        type="message.bounced",
        plan_id=receipt.plan_id,
        shop_id=receipt.shop_id,
        subscriber_id=receipt.subscriber_id,
        occurred_at=rfc3339(now),
        channel="sms",
        cart_id=receipt.cart_id,
        reason="unsubscribed" if code in TWILIO_STOPPED else "hard" if code in TWILIO_GONE else "soft",
        words=line(f"Twilio could not deliver the message: {status} {code}", 100),
    )


def _event_of(receipt: Receipt, code: str, now: int) -> SubscriberEvent | None:
    """What a failed delivery says about the person, if it says anything."""
    if code in TWILIO_STOPPED:
        return _withdrawn(receipt.shop_id, receipt.subscriber_id, f"Twilio {code}", receipt.plan_id, now)
    if code not in TWILIO_GONE:
        return None
    return SubscriberEvent(
        event_id=derived_id(receipt.plan_id, "bounced"),
        type="subscriber.bounced",
        shop_id=receipt.shop_id,
        subscriber_id=receipt.subscriber_id,
        occurred_at=to_datetime(now),
        reason=f"hard: Twilio {code}",
        channels=("sms",),
    )


def _withdrawn(shop_id: str, subscriber_id: str, reason: str, cause: str, now: int) -> SubscriberEvent:
    return SubscriberEvent(
        event_id=derived_id("sms stop", shop_id, subscriber_id, cause),
        type="subscriber.withdrawn",
        shop_id=shop_id,
        subscriber_id=subscriber_id,
        occurred_at=to_datetime(now),
        reason=reason,
        channels=("sms",),
    )
