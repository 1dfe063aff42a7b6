"""Mail servers that misbehave, go away and come back; several of them; how much each is asked for."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry, generate_latest

from cartwake.errors import ConfigurationError, MailUnavailable
from cartwake.settings import Settings, load
from reminders import channels
from reminders.channels.dialogue import Broken, Dialogue
from reminders.channels.email import EmailChannel, Limits
from reminders.channels.meters import MailMeters
from reminders.channels.pace import Hosts, Pace
from reminders.channels.relays import Health, Relay, pause, relay_of, relays_of
from reminders.outbox import deliver
from reminders.outcomes import Cancelled, Failed, Later, Sent, Uncertain
from tests.reminders.bad_smtp import FAULTS, BadServer, Fault, channel_to, expected, mail

SECRET = "hunter2 hunter2"


async def until_sent(channel: EmailChannel, number: str, tries: int = 2000) -> Any:
    """The result of a mail that is tried until the relay takes it or refuses it."""
    for _ in range(tries):
        try:
            return await channel.send(mail(number))
        except MailUnavailable:
            await asyncio.sleep(0.01)
    raise AssertionError("it never works again")


async def until(true: Callable[[], bool], tries: int = 2000) -> None:
    for _ in range(tries):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never comes true")


async def soon(_seconds: float) -> None:
    await asyncio.sleep(0.01)


def with_servers(
    count: int, do: Callable[..., Awaitable[Any]], *, limits: dict[str, Any] | None = None, **how: Any
) -> Any:
    """What `do` makes of a channel to so many servers, and the servers."""

    async def go() -> Any:
        async with contextlib.AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(BadServer(**how)) for _ in range(count)]
            channel = channel_to(*servers, **(limits or {}))
            try:
                return await do(channel, *servers)
            finally:
                await channel.close()

    return asyncio.run(go())


# -- misbehaving -----------------------------------------------------------------------------------------------------
def first_end(fault: Fault) -> tuple[type, ...]:
    """How the first attempt may end."""
    if fault.what == "say" and fault.reply.startswith("5") and not fault.at_the_door:
        return (Failed,)
    if fault.step == "dot" and not fault.reply:
        return (Sent,) if fault.what == "say" else (Uncertain,)
    if fault.step == "DATA" and fault.then_drop:
        return MailUnavailable, Uncertain
    return (MailUnavailable,)


@pytest.mark.parametrize(
    ("fault", "pipelining"),
    [(fault, True) for fault in FAULTS]
    + [(fault, False) for fault in FAULTS if fault.what in ("say", "drop", "twice")],
    ids=str,
)
def test_a_server_that_misbehaves_doubles_nothing_and_is_used_again(fault: Fault, pipelining: bool) -> None:
    async def go(channel: EmailChannel, server: BadServer) -> None:
        if fault.step == "listening":
            await server.away()
        elif fault.at_the_door:
            server.door.append(fault)
        else:
            server.faults["1"].append(fault)
        try:
            end: object = await channel.send(mail("1"))
        except MailUnavailable as exc:
            end = exc
        assert isinstance(end, first_end(fault))
        if fault.step == "listening":
            await server.listen()
        if isinstance(end, MailUnavailable):
            assert server.taken["1"] == 0
            assert isinstance(await until_sent(channel, "1"), expected(fault))
        assert isinstance(await until_sent(channel, "2"), Sent)
        assert server.taken["1"] <= 1
        assert server.taken["2"] == 1
        assert server.contents["2"] == mail("2").wire.replace(b"\r\n.", b"\r\n..")

    with_servers(1, go, limits={"timeout": 0.25, "answer": 0.25}, pipelining=pipelining)


def test_a_mail_that_meets_one_fault_after_another_arrives_once() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        server.faults["1"].extend(Fault(step, "drop") for step in ("MAIL", "RCPT", "DATA"))
        server.faults["1"].append(Fault("dot", "say", "451 later"))
        return await until_sent(channel, "1"), server.taken["1"]

    assert with_servers(1, go) == (Sent("2.0.0 taken"), 1)


def test_a_mail_whose_end_has_not_left_this_machine_has_certainly_not_arrived() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        server.faults["1"].append(Fault("DATA", "deaf"))
        large = replace(mail("1"), wire=mail("1").wire + b"x" * 30_000_000)
        with pytest.raises(MailUnavailable, match=r"no answer within 0\.2 s"):
            await channel.send(large)
        return await until_sent(channel, "1"), server.taken["1"]

    assert with_servers(1, go, limits={"answer": 0.2}) == (Sent("2.0.0 taken"), 1)


def test_what_a_server_says_is_shown_on_one_line_without_tricks() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        server.faults["1"].append(Fault("RCPT", "say", "550-5.7.1 no\x1b[31m\u202e\r\n550 5.7.1 " + "x" * 500))
        return await channel.send(mail("1"))

    words = with_servers(1, go).words
    assert words.startswith("The mail server refused the recipient: 550 5.7.1 no [31m 5.7.1 xxx")
    assert words.isprintable()
    assert len(words) < 400


def test_a_server_that_refuses_the_sender_and_waits_for_the_content_gets_none() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        server.faults["1"].append(Fault("RCPT", "say", "550 5.1.1 gone"))
        end = await channel.send(mail("1"))
        kept = list(channel.stations[0].resting)
        assert isinstance(await channel.send(mail("2")), Sent)
        return end, kept, server.taken["1"], server.connections

    end, kept, taken, connections = with_servers(1, go)
    assert (end.bounced, kept, taken, connections) == (True, [], 0, 2)


@pytest.mark.parametrize("fault", [Fault("MAIL", "drop"), Fault("MAIL", "say", "421 4.4.2 idle too long")], ids=str)
def test_a_connection_that_has_rested_too_long_is_replaced_and_nothing_is_away(fault: Fault) -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        await channel.send(mail("1"))
        server.faults["2"].append(fault)
        return await channel.send(mail("2")), channel.pauses, channel.stations[0].health.failures, server.connections

    assert with_servers(1, go) == (Sent("2.0.0 taken"), 0, 0, 2)


class Wire(asyncio.Transport):
    """A transport that is open until it is aborted."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"250 " + b"x" * 5000, "a line without an end"),
        (b"250-and\r\n" * 200, "talks without an end"),
        (b"250 ok\r\n" * 200, "talks without an end"),
        (b"hello\r\n", "no SMTP"),
        (b"250-a\r\n550 b\r\n", "no SMTP"),
        (b"999 a\r\n", "no SMTP"),
    ],
)
def test_a_server_that_babbles_is_not_listened_to(said: bytes, words: str) -> None:
    dialogue = Dialogue(Wire(), pipelining=True)
    dialogue.data_received(said)
    dialogue.data_received(b"250 ok\r\n")
    with pytest.raises(Broken, match=words):
        asyncio.run(dialogue.ask([b"NOOP"], 1))


