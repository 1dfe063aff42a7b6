"""HTTP for real, on loopback: a gateway that does as Twilio does, and every way in which one can misbehave."""

import asyncio
import gzip
import logging
from typing import Any

import httpx
import pytest

from cartwake.errors import MailUnavailable
from cartwake.settings import Settings
from cartwake.shops import Shop
from reminders.channels.sms import SmsChannel, sms
from reminders.outbox import deliver
from reminders.outcomes import Cancelled, Failed, Later, Sent, Uncertain
from reminders.sms.callbacks import Callbacks
from tests.reminders.texts import (
    ACCOUNT,
    NUMBER,
    SECRET,
    SENDER,
    Asked,
    Exchange,
    as_twilio,
    generic,
    letter,
    message,
    refusal,
    says,
    sent_by,
    serving,
    twilio,
    write,
)
from tests.reminders.world import LINKS

ONCE = {"json": {"to": "{to}", "text": "{text}"}, "headers": {"Idempotency-Key": "{id}"}, "idempotent": True}
SHORT = {"timeout": 1.0, "answer": 0.3}


def outcome(exchange: Exchange, settings: Settings | None = None, **options: Any) -> Any:
    """What sending ends in, MailUnavailable included."""
    try:
        return sent_by(exchange, settings, **options)
    except MailUnavailable as exc:
        return exc


