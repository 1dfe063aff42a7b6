"""What stands around text messages in tests: builders, and a gateway on loopback that answers as Twilio does."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import hypothesis
import phonenumbers

from cartwake.model import Item
from cartwake.settings import Settings
from reminders.channels.sms import SmsChannel
from reminders.letter import Letter
from reminders.sms.render import Sms
from tests.reminders.world import T0

NUMBER = "+491701234567"
SENDER = "+15005550006"
ACCOUNT = "AC" + "0" * 32
SECRET = "hunter2-hunter2"
PERSON = "p-" + "a" * 24

#: Examples may take their time on a machine that is busy.
unhurried = hypothesis.settings(deadline=None)


def letter(**changes: Any) -> Letter:
    values: dict[str, Any] = {
        "key": ("main", PERSON), "plan_id": "f" * 32, "cart_id": "c-1", "to": NUMBER, "written_at": T0, "left_at": T0,
        "channel": "sms", "name": "Ana", "locale": "en", "stage": "cart", "units": 2, "value": "38.98",
        "currency": "EUR", "cart_url": "https://shop.example.com/c",
        "items": (Item(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.49")),),
    }  # fmt: skip
    return Letter(**(values | changes))


def message(**changes: Any) -> Sms:
    values = {"message_id": "f" * 32, "to": NUMBER, "text": "Your cart & you: 10 % off\nhttps://t.example.com/r/x"}
    return Sms(**(values | changes))


def twilio(**changes: Any) -> Settings:
    values = {"sms_preset": "twilio", "sms_account": ACCOUNT, "sms_secret": SECRET, "sms_sender": SENDER}
    return Settings(**(values | {"sms_rate": 1000} | changes))


def generic(request: dict[str, Any], **changes: Any) -> Settings:
    values = {"sms_preset": "generic", "sms_secret": SECRET, "sms_request": json.dumps(request), "sms_rate": 1000}
    return Settings(**(values | {"sms_gateway": "https://sms.example.com/send"} | changes))


@dataclass
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)


Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Exchange:
    """An HTTP/1.1 server. `answer` writes the answer to a request that was read to its end; `cut` hangs up earlier."""

    answer: Answer
    cut: str = ""  # "connection": as soon as it is there; "headers": before the body is read; "body": after it
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    talks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self.talks.add(talk)
        talk.add_done_callback(self.talks.discard)
        self.connections += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the client has gone
                await self._talk(reader, writer)
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.cut != "connection":
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            if self.cut == "headers":
                break
            headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in head[1:] if x)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = head[0].split(" ")
            asked = Asked(method, path, headers, body)
            self.asked.append(asked)
            if self.cut == "body":
                break
            await self.answer(asked, writer)
            await writer.drain()


def says(status: int, said: Any, **headers: str) -> Answer:
    """An answer with JSON, or with bytes as they are."""

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        write(writer, status, said, **headers)

    return answer


def write(writer: asyncio.StreamWriter, status: int, said: Any, **headers: str) -> None:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)


def refusal(status: int, code: int, words: str) -> Answer:
    """How Twilio says no."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return says(status, {"code": code, "message": words, "more_info": more, "status": status})


async def as_twilio(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """What Twilio's Messages resource does with a request: https://www.twilio.com/docs/messaging/api/message-resource."""
    if asked.headers.get("authorization") != "Basic " + base64.b64encode(f"{ACCOUNT}:{SECRET}".encode()).decode():
        await refusal(401, 20003, "Authenticate")(asked, writer)
    elif (asked.method, asked.path) != ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"):
        await refusal(404, 20404, f"The requested resource {asked.path} was not found")(asked, writer)
    elif asked.headers.get("content-type") != "application/x-www-form-urlencoded":
        await refusal(400, 21604, "A 'To' phone number is required.")(asked, writer)
    elif not phonenumbers.is_valid_number(phonenumbers.parse(asked.form["To"][0], None)):
        await refusal(400, 21211, f"The 'To' number {asked.form['To'][0]} is not a valid phone number.")(asked, writer)
    elif not {"From", "MessagingServiceSid"} & set(asked.form):
        await refusal(400, 21603, "A 'From' phone number is required.")(asked, writer)
    elif len(asked.form["Body"][0]) > 1600:
        await refusal(400, 21617, "The concatenated message body exceeds the 1600 character limit.")(asked, writer)
    else:
        said = {"sid": "SM" + "1" * 32, "status": "queued", "to": asked.form["To"][0], "error_code": None}
        write(writer, 201, said)


async def serving(
    exchange: Exchange, settings: Settings, do: Callable[[SmsChannel], Awaitable[Any]], **options: Any
) -> Any:
    """What `do` returns with a channel to `exchange`, whose address takes the place of that in `settings`."""
    server = await asyncio.start_server(exchange.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = settings.sms_gateway.partition("example.com")[2]
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    there = Settings(**(values | {"sms_gateway": f"http://127.0.0.1:{port}{path}"}))
    channel = SmsChannel(there, **({"timeout": 2.0, "answer": 2.0} | options))
    try:
        return await do(channel)
    finally:
        await channel.close()
        server.close()
        talks = list(exchange.talks)
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def sent_by(exchange: Exchange, settings: Settings | None = None, sms: Sms | None = None, **options: Any) -> Any:
    """What sending one message ends in."""
    sending = serving(exchange, settings or twilio(), lambda channel: channel.send(sms or message()), **options)
    return asyncio.run(sending)