@pytest.mark.parametrize(
    "address", ["a b@example.com", "a@example.com>\r\nDATA", "a@example.com\n", "<a@example.com>", "", "ä@example.com"]
)
def test_an_envelope_with_anything_unusual_is_not_spoken(address: str) -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        ends = [await channel.send(replace(mail("1"), recipient=address))]
        ends.append(await channel.send(replace(mail("1"), sender=address)))
        return ends, server.said

    ends, said = with_servers(1, go)
    assert [type(end) for end in ends] == [Failed, Failed]
    assert said == []


# -- several relays ---------------------------------------------------------------------------------------------------
def test_another_relay_takes_over_and_the_first_is_used_again_when_it_is_back() -> None:
    async def go(channel: EmailChannel, first: BadServer, second: BadServer) -> None:
        await channel.send(mail("1"))
        await first.away()
        assert isinstance(await channel.send(mail("2")), Sent)
        assert not channel.paused
        await first.listen()
        for n in range(3, 2000):
            await channel.send(mail(str(n)))
            if first.taken[str(n)]:
                break
            await asyncio.sleep(0.01)
        assert sum(first.taken.values()) >= 2
        assert second.taken["2"] == 1
        assert not any(first.taken[n] and second.taken[n] for n in first.taken)

    with_servers(2, go)


