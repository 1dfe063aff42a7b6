"""E-mail by SMTP: the only file that knows aiosmtplib, which opens connections. They are kept and used again.

Replies are read as RFC 5321 means them: 4xx and every failure before the content is handed over may be tried again;
5xx is final; silence after it is `Uncertain`, because only the server knows. A relay that is away is left alone for a
while and others take over; when all are, mails wait, and a connection is tried until one of them is back.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import aiosmtplib
from aiosmtplib import SMTP

from cartwake.errors import MailUnavailable
from reminders.channels.dialogue import Broken, Dialogue, Reply
from reminders.channels.pace import Hosts, Pace
from reminders.channels.relays import FIRST_PAUSE, LONGEST_PAUSE, Health, Relay
from reminders.clean import line
from reminders.outbox import Mail
from reminders.outcomes import Cancelled, Failed, Sent, Uncertain

log = logging.getLogger(__name__)

_ENHANCED: Final = re.compile(r"\b5\.(\d{1,3})\.(\d{1,3})\b")
_NO_MAILBOX: Final = frozenset({550, 551, 553})
#: Wrong order, log-in missing or wrong: to be put right in the settings; the mails wait for it.
_OUR_FAULT: Final = frozenset({500, 502, 503, 530, 534, 535, 538})
_IDLE: Final = 20.0  # seconds a connection may rest; relays close them after some minutes
_ANSWERED: Final = 300.0  # seconds to wait after the final dot; RFC 5321 asks for patience here
_TEMPORARY: Final = 10  # mails in a row put off by a relay, after which it is left alone as one that failed

_GLANCE: Final = 0.05  # seconds before a relay that is just being tried is looked at again

#: Steps before a mail is handed over, and the answers that let it go on.
_STEPS: Final = (
    ("start", frozenset({250})),
    ("sender", frozenset({250})),
    ("recipient", frozenset({250, 251, 252})),
    ("content", frozenset({354})),
)
_ENVELOPE: Final = re.compile(r"[!-;=?-~]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a relay, and a host that recipients are at, may be asked for; 0 is without limit. Times in seconds."""

    connections: int = 8  # to a relay
    messages: int = 200  # over one connection
    rate: float = 0.0  # mails a second over a relay
    host_connections: int = 0  # mails on their way to one recipient host
    host_rate: float = 0.0  # mails a second to one recipient host
    timeout: float = 15.0  # for each step
    answer: float = _ANSWERED
    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE


class Gone(Exception):
    """The relay is of no use now, and this mail has certainly not been handed over: another one may take it."""


@dataclass(slots=True)
class Station:
    """A relay at work: its connections, its pace and its health."""

    relay: Relay
    health: Health
    pace: Pace
    slots: asyncio.Semaphore
    resting: list[Dialogue] = field(default_factory=list)
    temporary: int = 0  # refusals in a row
    trying: bool = False  # a mail is finding out whether it is back
    connections: int = 0  # opened so far

    def away(self, now: float) -> bool:
        """Whether it is to be left alone: it has failed, or it is just being found out whether it is back."""
        return now < self.health.until or self.trying


def never() -> bool:
    """Nothing calls this mail off."""
    return False