# -- as Twilio does ------------------------------------------------------------------------------------------------
def test_a_message_reaches_twilio_as_it_is() -> None:
    exchange = Exchange(as_twilio)
    sms = message(callback="https://t.shop.example.com/v1/sms/receipts/x")
    assert sent_by(exchange, sms=sms) == Sent("201 SM" + "1" * 32)
    (asked,) = exchange.asked
    assert (asked.method, asked.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert asked.form == {"To": [NUMBER], "From": [SENDER], "Body": [sms.text], "StatusCallback": [sms.callback]}


def test_a_log_in_that_is_wrong_lets_the_messages_wait_until_it_is_put_right() -> None:
    result = outcome(Exchange(as_twilio), twilio(sms_secret="another secret"))
    assert isinstance(result, MailUnavailable)
    assert "20003 Authenticate" in str(result)
    assert "another" not in str(result)


def test_an_account_that_there_is_not_lets_the_messages_wait() -> None:
    assert isinstance(outcome(Exchange(refusal(404, 20404, "not found"))), MailUnavailable)


def test_a_number_twilio_does_not_know_is_dead() -> None:
    result = sent_by(Exchange(as_twilio), sms=message(to="+4917"))
    assert isinstance(result, Failed)
    assert (result.reason, result.bounced) == ("bounced", True)


def test_a_text_that_twilio_finds_too_long_fails_alone() -> None:
    result = sent_by(Exchange(as_twilio), sms=message(text="x" * 1601))
    assert isinstance(result, Failed)
    assert (result.reason, result.bounced) == ("refused", False)


@pytest.mark.parametrize(
    ("status", "code", "reason"), [(400, 21610, "unsubscribed"), (400, 21614, "bounced"), (400, 21211, "bounced")]
)
def test_numbers_that_must_not_be_written_to_again(status: int, code: int, reason: str) -> None:
    result = sent_by(Exchange(refusal(status, code, "Attempt to send to unsubscribed recipient")))
    assert isinstance(result, Failed)
    assert (result.reason, result.bounced) == (reason, True)


def test_connections_are_used_again() -> None:
    exchange = Exchange(as_twilio)

    async def three(channel: SmsChannel) -> list[Any]:
        return [await channel.send(message(message_id=str(n))) for n in range(3)]

    assert [type(x) for x in asyncio.run(serving(exchange, twilio(), three))] == [Sent] * 3
    assert (exchange.connections, len(exchange.asked)) == (1, 3)


# -- before anything is on its way ---------------------------------------------------------------------------------
def test_a_gateway_that_is_not_there_is_tried_later() -> None:
    settings = twilio(sms_gateway="http://127.0.0.1:1")

    async def send() -> Any:
        channel = SmsChannel(settings)
        with pytest.raises(MailUnavailable, match=r"127\.0\.0\.1") as refused:
            await channel.send(message())
        await channel.close()
        return refused.value

    assert SECRET not in str(asyncio.run(send()))


def test_a_gateway_that_speaks_no_tls_gets_nothing() -> None:
    exchange = Exchange(as_twilio)

    async def ask(channel: SmsChannel) -> None:
        port = httpx.URL(channel._gateway.url).port
        secure = SmsChannel(twilio(sms_gateway=f"https://127.0.0.1:{port}"), timeout=0.5)
        with pytest.raises(MailUnavailable):
            await secure.send(message())
        await secure.close()

    asyncio.run(serving(exchange, twilio(), ask))
    assert exchange.asked == []


# -- when it is on its way -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("cut", ["connection", "headers", "body"])
def test_a_connection_that_breaks_later_leaves_it_uncertain(cut: str) -> None:
    assert sent_by(Exchange(as_twilio, cut=cut)) == Uncertain("f" * 32)


async def silent(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def half(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def dripping(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    """A yes, one byte after the other, each within the time a reader waits for the next."""
    said = b" " * 60 + b'{"sid": "SM1"}'
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(said))
    for byte in said:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def no_http(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.com ESMTP\r\n")


async def endless(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.transport.is_closing():
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def headers_without_end(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\n" + b"X-A: b\r\n" * 50_000)


@pytest.mark.parametrize("answer", [silent, half, dripping, no_http, endless, headers_without_end])
def test_an_answer_that_never_comes_to_an_end_leaves_it_uncertain(answer: Any) -> None:
    exchange = Exchange(answer)
    assert sent_by(exchange, **SHORT) == Uncertain("f" * 32)
    assert len(exchange.asked) == 1


@pytest.mark.parametrize("said", [b"<html>OK</html>", b"", b"{", b"\xff\xfe", b"[" * 60_000])
def test_an_answer_that_is_junk_leaves_it_uncertain(said: bytes) -> None:
    assert sent_by(Exchange(says(201, said))) == Uncertain("f" * 32)


def test_an_answer_that_is_packed_is_not_unpacked() -> None:
    exchange = Exchange(says(201, gzip.compress(b'{"sid": "SM1"}'), Content_Encoding="gzip"))
    assert sent_by(exchange) == Uncertain("f" * 32)
    assert exchange.asked[0].headers["accept-encoding"] == "identity"


def test_an_answer_that_is_far_too_long_is_not_read_to_its_end() -> None:
    assert sent_by(Exchange(says(201, {"sid": "SM1", "more": "x" * 60_000}))) == Sent("201 SM1")
    assert sent_by(Exchange(says(201, {"sid": "SM1", "more": "x" * 70_000}))) == Uncertain("f" * 32)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    trap = Exchange(as_twilio)

    async def lured(channel: SmsChannel) -> None:
        port = httpx.URL(channel._gateway.url).port
        path = f"http://127.0.0.1:{port}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        exchange = Exchange(says(status, b"", Location=path))
        with pytest.raises(MailUnavailable, match="redirect"):
            await serving(exchange, twilio(), lambda other: other.send(message()))
        assert len(exchange.asked) == 1

    asyncio.run(serving(trap, twilio(), lured))
    assert trap.asked == []


# -- trying again --------------------------------------------------------------------------------------------------
class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


def delivered(exchange: Exchange, settings: Settings | None = None, cancelled: Any = lambda: False) -> Any:
    time = Time()

    def deliver_it(channel: SmsChannel) -> Any:
        return deliver(channel, message(), cancelled=cancelled, sleep=time.sleep)

    return asyncio.run(
        serving(exchange, settings or twilio(), deliver_it, sleep=time.sleep, monotonic=time.monotonic, answer=1.0)
    )


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_gateway_that_is_busy_is_asked_again_and_takes_it_once(status: int) -> None:
    async def busy_once(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(exchange.asked) == 1:
            write(writer, status, {"code": 20429, "message": "Too Many Requests", "status": status}, Retry_After="0")
        else:
            await as_twilio(asked, writer)

    exchange = Exchange(busy_once)
    result = delivered(exchange)
    assert isinstance(result, Sent)
    assert result.mail == {"text": message().text}
    assert len(exchange.asked) == 2


def test_a_gateway_that_stays_busy_is_left_alone_for_as_long_as_it_says() -> None:
    exchange = Exchange(says(429, {"code": 20429}, Retry_After="3600"))
    assert isinstance(delivered(exchange), Later)
    assert len(exchange.asked) == 1  # the second and third try are within its hour (a minute, by our own limit)


@pytest.mark.parametrize("retry_after", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "²", "9" * 400, ""])
def test_a_retry_after_that_is_no_number_means_a_few_seconds(retry_after: str) -> None:
    exchange = Exchange(says(503, b"", Retry_After=retry_after.encode().decode("latin-1")))
    assert isinstance(delivered(exchange), Later)
    assert 1 <= len(exchange.asked) <= 3


def test_what_may_have_left_is_not_sent_again() -> None:
    exchange = Exchange(silent)
    assert isinstance(delivered(exchange), Uncertain)
    assert len(exchange.asked) == 1


def test_a_gateway_that_takes_each_id_once_is_asked_again_with_the_same_id() -> None:
    async def mute_once(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        if len(exchange.asked) == 1:
            await silent(_asked, writer)
        write(writer, 200, {"id": "m-1"})

    exchange = Exchange(mute_once)
    assert isinstance(delivered(exchange, generic(ONCE)), Sent)
    assert [asked.headers["idempotency-key"] for asked in exchange.asked] == ["f" * 32] * 2


def test_nothing_more_is_asked_once_the_reason_went_away() -> None:
    exchange = Exchange(says(500, b""))
    assert isinstance(delivered(exchange, cancelled=lambda: len(exchange.asked) == 1), Cancelled)
    assert len(exchange.asked) == 1


def test_messages_leave_at_the_rate_that_is_set() -> None:
    time = Time()

    async def five(channel: SmsChannel) -> None:
        for n in range(5):
            await channel.send(message(message_id=str(n)))

    options: Any = {"sleep": time.sleep, "monotonic": time.monotonic}
    asyncio.run(serving(Exchange(as_twilio), twilio(sms_rate=4), five, **options))
    assert time.slept == pytest.approx([0.25] * 4)


def test_messages_that_come_at_once_wait_in_line() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def five(channel: SmsChannel) -> None:
        await asyncio.gather(*(channel.send(message(message_id=str(n))) for n in range(5)))

    options: Any = {"sleep": sleep, "monotonic": lambda: 100.0}
    asyncio.run(serving(Exchange(as_twilio), twilio(sms_rate=2), five, **options))
    assert waits == pytest.approx([0.5, 1.0, 1.5, 2.0])


# -- a gateway of one's own ----------------------------------------------------------------------------------------
def test_a_generic_gateway_gets_what_its_template_says() -> None:
    exchange = Exchange(says(200, {"messages": [{"id": "m-7"}]}))
    request = {
        "headers": {"Authorization": "Bearer {secret}"},
        "json": {"recipients": ["{to}"], "text": "{text}", "from": "{sender}"},
        "success_at": "/messages/0/id",
    }
    assert sent_by(exchange, generic(request, sms_sender="Porto")) == Sent("200 m-7")
    (asked,) = exchange.asked
    assert (asked.method, asked.path, asked.headers["authorization"]) == ("POST", "/send", f"Bearer {SECRET}")
    assert httpx.Response(200, content=asked.body).json() == {
        "recipients": [NUMBER], "text": message().text, "from": "Porto",
    }  # fmt: skip


def test_a_gateway_that_wants_get_gets_it_quoted() -> None:
    exchange = Exchange(says(200, b"OK"))
    settings = generic(
        {"method": "GET", "headers": {"X-Key": "{secret}"}},
        sms_gateway="https://sms.example.com/send?to={to}&text={text}",
    )
    assert isinstance(sent_by(exchange, settings), Sent)
    query = exchange.asked[0].path.partition("?")[2]
    assert dict(httpx.QueryParams(query)) == {"to": NUMBER, "text": message().text}


# -- secrets -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "exchange", [Exchange(as_twilio), Exchange(says(400, SECRET.encode())), Exchange(as_twilio, "body")]
)
def test_no_log_tells_the_secret_the_number_or_the_text(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = generic(
        {"method": "GET", "headers": {"X-Key": "{secret}"}},
        sms_gateway="https://sms.example.com/send?to={to}&text={text}",
    )
    for result in (outcome(exchange), outcome(exchange, settings)):
        assert SECRET not in repr(result)
    for told in (SECRET, NUMBER[1:], "cart", "aHVudGVy"):
        assert told not in caplog.text


# -- wired together ------------------------------------------------------------------------------------------------
def test_a_letter_becomes_a_message_that_twilio_takes() -> None:
    exchange = Exchange(as_twilio)
    callbacks = Callbacks("https://t.shop.example.com", "secret of the tests")
    medium = sms(twilio(), LINKS, callbacks)
    text = medium.render(letter(), Shop("main"))
    assert isinstance(sent_by(exchange, sms=text), Sent)
    assert exchange.asked[0].form["Body"] == [text.text]
    assert exchange.asked[0].form["StatusCallback"][0].startswith("https://t.shop.example.com/v1/sms/receipts/")


def test_a_collector_that_nobody_outside_reaches_is_not_told_of_receipts() -> None:
    at_home = Callbacks("http://127.0.0.1:8001", "secret of the tests")
    assert sms(twilio(), LINKS, at_home).render(letter(), Shop("main")).callback == ""