@pytest.mark.parametrize(
    "fault",
    [Fault("MAIL", "say", "421 busy"), Fault("RCPT", "drop"), Fault("MAIL", "say", "530 5.7.0 log in first")],
    ids=str,
)
def test_a_relay_that_fails_before_the_content_hands_the_mail_to_the_next_at_once(fault: Fault) -> None:
    async def go(channel: EmailChannel, first: BadServer, second: BadServer) -> Any:
        first.faults["1"].append(fault)
        end = await channel.send(mail("1"))
        return end, first.taken["1"], second.taken["1"]

    assert with_servers(2, go) == (Sent("2.0.0 taken"), 0, 1)


@pytest.mark.parametrize("what", ["drop", "silence", "junk"])
def test_a_mail_of_which_nobody_knows_is_not_given_to_another_relay(what: str) -> None:
    async def go(channel: EmailChannel, first: BadServer, second: BadServer) -> Any:
        first.faults["1"].append(Fault("dot", what))
        return await channel.send(mail("1")), second.taken["1"]

    assert with_servers(2, go, limits={"answer": 0.2}) == (Uncertain(mail("1").message_id), 0)


def test_when_all_are_away_mails_are_paused_once_and_go_out_again_by_themselves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "reminders.channels.email")

    async def go(channel: EmailChannel, first: BadServer, second: BadServer) -> None:
        await first.away()
        await second.away()
        for n in range(20):
            with pytest.raises(MailUnavailable, match=f"{first.port} can't be used.*{second.port} can't be used"):
                await channel.send(mail(str(n)))
        assert channel.paused
        assert channel.pauses == 1
        await second.listen()
        await until(lambda: not channel.paused)  # nobody sends
        assert isinstance(await channel.send(mail("99")), Sent)
        assert second.taken["99"] == 1

    with_servers(2, go)
    said = [record.message for record in caplog.records]
    assert sum("mails are paused" in words for words in said) == 1
    assert sum("mails go out again" in words for words in said) == 1


def test_a_relay_that_puts_off_every_mail_is_left_alone() -> None:
    async def go(channel: EmailChannel, first: BadServer, second: BadServer) -> Any:
        for n in range(40):
            first.faults[str(n)].extend([Fault("RCPT", "say", "451 4.3.0 try later")] * 3)
        ends = [await deliver(channel, mail(str(n)), cancelled=lambda: False, sleep=no_wait) for n in range(40)]
        return ends, sum(second.taken.values())

    async def no_wait(_seconds: float) -> None: ...

    ends, by_second = with_servers(2, go, limits={"first_pause": 1000.0, "longest_pause": 1000.0})
    assert by_second >= 30
    assert not any(isinstance(end, Failed | Uncertain) for end in ends)


def test_while_all_are_away_a_mail_waits_instead_of_failing() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        await server.away()
        return await deliver(channel, mail("1"), cancelled=lambda: False, sleep=soon)

    assert isinstance(with_servers(1, go), Later)


def test_the_figures_say_whether_mails_are_paused() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        registry = CollectorRegistry()
        registry.register(MailMeters(channel))
        await channel.send(mail("1"))
        before = generate_latest(registry).decode()
        await server.away()
        with pytest.raises(MailUnavailable):
            await channel.send(mail("2"))
        return before, generate_latest(registry).decode(), f'{{relay="127.0.0.1:{server.port}"}}'

    before, after, relay = with_servers(1, go, limits={"first_pause": 1000.0, "longest_pause": 1000.0})
    assert "cartwake_mail_paused 0.0" in before
    assert f"cartwake_mail_connections_total{relay} 1.0" in before
    assert "cartwake_mail_paused 1.0" in after
    assert "cartwake_mail_pauses_total 1.0" in after
    assert f"cartwake_mail_relay_failures{relay} 1.0" in after


