"""E-mail by SMTP: the only file that knows aiosmtplib. Connections are kept and used again.

Replies are read as RFC 5321 means them: 4xx and every failure before the content is handed over may be tried again;
5xx is final; silence after it is `Uncertain`, because only the server knows.
"""

import asyncio
import re
import ssl
import time
from dataclasses import dataclass
from typing import Final, Literal

import aiosmtplib
from aiosmtplib import SMTP

from cartwake.errors import MailUnavailable
from reminders.outbox import Mail
from reminders.outcomes import Failed, Sent, Uncertain

_ENHANCED: Final = re.compile(r"\b5\.(\d{1,3})\.(\d{1,3})\b")
_DOT: Final = re.compile(rb"(?m)^\.")
_NO_MAILBOX: Final = frozenset({550, 551, 553})
#: Wrong order, log-in missing or wrong: to be put right in the settings; the mails wait for it.
_OUR_FAULT: Final = frozenset({500, 502, 503, 530, 534, 535, 538})
_IDLE: Final = 20.0  # seconds a connection may rest; relays close them after some minutes
_BACK_OFF: Final = 4.0  # seconds to leave a relay alone that closed the door
_ANSWERED: Final = 300.0  # seconds to wait after the final dot; RFC 5321 asks for patience here


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail server to hand mails to. `none` is for loopback only."""

    host: str
    port: int
    user: str = ""
    password: str = ""
    tls: Literal["starttls", "tls", "none"] = "starttls"


class EmailChannel:
    """A relay, and at most `connections` connections to it."""

    def __init__(self, relay: Relay, *, connections: int = 4, timeout: float = 15.0, answer: float = _ANSWERED) -> None:
        self._relay = relay
        self._timeout = timeout
        self._answer = answer
        self._slots = asyncio.Semaphore(connections)
        self._resting: list[tuple[SMTP, float]] = []
        self._away: tuple[float, str] = (0.0, "")

    async def send(self, mail: Mail) -> Sent | Failed | Uncertain:
        """Hand the mail over once. Raises MailUnavailable when it certainly did not leave and may later."""
        async with self._slots:
            until, words = self._away
            if time.monotonic() < until:  # the others need not wait for the same silence
                raise MailUnavailable(words)
            client = await self._connected()
            try:
                result = await self._talk(client, mail)
            except BaseException:
                client.close()
                raise
            if isinstance(result, Uncertain) or not client.is_connected:
                client.close()
            else:
                self._resting.append((client, time.monotonic()))
            return result

    async def close(self) -> None:
        """Say good-bye to the relay."""
        while self._resting:
            client, _ = self._resting.pop()
            try:
                await client.quit(timeout=2)
            except (aiosmtplib.SMTPException, OSError):
                client.close()

    # -- one mail ------------------------------------------------------------------------------------------------
    async def _talk(self, client: SMTP, mail: Mail) -> Sent | Failed | Uncertain:
        for step, command in (
            ("sender", b"MAIL FROM:<" + mail.sender.encode("ascii") + b">"),
            ("recipient", b"RCPT TO:<" + mail.recipient.encode("ascii") + b">"),
            ("content", b"DATA"),
        ):
            code, words = await self._command(client, command)
            if 500 <= code < 600 and code not in _OUR_FAULT:
                await self._reset(client)
                return _refused(step, code, words)
            if code not in (250, 251, 252, 354):
                client.close()
                raise self._unavailable(f"the mail server answered {code} {words}", away=code == 421)
        return await self._hand_over(client, mail)

    async def _hand_over(self, client: SMTP, mail: Mail) -> Sent | Failed | Uncertain:
        content = _DOT.sub(b"..", mail.wire)
        if not content.endswith(b"\r\n"):
            content += b"\r\n"
        protocol = client.protocol
        if protocol is None:
            raise MailUnavailable("the mail server closed the connection before the mail was handed over")
        try:
            protocol.write(content + b".\r\n")
            code, text = await protocol.read_response(timeout=self._answer)
        except (aiosmtplib.SMTPException, OSError):
            return Uncertain(mail.message_id)
        words = _one_line(text)
        if code == 250:
            return Sent(words or "250")
        if 500 <= code < 600:
            return _refused("content", code, words)
        if 400 <= code < 500:
            client.close()
            raise self._unavailable(f"the mail server answered {code} {words}", away=code == 421)
        return Uncertain(mail.message_id)

    # -- connections ---------------------------------------------------------------------------------------------
    async def _connected(self) -> SMTP:
        while self._resting:
            client, since = self._resting.pop()
            if client.is_connected and time.monotonic() - since < _IDLE:
                try:
                    await client.rset(timeout=self._timeout)  # a relay that went away says so here, not at DATA
                except (aiosmtplib.SMTPException, OSError):
                    client.close()
                    continue
                return client
            client.close()
        relay = self._relay
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.user or None,
            password=relay.password or None,
            use_tls=relay.tls == "tls",
            start_tls=relay.tls == "starttls",
            tls_context=ssl.create_default_context() if relay.tls != "none" else None,
            timeout=self._timeout,
            local_hostname="localhost" if relay.tls == "none" else None,  # else asked of DNS
        )
        try:
            await client.connect()
            if client.last_ehlo_response is None:
                await client.ehlo()
        except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
            client.close()
            words = f"the mail server {relay.host}:{relay.port} can't be used: {exc}"
            raise self._unavailable(words, away=True) from exc
        return client

    def _unavailable(self, words: str, *, away: bool) -> MailUnavailable:
        if away:
            self._away = (time.monotonic() + _BACK_OFF, words)
        return MailUnavailable(words)

    async def _command(self, client: SMTP, command: bytes) -> tuple[int, str]:
        try:
            code, text = await client.execute_command(command, timeout=self._timeout)
        except (aiosmtplib.SMTPException, OSError) as exc:
            raise MailUnavailable(f"the mail server broke off: {exc}") from exc
        return code, _one_line(text)

    async def _reset(self, client: SMTP) -> None:
        try:
            await client.rset(timeout=self._timeout)
        except (aiosmtplib.SMTPException, OSError):
            client.close()


def _refused(step: str, code: int, words: str) -> Failed:
    answer = f"{code} {words}"
    if step == "recipient":
        enhanced = _ENHANCED.search(words)
        gone = enhanced[1] == "1" if enhanced else code in _NO_MAILBOX
        return Failed(
            "bounced" if gone else "refused", f"The mail server refused the recipient: {answer}", bounced=gone
        )
    return Failed("refused", f"The mail server refused the {step}: {answer}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
