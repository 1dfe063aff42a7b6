"""Web push against a push service on loopback: what arrives, what each answer means, where nothing is sent."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cartwake.clock import FakeClock
from cartwake.errors import MailUnavailable
from cartwake.model import PushTarget
from cartwake.settings import Settings
from reminders.channels.push import PushChannel
from reminders.outbox import deliver
from reminders.outcomes import Failed, Later, Sent, Uncertain
from reminders.public import is_public
from reminders.push.endpoints import check_endpoint
from reminders.push.keys import keys_of
from reminders.push.message import Push
from tests.reminders.push_service import P256, Browser, Service, certificate, claims, raw
from tests.reminders.world import T0

KEYS = keys_of(Settings(secret="a secret of the tests", mail_from="Shop <carts@shop.example.com>"))
BROWSER = Browser()


def push(endpoint: str, **changes: Any) -> Push:
    values: dict[str, Any] = {
        "message_id": "plan-1", "target": BROWSER.at(endpoint), "payload": b'{"cartwake":1,"title":"Hello"}',
        "topic": "a" * 32, "title": "Hello", "body": "Your cart",
    }  # fmt: skip
    return Push(**(values | changes))


async def serving(service: Service, do: Callable[[PushChannel, str], Awaitable[Any]], **options: Any) -> Any:
    server = await service.start(options.pop("server_tls", None))
    channel = PushChannel(KEYS, **({"anywhere": True, "timeout": 2.0, "answer": 2.0} | options))
    try:
        return await do(channel, f"http://127.0.0.1:{service.port}/send/abc?x=1")
    finally:
        service.end()
        await channel.close()
        server.close()
        await asyncio.sleep(0.01)


def sent_by(service: Service, **options: Any) -> Any:
    return asyncio.run(serving(service, lambda channel, url: channel.send(push(url)), **options))


def says(status: str, headers: str = "", body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


# -- what arrives ------------------------------------------------------------------------------------------------------
def test_the_browser_alone_can_read_what_arrives_and_the_service_knows_who_sent_it() -> None:
    service = Service()
    assert sent_by(service, clock=FakeClock(T0)) == Sent("201")
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("POST", "/send/abc?x=1")
    assert BROWSER.read(asked.body) == {"cartwake": 1, "title": "Hello"}
    assert b"Hello" not in asked.body
    said, key = claims(asked.headers["authorization"])
    assert key == KEYS.public
    assert said == {
        "aud": f"http://127.0.0.1:{service.port}",
        "exp": T0 // 1000 + 12 * 3600,
        "sub": "mailto:carts@shop.example.com",
    }


def test_the_browser_of_these_tests_reads_the_example_of_rfc_8291() -> None:
    private = int.from_bytes(raw("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
    browser = Browser(ec.derive_private_key(private, P256), raw("BTBZMqHH6r4Tts7J_aSIgg"))
    body = raw(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.decrypt(body) == b"When I grow up, I want to be a watermelon"


def test_the_headers_are_those_of_rfc_8030() -> None:
    service = Service()
    sent_by(service)
    headers = service.asked[0].headers
    wanted = {"content-encoding": "aes128gcm", "ttl": "86400", "topic": "a" * 32, "urgency": "normal"}
    assert {name: headers[name] for name in wanted} == wanted
    assert headers["host"] == f"127.0.0.1:{service.port}"


def test_two_messages_are_never_encrypted_alike() -> None:
    service = Service()

    async def twice(channel: PushChannel, url: str) -> None:
        await channel.send(push(url))
        await channel.send(push(url))

    asyncio.run(serving(service, twice))
    first, second = service.asked
    assert first.body[:16] != second.body[:16]
    assert first.body[21:86] != second.body[21:86]
    assert service.connections == 1


# -- answers -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content"])
def test_2xx_is_sent(status: str) -> None:
    assert isinstance(sent_by(Service(f"HTTP/1.1 {status}\r\n\r\n".encode()), answer=0.3), Sent)


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_a_browser_that_is_gone_is_to_be_forgotten(status: str) -> None:
    result = sent_by(Service(says(status, body="push subscription has\r\nunsubscribed or expired")))
    assert isinstance(result, Failed)
    assert (result.reason, result.bounced) == ("gone", True)
    assert "unsubscribed or expired" in result.words


@pytest.mark.parametrize("status", ["400 Bad", "401 Who", "403 Forbidden", "413 Too Large", "418 Teapot"])
def test_other_4xx_fail_the_message_and_not_the_browser(status: str) -> None:
    result = sent_by(Service(says(status)))
    assert isinstance(result, Failed)
    assert (result.reason, result.bounced) == ("refused", False)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_not_followed(status: str) -> None:
    elsewhere = Service()

    async def both(channel: PushChannel, url: str) -> Any:
        other = await elsewhere.start()
        service.answer = says(status, f"Location: http://127.0.0.1:{elsewhere.port}/\r\n")
        try:
            return await channel.send(push(url))
        finally:
            other.close()

    service = Service()
    result = asyncio.run(serving(service, both))
    assert (type(result), elsewhere.connections) == (Failed, 0)


@pytest.mark.parametrize("status", ["408 Slow", "429 Many", "500 Oops", "502 Bad", "503 Busy", "504 Late"])
def test_a_busy_service_means_later(status: str) -> None:
    with pytest.raises(MailUnavailable, match=status[:3]):
        sent_by(Service(says(status)))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 120", 120),
        (f"retry-after: {format_datetime(datetime.fromtimestamp(T0 / 1000 + 120, UTC), usegmt=True)}", 120),
        ("Retry-After: 99999999999999999999", 24 * 3600),
        ("Retry-After: soon", 60),
        ("X: y", 60),
    ],
)
def test_a_service_that_asks_to_wait_is_left_alone_exactly_that_long(header: str, seconds: int) -> None:
    service, clock = Service(says("429 Too Many", header + "\r\n")), FakeClock(T0)

    async def again(channel: PushChannel, url: str) -> Any:
        with pytest.raises(MailUnavailable):
            await channel.send(push(url))
        clock.advance(seconds * 1000 - 1)
        with pytest.raises(MailUnavailable, match="429"):
            await channel.send(push(url))
        assert len(service.asked) == 1
        clock.advance(1)
        service.answer = says("201 Created")
        return await channel.send(push(url))

    assert isinstance(asyncio.run(serving(service, again, clock=clock)), Sent)
    assert len(service.asked) == 2


def test_many_services_that_ask_to_wait_are_not_all_remembered_for_ever() -> None:
    channel = PushChannel(KEYS, clock=FakeClock(T0))
    for n in range(5_000):
        channel._leave_alone(f"https://push-{n}.example.com", 60, "busy")
    assert len(channel._away) <= 1_000
    with pytest.raises(MailUnavailable):
        channel._check_away("https://push-4999.example.com")


# -- silence and rubbish -------------------------------------------------------------------------------------------
def test_silence_after_the_message_is_uncertain() -> None:
    service = Service(answer=None)
    assert sent_by(service, answer=0.2) == Uncertain("plan-1")
    assert len(service.asked) == 1


def test_a_service_that_hangs_up_without_an_answer_leaves_it_uncertain() -> None:
    service = Service(cut=True)
    assert sent_by(service) == Uncertain("plan-1")
    assert len(service.asked) == 1


@pytest.mark.parametrize("junk", [b"SSH-2.0-OpenSSH\r\n\r\n", b"\0" * 500, b"HTTP/1.1 abc\r\n\r\n", b"x" * 200_000])
def test_an_answer_that_is_no_http_is_uncertain(junk: bytes) -> None:
    assert sent_by(Service(junk), answer=0.5) == Uncertain("plan-1")


@pytest.mark.parametrize(
    "endless", [b"Content-Length: 999999999\r\n\r\n" + b"y" * 100_000, b"Content-Length: 50\r\n\r\ncut"]
)
def test_a_status_counts_whatever_comes_after_it(endless: bytes) -> None:
    result = sent_by(Service(b"HTTP/1.1 410 Gone\r\n" + endless), answer=0.3)
    assert isinstance(result, Failed)
    assert result.bounced
    assert len(result.words) < 400


def test_hostile_words_of_a_service_are_cleaned() -> None:
    result = sent_by(Service(says("403 No", body="\x1b[31m a\r\nb \x00")))
    assert result.words == "The push service refused the message: 403 [31m a b"


def test_nobody_listening_means_later() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/"
        with pytest.raises(MailUnavailable, match=r"127\.0\.0\.1 can't be reached"):
            asyncio.run(PushChannel(KEYS, anywhere=True).send(push(url)))


def test_a_service_that_hangs_before_the_message_means_later() -> None:
    async def over_tls(channel: PushChannel, url: str) -> Any:
        return await channel.send(push(url.replace("http:", "https:")))

    with pytest.raises(MailUnavailable):
        asyncio.run(serving(Service(answer=None), over_tls, timeout=0.2))


def test_a_name_that_is_not_known_means_later() -> None:
    async def unknown(host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(f"no {host}")

    with pytest.raises(MailUnavailable, match=r"push\.example\.com was not resolved"):
        asyncio.run(PushChannel(KEYS, resolve=unknown).send(push("https://push.example.com/x")))


def test_delivering_tries_again_only_while_nothing_left() -> None:
    async def no_pause(_seconds: float) -> None: ...

    async def through(channel: PushChannel, url: str) -> Any:
        return await deliver(channel, push(url), cancelled=lambda: False, sleep=no_pause)

    for answer, kind, times in ((says("500 Oops"), Later, 3), (None, Uncertain, 1), (says("201 Created"), Sent, 1)):
        service = Service(answer)
        result = asyncio.run(serving(service, through, answer=0.3))
        assert (type(result), len(service.asked)) == (kind, times)
        if isinstance(result, Sent | Uncertain):
            assert result.mail == {"subject": "Hello", "text": "Your cart"}


# -- where nothing is sent -----------------------------------------------------------------------------------------
INSIDE = (
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "168.63.129.16", "192.0.0.192", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:a00:1::1", "ff02::1", "rubbish",
)  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
@pytest.mark.parametrize("beside", [[], ["93.184.215.14"]])
def test_a_name_that_leads_inside_is_not_spoken_to(address: str, beside: list[str]) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return [*beside, address]

    result = asyncio.run(PushChannel(KEYS, resolve=resolve).send(push("https://push.example.com/x")))
    assert isinstance(result, Failed)
    assert (result.reason, address in result.words) == ("unsafe_endpoint", True)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14"])
def test_the_public_internet_is_public(address: str) -> None:
    assert is_public(address)


def test_the_connection_goes_to_the_address_that_was_looked_at_and_is_kept(tmp_path: Path) -> None:
    server_tls, client_tls = certificate(tmp_path, "push.example.com")
    service, asked = Service(), []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    async def twice(channel: PushChannel, url: str) -> Any:
        url = f"https://push.example.com:{service.port}/x"
        return await channel.send(push(url)), await channel.send(push(url))

    results = asyncio.run(serving(service, twice, server_tls=server_tls, tls=client_tls, resolve=resolve))
    assert [type(result) for result in results] == [Sent, Sent]
    assert asked == [("push.example.com", service.port)]
    assert service.asked[0].headers["host"] == f"push.example.com:{service.port}"
    assert claims(service.asked[0].headers["authorization"])[0]["aud"] == f"https://push.example.com:{service.port}"


def test_a_certificate_of_another_name_is_not_trusted(tmp_path: Path) -> None:
    server_tls, client_tls = certificate(tmp_path, "other.example.com")
    service = Service()

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async def once(channel: PushChannel, url: str) -> Any:
        return await channel.send(push(f"https://push.example.com:{service.port}/x"))

    with pytest.raises(MailUnavailable, match=r"push\.example\.com"):
        asyncio.run(serving(service, once, server_tls=server_tls, tls=client_tls, resolve=resolve))
    assert service.asked == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/x", "https://push.example.com:8443/x", "https://localhost/x", "https://127.0.0.1/x",
        "https://[::1]/x", "https://2130706433/x", "https://0x7f.1/x", "https://metadata.google.internal/x",
        "https://printer.local/x", "https://intranet/x", "https://u:p@push.example.com/x", "ftp://push.example.com/x",
        "https://push.example.com/x#y", "https:///x", "https://push.example.com.:x/", "javascript:alert(1)", "",
        "x" * 3000, "https://bücher.example/x", "https://push.example.com\r\n.evil.test/x", "https://a..b/x",
        "https://push.example.com.",
    ],
)  # fmt: skip
def test_an_endpoint_that_no_push_service_has_is_refused(endpoint: str) -> None:
    assert check_endpoint(endpoint) is not None
    result = asyncio.run(PushChannel(KEYS).send(push(endpoint)))
    assert isinstance(result, Failed)
    assert result.bounced


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:APA91b", "https://updates.push.services.mozilla.com/wpush/v2/gAAA",
        "https://web.push.apple.com/QGuQ", "https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%3d%3d",
    ],
)  # fmt: skip
def test_the_endpoints_of_todays_browsers_are_taken(endpoint: str) -> None:
    assert check_endpoint(endpoint) is None


@pytest.mark.parametrize("p256dh", ["A" * 87, "B" + "A" * 86, "!" * 87, "A" * 100, "ä" * 87])
def test_keys_that_are_none_end_the_subscription(p256dh: str) -> None:
    target = PushTarget("https://push.example.com/x", p256dh, BROWSER.at("").auth)
    result = asyncio.run(PushChannel(KEYS).send(push("", target=target)))
    assert isinstance(result, Failed)
    assert (result.reason, result.bounced) == ("gone", True)


def test_nothing_secret_is_shown_when_a_message_or_the_keys_are_printed() -> None:
    message = push("https://push.example.com/secret-address")
    assert "secret-address" not in repr(message)
    assert message.target.auth not in repr(message)
    assert "private" not in repr(KEYS).lower()