# -- how long to leave one alone ---------------------------------------------------------------------------------------
def test_the_pause_doubles_up_to_some_minutes_and_is_spread() -> None:
    assert [pause(n, spread=0) for n in (1, 2, 3, 8, 9, 1000)] == [1, 2, 4, 128, 240, 240]
    assert pause(9, spread=1) == 120


def test_what_failed_together_is_one_outage() -> None:
    health = Health(spread=lambda: 0.0)
    attempt = health.trial
    assert health.failed(attempt, "gone", 100.0)
    assert not health.failed(attempt, "gone as well", 100.5)
    assert (health.failures, health.until, health.words) == (1, 101.0, "gone")
    assert health.failed(health.trial, "still gone", 101.0)
    assert (health.failures, health.until) == (2, 103.0)
    assert not health.worked(attempt), "it was taken before the outage"
    assert health.worked(health.trial)
    assert not health.worked(health.trial)
    assert health.failed(health.trial, "again", 200.0)
    assert health.until == 201.0


# -- limits ------------------------------------------------------------------------------------------------------------
def test_a_pace_spreads_its_turns_evenly() -> None:
    pace = Pace(rate=4)
    assert [pace.turn(10.0) for _ in range(3)] == [0, 0.25, 0.5]
    assert pace.turn(20.0) == 0
    assert [Pace(rate=0).turn(1.0) for _ in range(3)] == [0, 0, 0]


def test_a_connection_carries_so_many_mails_and_no_more_are_open_than_allowed() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        await asyncio.gather(*(channel.send(mail(str(n))) for n in range(12)))
        return server.connections, sum(server.taken.values())

    assert with_servers(1, go, limits={"connections": 1, "messages": 3}) == (4, 12)
    assert with_servers(1, go, limits={"connections": 2})[0] == 2


def test_only_so_many_mails_are_on_their_way_to_one_host() -> None:
    async def go() -> tuple[int, int]:
        hosts, now, most, other = Hosts(2, 0), 0, 0, 0

        async def visit(name: str) -> None:
            nonlocal now, most, other
            async with hosts.turn(name):
                if name == "b.example":
                    other = now
                    return
                now += 1
                most = max(most, now)
                for _ in range(5):
                    await asyncio.sleep(0)
                now -= 1

        await asyncio.gather(*(visit("a.example") for _ in range(20)), visit("b.example"))
        return most, other

    assert asyncio.run(go()) == (2, 2)


def test_the_limits_of_hosts_and_relays_are_kept_by_the_channel() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        await asyncio.gather(*(channel.send(mail(str(n))) for n in range(5)))
        return server.connections, channel.stations[0].pace.next_at > 0

    assert with_servers(1, go, limits={"host_connections": 1, "connections": 4}) == (1, False)
    assert with_servers(1, go, limits={"rate": 1000.0, "connections": 1}) == (1, True)


def test_what_was_called_off_while_it_stood_in_line_does_not_leave() -> None:
    async def go(channel: EmailChannel, server: BadServer) -> Any:
        server.faults["1"].append(Fault("dot", "slow"))
        bought = False
        first = asyncio.create_task(channel.send(mail("1")))
        second = asyncio.create_task(deliver(channel, mail("2"), cancelled=lambda: bought, sleep=soon))
        await until(lambda: server.taken["1"] > 0)
        bought = True
        return await first, await second, server.taken["2"]

    first, second, taken = with_servers(1, go, limits={"connections": 1, "answer": 5.0}, byte_pause=0.01)
    assert isinstance(first, Sent)
    assert (second, taken) == (Cancelled(), 0)