class EmailChannel:
    """Sends over `relays`, the first of them that works. `sign` puts signatures in front of a serialised mail."""

    def __init__(
        self,
        *relays: Relay,
        limits: Limits = Limits(),
        sign: Callable[[bytes], bytes] = lambda wire: wire,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._sign = sign
        self._trust = trust
        self._hosts = Hosts(limits.host_connections, limits.host_rate)
        self._paused_since: float | None = None
        self._waking: asyncio.Task[None] | None = None
        self.pauses = 0  # so far
        self.stations = [
            Station(
                relay,
                Health(limits.first_pause, limits.longest_pause),
                Pace(limits.rate),
                asyncio.Semaphore(limits.connections),
            )
            for relay in relays
        ]

    @property
    def paused(self) -> bool:
        """Whether no relay can be used; it ends by itself."""
        return self._paused_since is not None

    async def send(self, mail: Mail) -> Sent | Failed | Uncertain:
        """Hand the mail over once. Raises MailUnavailable when it certainly did not leave and may later."""
        result = await self.send_unless(never, mail)
        assert not isinstance(result, Cancelled), "nothing calls it off"
        return result

    async def send_unless(self, cancelled: Callable[[], bool], mail: Mail) -> Sent | Failed | Uncertain | Cancelled:
        """As `send`; mails stand in line here, so `cancelled` is asked when the turn has come."""
        for address in (mail.sender, mail.recipient):
            if not _ENVELOPE.fullmatch(address):
                return Failed("refused", "An address of the envelope is none that can be written to a mail server.")
        self._check_all_away()
        async with self._hosts.turn(mail.recipient.rpartition("@")[2].lower()):
            for station in self.stations:
                try:
                    return await self._over(station, cancelled, mail)
                except Gone:
                    continue
        self._check_all_away()
        raise MailUnavailable(self._why())

    async def close(self) -> None:
        """Say good-bye to the relays."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.wait([self._waking])
        for station in self.stations:
            while station.resting:
                station.resting.pop().close(politely=True)
        await asyncio.sleep(0)  # in which connections end

    # -- one mail over one relay ---------------------------------------------------------------------------------
    async def _over(
        self, station: Station, cancelled: Callable[[], bool], mail: Mail
    ) -> Sent | Failed | Uncertain | Cancelled:
        """Raises Gone when another relay may take it, MailUnavailable when it is this mail that is put off."""
        if station.away(time.monotonic()):
            raise Gone
        async with station.slots:
            await asyncio.sleep(station.pace.turn(time.monotonic()))
            if station.away(time.monotonic()):  # it has failed meanwhile
                raise Gone
            station.trying = station.health.failures > 0
            try:
                while (result := await self._try(station, cancelled, mail)) is None:
                    pass
                return result
            finally:
                station.trying = False

    async def _try(
        self, station: Station, cancelled: Callable[[], bool], mail: Mail
    ) -> Sent | Failed | Uncertain | Cancelled | None:
        """None when it was over a connection that had rested too long."""
        attempt = station.health.trial
        dialogue = _rested(station)
        used = dialogue is not None
        if dialogue is None:
            dialogue = await self._connect(station, attempt)
        if cancelled():
            self._rest(station, dialogue)
            return Cancelled()
        try:
            step, reply = await self._talk(dialogue, mail)
        except BaseException as exc:
            dialogue.close()
            if not isinstance(exc, Broken):
                raise
            if used:
                return None
            self._failed(station, attempt, f"it broke off: {exc}")
            raise Gone from exc
        if reply is not None and reply.code == 421 and used and step != "end":
            dialogue.close()
            return None
        self._rest(station, dialogue)
        return self._judge(station, attempt, mail, step, reply)

    async def _talk(self, dialogue: Dialogue, mail: Mail) -> tuple[str, Reply | None]:
        """The step at which it ended, and the reply: None when nobody knows. Raises Broken when it did not leave."""
        commands = [
            *([b"RSET"] if dialogue.unclear else []),
            b"MAIL FROM:<" + mail.sender.encode("ascii") + b">",
            b"RCPT TO:<" + mail.recipient.encode("ascii") + b">",
            b"DATA",
        ]
        steps = _STEPS[-len(commands) :]
        dialogue.mails += 1
        dialogue.unclear = True
        replies = await dialogue.ask(commands, self._limits.timeout)
        for (step, expected), reply in zip(steps, replies, strict=False):
            if reply.code not in expected:
                if replies[-1].code == 354:
                    dialogue.close()  # it refused the mail, and waits for its content
                if reply.code < 400:
                    raise Broken(f"it answered the {step} with {reply}")
                return step, reply
        content = (b"\r\n" + self._sign(mail.wire)).replace(b"\r\n.", b"\r\n..")[2:]
        end = b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n"
        try:
            reply = await dialogue.hand_over(content + end, self._limits.answer)
        except Broken:
            dialogue.close()
            if dialogue.unsent:
                raise
            return "end", None
        dialogue.unclear = reply.code >= 300
        return "end", reply

    def _judge(
        self, station: Station, attempt: int, mail: Mail, step: str, reply: Reply | None
    ) -> Sent | Failed | Uncertain:
        if reply is None or 300 <= reply.code < 400:
            self._failed(station, attempt, "no answer to a mail that was handed over")
            return Uncertain(mail.message_id)
        if reply.code == 421 or (reply.code in _OUR_FAULT and step != "end"):
            self._failed(station, attempt, f"it answered {reply}")
            raise Gone
        if 400 <= reply.code < 500:
            station.temporary += 1
            words = f"the mail server {station.relay} answered {reply}"
            if station.temporary >= _TEMPORARY:
                self._failed(station, attempt, f"it put off {station.temporary} mails in a row, the last with {reply}")
            raise MailUnavailable(words)
        self._worked(station, attempt)
        return Sent(reply.words or str(reply.code)) if reply.code < 300 else _refused(step, reply)

    # -- connections ---------------------------------------------------------------------------------------------
    async def _connect(self, station: Station, attempt: int) -> Dialogue:
        """A new connection, encrypted and logged in as the relay says; raises Gone."""
        relay = station.relay
        if self._trust is None and relay.tls != "none":
            self._trust = ssl.create_default_context()
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            use_tls=relay.tls == "tls",
            start_tls=False,
            tls_context=self._trust if relay.tls != "none" else None,
            timeout=self._limits.timeout,
            local_hostname="localhost" if relay.tls == "none" else None,  # else asked of DNS
        )
        try:
            async with asyncio.timeout(2 * self._limits.timeout):  # all steps together
                await client.connect()
                peer = client.get_transport_info("peername")
                if peer is None:
                    raise ConnectionError("it closed the connection")
                if (why_not := relay.why_not(peer[0])) is not None:
                    raise ValueError(why_not)
                if relay.tls == "starttls":
                    await client.starttls()
                await client.ehlo()
                if relay.user:
                    await client.login(relay.user, relay.password)
                transport = client.transport
                if transport is None or transport.is_closing():
                    raise ConnectionError("it closed the connection")
        except (aiosmtplib.SMTPException, OSError, ValueError, RuntimeError) as exc:
            client.close()
            words = line(str(exc), 300) or "it does not answer"
            self._failed(station, attempt, words.replace(relay.password, "…") if relay.password else words)
            raise Gone from exc
        except BaseException:
            client.close()
            raise
        station.connections += 1
        return Dialogue(cast(asyncio.Transport, transport), pipelining=client.supports_extension("pipelining"))

    def _rest(self, station: Station, dialogue: Dialogue) -> None:
        if dialogue.fresh and dialogue.mails < self._limits.messages:
            dialogue.rested_since = time.monotonic()
            station.resting.append(dialogue)
        else:
            dialogue.close(politely=True)

    # -- relays that are away ------------------------------------------------------------------------------------
    def _failed(self, station: Station, attempt: int, words: str) -> None:
        now = time.monotonic()
        if not station.health.failed(attempt, f"the mail server {station.relay} can't be used: {words}", now):
            return
        station.temporary = 0
        while station.resting:
            station.resting.pop().close()
        if station.health.failures == 1 and not all(other.away(now) for other in self.stations):
            log.warning("%s. Others take over", station.health.words)

    def _worked(self, station: Station, attempt: int) -> None:
        station.temporary = 0
        if station.health.worked(attempt):
            if not self.paused and len(self.stations) > 1:
                log.warning("the mail server %s works again", station.relay)
            self._resume(station)

    def _why(self) -> str:
        return "; ".join(station.health.words for station in self.stations if station.health.failures) or "no relay"

    def _check_all_away(self) -> None:
        """Raise MailUnavailable while no relay can be used; the first time say so, and see to it that it ends."""
        now = time.monotonic()
        if not all(station.away(now) for station in self.stations):
            return
        if not self.paused and not any(station.trying for station in self.stations):
            self._paused_since = now
            self.pauses += 1
            log.warning("mails are paused: %s. They go out again by themselves when it is back", self._why())
            self._waking = asyncio.create_task(self._wake())
        raise MailUnavailable(self._why())

    async def _wake(self) -> None:
        while self.paused:
            station = min(self.stations, key=lambda s: s.health.until)
            await asyncio.sleep(max(station.health.until - time.monotonic(), _GLANCE))
            if not self.paused or station.trying:
                continue
            station.trying = True
            try:
                dialogue = await self._connect(station, station.health.trial)
            except Gone:
                continue
            finally:
                station.trying = False
            self._rest(station, dialogue)
            self._resume(station)

    def _resume(self, station: Station) -> None:
        if self._paused_since is not None:
            seconds = time.monotonic() - self._paused_since
            self._paused_since = None
            log.warning("mails go out again after %.0f s, over %s", seconds, station.relay)


def _rested(station: Station) -> Dialogue | None:
    """A connection that may be used again."""
    while station.resting:
        dialogue = station.resting.pop()
        if dialogue.fresh and time.monotonic() - dialogue.rested_since < _IDLE:
            return dialogue
        dialogue.close(politely=True)
    return None


def _refused(step: str, reply: Reply) -> Failed:
    if step == "recipient":
        enhanced = _ENHANCED.search(reply.words)
        gone = enhanced[1] == "1" if enhanced else reply.code in _NO_MAILBOX
        return Failed("bounced" if gone else "refused", f"The mail server refused the recipient: {reply}", bounced=gone)
    return Failed("refused", f"The mail server refused the {'content' if step == 'end' else step}: {reply}")
