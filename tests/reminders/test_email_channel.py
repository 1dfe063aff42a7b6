"""SMTP for real, on loopback: what each answer of a mail server means. The fake keeps the same contract.

Here the server is aiosmtpd, which behaves; `test_relays.py` has one that does not.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope

from cartwake.errors import MailUnavailable
from reminders.channels.email import EmailChannel, Limits
from reminders.channels.relays import Relay
from reminders.mime import build
from reminders.outbox import Channel, Mail, deliver
from reminders.outcomes import Cancelled, Failed, Later, Sent, Uncertain
from tests.reminders.world import Server

URL = "https://t.shop.example.com/u/abc"


@cache
def mail(n: int = 1, text: str = "Hello\n.\n..dots\n") -> Mail:
    message_id = f"<plan-{n}@shop.example.com>"
    wire = build(
        sender=("Shop", "carts@shop.example.com"), to="ana@example.com", subject="Your cart", text=text,
        html="<p>Hello</p>", date=datetime(2026, 11, 23, tzinfo=UTC), message_id=message_id, unsubscribe_url=URL,
    )  # fmt: skip
    return Mail(message_id, "carts@shop.example.com", "ana@example.com", "Your cart", text, "<p>Hello</p>", wire)


class Post:
    """What an aiosmtpd server answers, step by step; `cut` names the step at which it hangs up instead."""

    def __init__(self, *, cut: str = "", **answers: str) -> None:
        self.cut = cut
        self.answers = answers
        self.mails: list[bytes] = []
        self.connections = 0

    async def handle_MAIL(self, server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:  # noqa: N802
        envelope.mail_from = address
        return self._say(server, "MAIL", "250 OK")

    async def handle_RCPT(self, server: Any, _session: Any, envelope: Envelope, address: str, _options: Any) -> str:  # noqa: N802
        envelope.rcpt_tos.append(address)
        return self._say(server, "RCPT", "250 OK")

    async def handle_DATA(self, server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        return self._say(server, "DATA", "250 2.0.0 queued as 1")

    def _say(self, server: Any, step: str, usual: str) -> str:
        if self.cut == step:
            server.transport.abort()
        return self.answers.get(step, usual)


async def serving(post: Post, do: Callable[[EmailChannel], Awaitable[Any]], **options: Any) -> Any:
    def connection() -> SMTP:
        post.connections += 1
        return SMTP(post, hostname="mail.example.com")

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = EmailChannel(
        Relay("127.0.0.1", port, tls="none"), limits=Limits(**({"timeout": 2.0, "answer": 2.0} | options))
    )
    try:
        return await do(channel)
    finally:
        await channel.close()
        server.close()
        await asyncio.sleep(0.01)


def sent_by(post: Post, **options: Any) -> Any:
    return asyncio.run(serving(post, lambda channel: channel.send(mail()), **options))


def test_a_mail_arrives_as_it_was_built() -> None:
    post = Post()
    assert sent_by(post) == Sent("2.0.0 queued as 1")
    assert post.mails == [mail().wire]
    assert b"\r\n.\r\n..dots\r\n" in mail().wire


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", ["421 4.3.2 closing", "450 4.2.0 greylisted", "451 4.3.0 try later", "452 full"])
def test_4xx_means_later(step: str, answer: str) -> None:
    with pytest.raises(MailUnavailable, match=answer[:3]):
        sent_by(Post(**{step: answer}))


@pytest.mark.parametrize(
    ("answer", "bounced"),
    [
        ("550 5.1.1 no such user", True),
        ("550 no such user", True),
        ("553 5.1.3 bad address", True),
        ("550 5.7.1 blocked by policy", False),
        ("552 5.2.2 mailbox full", False),
        ("554 5.7.1 relay access denied", False),
        ("554 no", False),
    ],
)
def test_5xx_at_the_recipient_is_final_and_a_bounce_only_when_the_mailbox_is_gone(answer: str, bounced: bool) -> None:
    result = sent_by(Post(RCPT=answer))
    assert (type(result), result.bounced) == (Failed, bounced)
    assert answer in result.words


@pytest.mark.parametrize("answer", ["550 5.7.1 spam", "552 too big", "554 5.6.0 no"])
def test_5xx_after_the_content_fails_the_mail_and_not_the_address(answer: str) -> None:
    result = sent_by(Post(DATA=answer))
    assert (type(result), result.bounced) == (Failed, False)


@pytest.mark.parametrize("step", ["MAIL", "RCPT"])
def test_a_connection_lost_before_the_content_means_later(step: str) -> None:
    with pytest.raises(MailUnavailable):
        sent_by(Post(cut=step))


def test_a_connection_lost_after_the_final_dot_is_uncertain() -> None:
    post = Post(cut="DATA")
    assert sent_by(post) == Uncertain("<plan-1@shop.example.com>")
    assert len(post.mails) == 1


def test_silence_after_the_final_dot_is_uncertain() -> None:
    class Silent(Post):
        async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
            await asyncio.sleep(1)
            return "250 too late"

    assert isinstance(sent_by(Silent(), answer=0.1), Uncertain)


def test_nobody_listening_means_later() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(MailUnavailable, match=f"127.0.0.1:{port} can't be used"):
        asyncio.run(EmailChannel(Relay("127.0.0.1", port, tls="none")).send(mail()))


def test_a_server_without_tls_is_not_spoken_to_when_tls_is_asked_for() -> None:
    async def ask() -> None:
        post = Post()
        server = await asyncio.get_running_loop().create_server(lambda: SMTP(post), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            await EmailChannel(Relay("127.0.0.1", port, tls="starttls"), limits=Limits(timeout=2)).send(mail())
        finally:
            server.close()
            assert post.mails == []

    with pytest.raises(MailUnavailable):
        asyncio.run(ask())


def test_a_connection_is_used_again_and_a_lost_one_replaced() -> None:
    post = Post()

    async def several(channel: EmailChannel) -> None:
        for n in range(3):
            assert isinstance(await channel.send(mail(n)), Sent)
        assert post.connections == 1
        channel.stations[0].resting[0].close()
        assert isinstance(await channel.send(mail(9)), Sent)

    asyncio.run(serving(post, several))
    assert (len(post.mails), post.connections) == (4, 2)


def test_a_server_that_closes_the_door_is_left_alone_for_a_while() -> None:
    post = Post(RCPT="421 4.7.0 too many")

    async def twice(channel: EmailChannel) -> None:
        for _ in range(2):
            with pytest.raises(MailUnavailable, match="421"):
                await channel.send(mail())

    asyncio.run(serving(post, twice))
    assert post.connections == 1


def test_a_refused_recipient_does_not_spoil_the_connection() -> None:
    post = Post(RCPT="550 5.1.1 no such user")

    async def two(channel: EmailChannel) -> Any:
        await channel.send(mail(1))
        post.answers.clear()
        return await channel.send(mail(2))

    assert isinstance(asyncio.run(serving(post, two)), Sent)
    assert (len(post.mails), post.connections) == (1, 1)


# -- the contract both keep ----------------------------------------------------------------------------------
SAID: dict[str, tuple[Post, Server]] = {
    "sent": (Post(), Server()),
    "later": (Post(RCPT="450 later"), Server(answers=[MailUnavailable("450 later")] * 3)),
    "failed": (Post(RCPT="550 5.1.1 gone"), Server(answers=[Failed("bounced", "550", bounced=True)])),
    "uncertain": (Post(cut="DATA"), Server(answers=[Uncertain("<plan-1@shop.example.com>")])),
}


@pytest.mark.parametrize("case", list(SAID))
@pytest.mark.parametrize("real", [True, False])
def test_delivering_means_the_same_over_smtp_and_to_the_fake(case: str, real: bool) -> None:
    async def no_pause(_seconds: float) -> None: ...

    async def through(channel: Channel) -> Any:
        return await deliver(channel, mail(), cancelled=lambda: False, sleep=no_pause)

    post, fake = SAID[case]
    result = asyncio.run(serving(post, through) if real else through(fake))
    expected = {"sent": Sent, "later": Later, "failed": Failed, "uncertain": Uncertain}[case]
    assert isinstance(result, expected)
    if isinstance(result, Sent | Uncertain):
        assert result.mail == mail().shown


def test_what_was_cancelled_is_not_tried() -> None:
    server = Server()
    assert asyncio.run(deliver(server, mail(), cancelled=lambda: True)) == Cancelled()
    assert server.asked == 0