def test_each_mail_is_signed_on_its_way() -> None:
    async def go() -> bytes:
        async with BadServer() as server:
            relay = Relay("127.0.0.1", server.port, tls="none")
            channel = EmailChannel(relay, sign=lambda wire: b"DKIM-Signature: x\r\n" + wire)
            await channel.send(mail("1"))
            await channel.close()
            return server.contents["1"]

    assert asyncio.run(go()).startswith(b"DKIM-Signature: x\r\nFrom: ")


# -- encryption and log-in ---------------------------------------------------------------------------------------------
def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for `name`, and a client's that trusts it."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    other = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([other]), critical=False)
        .sign(key, SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(path)
    return serving, ssl.create_default_context(cafile=str(path))


async def over_tls(server: BadServer, relay: Relay, trust: ssl.SSLContext | None) -> Any:
    async with server:
        there = Relay(relay.host, server.port, relay.user, relay.password, relay.tls)
        channel = EmailChannel(there, limits=Limits(timeout=2, answer=2), trust=trust)
        try:
            return await channel.send(mail("1"))
        finally:
            await channel.close()


ACCEPTED, REFUSED = "235 2.7.0 welcome", f"535 5.7.8 no, {SECRET} is wrong"


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_mail_goes_over_tls_with_a_log_in(tmp_path: Path, tls: Any) -> None:
    serving, trust = certificate(tmp_path, "127.0.0.1")
    server = BadServer(tls=serving, wrapped=tls == "tls", starttls=tls == "starttls", auth=ACCEPTED)
    end = asyncio.run(over_tls(server, Relay("127.0.0.1", 0, "shop", SECRET, tls), trust))
    assert (end, server.taken["1"]) == (Sent("2.0.0 taken"), 1)
    assert any(said.startswith(b"AUTH PLAIN") for said in server.said)


@pytest.mark.parametrize("tls", ["tls", "starttls"])
@pytest.mark.parametrize("name", ["127.0.0.1", "other.example.com"])
def test_a_server_with_another_certificate_hears_neither_log_in_nor_mail(tmp_path: Path, tls: Any, name: str) -> None:
    serving, trust = certificate(tmp_path, name)
    server = BadServer(tls=serving, wrapped=tls == "tls", starttls=tls == "starttls", auth=ACCEPTED)
    unknown = None if name == "127.0.0.1" else trust  # nobody trusts it; or it is for another name
    with pytest.raises(MailUnavailable, match=r"(?i)certificate"):
        asyncio.run(over_tls(server, Relay("127.0.0.1", 0, "shop", SECRET, tls), unknown))
    assert not any(said.startswith((b"AUTH", b"MAIL")) for said in server.said)


def test_a_server_whose_starttls_was_taken_away_hears_neither_log_in_nor_mail() -> None:
    server = BadServer(auth=ACCEPTED)
    with pytest.raises(MailUnavailable, match="STARTTLS"):
        asyncio.run(over_tls(server, Relay("127.0.0.1", 0, "shop", SECRET, "starttls"), None))
    assert not any(said.startswith((b"AUTH", b"MAIL")) for said in server.said)


def test_a_refused_log_in_means_later_and_does_not_show_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serving, trust = certificate(tmp_path, "127.0.0.1")
    server = BadServer(tls=serving, wrapped=True, auth=REFUSED)
    with pytest.raises(MailUnavailable, match="535") as refused:
        asyncio.run(over_tls(server, Relay("127.0.0.1", 0, "shop", SECRET, "tls"), trust))
    assert SECRET not in str(refused.value) + caplog.text
    assert server.taken["1"] == 0


def test_without_tls_only_this_machine_and_private_networks_are_spoken_to() -> None:
    plain, with_login = Relay("x", 25, tls="none"), Relay("x", 25, "shop", "p", "none")
    for peer in ("127.0.0.1", "::1"):
        assert (plain.why_not(peer), with_login.why_not(peer)) == (None, None)
    for peer in ("10.1.2.3", "172.18.0.4", "192.168.1.1", "fd00::1", "fe80::1%eth0"):
        assert plain.why_not(peer) is None
        assert "show the password" in (with_login.why_not(peer) or "")
    for peer in ("1.1.1.1", "2606:4700:4700::1111"):
        assert "public address" in (plain.why_not(peer) or "")
        assert Relay("x", 25, "shop", "p", "starttls").why_not(peer) is None


# -- settings ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "relay"),
    [
        ("smtps://smtp.example.com", Relay("smtp.example.com", 465, tls="tls")),
        ("smtp://smtp.example.com", Relay("smtp.example.com", 587, tls="starttls")),
        ("smtp://smtp.example.com:25?tls=starttls", Relay("smtp.example.com", 25, tls="starttls")),
        ("smtp://[::1]:1025?tls=none", Relay("::1", 1025, tls="none")),
        ("smtps://a%40b:p%2F%3A%20w@smtp.example.com:2465/", Relay("smtp.example.com", 2465, "a@b", "p/: w", "tls")),
    ],
)
def test_a_relay_is_written_as_an_address(url: str, relay: Relay) -> None:
    assert relay_of(url) == relay


@pytest.mark.parametrize(
    "url",
    [
        "smtp://", "smtps://shop:hunter2@", "smtp://h:99999", "smtp://h:x", "smtp://h/path", "smtp://h?tls=no", "smtp://h?x=1",
        "smtps://h?tls=none", "http://h", "smtp://h?tls=none&tls2=x", "smtp://h?tls", "smtp://[::1", "smtp://h#x",
    ],
)  # fmt: skip
def test_what_is_no_relay_is_refused_with_an_example_and_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"setting smtp_relays.*Example: ") as refused:
        relay_of(url.replace("//h", "//shop:hunter2@h"))
    assert "hunter2" not in str(refused.value)


def test_the_settings_name_one_relay_or_several_or_the_local_mailbox() -> None:
    assert relays_of(Settings()) == [Relay("127.0.0.1", 1025, tls="none")]
    one = Settings(smtp_host="smtp.example.com", smtp_user="u", smtp_password="p")
    assert relays_of(one) == [Relay("smtp.example.com", 587, "u", "p", "starttls")]
    several = Settings(
        smtp_relays="smtps://a.example.com, smtp://b.example.com\nsmtp://c.example.com:25", smtp_host="x"
    )
    assert [str(relay) for relay in relays_of(several)] == [
        "a.example.com:465",
        "b.example.com:587",
        "c.example.com:25",
    ]


@pytest.mark.parametrize("text", ["smtp//u:hunter2@h", "smtp://u:hunter2@h;smtp://h", "smtps://u:hunter2@h, x"])
def test_a_list_of_relays_that_is_none_is_refused_without_its_passwords(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"(?i)smtp_relays.*Example: CARTWAKE_SMTP_RELAYS=smtps://") as refused:
        relays_of(load({"CARTWAKE_SMTP_RELAYS": text}, Path("/nowhere")))
    assert "hunter2" not in str(refused.value)


def test_with_relays_the_local_mailbox_is_not_asked_for() -> None:
    assert not Settings(smtp_relays=" ").has_relay
    assert Settings(smtp_relays="smtp://smtp.example.com").has_relay
    assert Settings(smtp_host="smtp.example.com").has_relay


def test_a_password_is_not_part_of_what_a_relay_is_shown_as() -> None:
    assert "hunter2" not in repr(Relay("h", 25, "shop", "hunter2"))


def test_the_channel_of_the_settings_keeps_their_limits() -> None:
    channel = channels.email(
        Settings(smtp_relays="smtp://a.example.com,smtp://b.example.com", smtp_rate=2, smtp_connections=3)
    )
    assert [(s.relay.host, s.pace.rate, s.slots._value) for s in channel.stations] == [
        ("a.example.com", 2.0, 3), ("b.example.com", 2.0, 3),
    ]  # fmt: skip


def test_a_key_that_is_not_there_stops_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="setting dkim_keys"):
        channels.email(Settings(dkim_keys="s1._domainkey.example.com=/nowhere/dkim.pem"))
