"""A mail server that misbehaves as told, and what becomes of mails at it: `python -m tests.reminders.bad_smtp --help`.

A fault happens to a mail by its number, which stands in both addresses of its envelope, or to the next connection. The
server counts what it has taken: a mail whose final dot it has read and not refused, whether it could say so or not.
"""

import argparse
import asyncio
import json
import random
import ssl
import sys
import time
from collections import Counter, defaultdict, deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from reminders.channels.email import EmailChannel, Limits, never
from reminders.channels.relays import Relay
from reminders.mime import build
from reminders.outbox import Mail, deliver
from reminders.outcomes import Failed, Later, Result, Sent, Uncertain

STEPS: Final = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")
USUAL: Final = {
    "greeting": "220 mail.example.com ESMTP", "EHLO": "250-mail.example.com\r\n250-PIPELINING\r\n250 8BITMIME",
    "MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok", "DATA": "354 go on", "dot": "250 2.0.0 taken",
    "RSET": "250 2.0.0 ok",
}  # fmt: skip


class HangUp(Exception):
    """The server has ended the connection."""


@dataclass(frozen=True)
class Fault:
    """What happens at a step; without a `reply` what is usual is said. `then_drop`: the connection ends after that."""

    step: str
    what: str  # refused, say, silence, drop, slow, junk, long, endless, twice, deaf
    reply: str = ""
    then_drop: bool = False

    def __str__(self) -> str:
        said = f"{self.reply or self.what}{', then dropped' if self.then_drop else ''}"
        return f"{said} at {self.step}"

    @property
    def at_the_door(self) -> bool:
        """Whether it happens to a connection, before it is known for which mail."""
        return self.step in ("listening", "greeting", "EHLO")

    @property
    def takes(self) -> bool:
        """Whether a server that does this at the final dot has taken the mail."""
        return not self.reply.startswith(("4", "5"))


class BadServer:
    """An SMTP server on loopback. `door` holds faults of connections to come, `faults` those of mails, in order."""

    def __init__(
        self,
        *,
        pipelining: bool = True,
        tls: ssl.SSLContext | None = None,
        wrapped: bool = False,
        starttls: bool = False,
        auth: str = "",
        byte_pause: float = 1.0,
    ) -> None:
        self.door: deque[Fault] = deque()
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.taken: Counter[str] = Counter()  # by number of the mail
        self.contents: dict[str, bytes] = {}
        self.connections = 0
        self.said: list[bytes] = []  # by clients
        self.port = 0
        self._pipelining = pipelining
        self._tls, self._wrapped, self._starttls = tls, wrapped, starttls
        self._auth = auth
        self._byte_pause = byte_pause
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._busy: set[asyncio.Task[Any]] = set()
        self._generation = 0
        self._ended = False

    async def __aenter__(self) -> "BadServer":
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ended = True
        await self.away()

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        context = self._tls if self._wrapped else None
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=context, backlog=500, limit=1 << 20
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def away(self, *, idle_only: bool = False) -> None:
        """Refuse connections, and drop those that are open; `idle_only`: those in a transaction at the end of that."""
        assert self._server is not None
        self._server.close()
        self._generation += 1
        dropped = [task for task in self._open if not (idle_only and task in self._busy)]
        for task in dropped:
            self._open[task].transport.abort()
            task.cancel()
        await asyncio.gather(*dropped, return_exceptions=True)
        await asyncio.sleep(0.01)  # in which connections end

    # -- one connection --------------------------------------------------------------------------------------------
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._ended:  # it was waiting to be accepted
            writer.transport.abort()
            return
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            await self._talk(reader, writer)
        except (HangUp, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            writer.transport.abort()
        else:
            writer.close()
        finally:
            del self._open[task]
            self._busy.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        door = self.door.popleft() if self.door else None
        number, generation = "", self._generation
        task = asyncio.current_task()
        assert task is not None
        await self._answer(writer, "greeting", door)
        while row := await reader.readline():
            self.said.append(row.strip())
            verb = row[:4].upper().strip().decode("ascii", "replace")
            if verb == "EHLO":
                await self._answer(writer, "EHLO", door, usual=self._abilities(writer))
            elif verb == "STAR" and self._starttls:
                writer.write(b"220 go on\r\n")
                assert self._tls is not None
                await writer.start_tls(self._tls)
            elif verb == "AUTH":
                writer.write(self._auth.encode() + b"\r\n")
            elif verb == "MAIL":
                self._busy.add(task)
                number = row.partition(b"<")[2].partition(b"@")[0].decode()
                await self._answer(writer, "MAIL", self._fault(number, "MAIL"))
            elif verb == "RCPT":
                await self._answer(writer, "RCPT", self._fault(number, "RCPT"))
            elif verb == "DATA":
                await self._take(reader, writer, number)
                self._busy.discard(task)
                if generation != self._generation:
                    await writer.drain()
                    writer.close()
                    return
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                raise HangUp
            else:
                await self._answer(writer, "RSET", None)

    def _abilities(self, writer: asyncio.StreamWriter) -> str:
        encrypted = writer.get_extra_info("sslcontext") is not None
        able = ["mail.example.com"]
        able += ["PIPELINING"] * self._pipelining
        able += ["STARTTLS"] * (self._starttls and not encrypted) + ["AUTH PLAIN LOGIN"] * bool(self._auth)
        return "\r\n".join(f"250{'-' if n < len(able) else ' '}{word}" for n, word in enumerate(able, 1))

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: str) -> None:
        fault = self._fault(number, "DATA")
        await self._answer(writer, "DATA", fault)
        if fault is not None and not fault.reply.startswith("354") and fault.what == "say":
            return
        if fault is not None and fault.what == "deaf":
            await asyncio.Event().wait()
        content = await reader.readuntil(b"\r\n.\r\n")
        fault = self._fault(number, "dot")
        if fault is None or fault.takes:
            self.taken[number] += 1
            self.contents[number] = content[:-3]
        await self._answer(writer, "dot", fault)

    def _fault(self, number: str, step: str) -> Fault | None:
        waiting = self.faults.get(number)
        return waiting.popleft() if waiting and waiting[0].step == step else None

    async def _answer(self, writer: asyncio.StreamWriter, step: str, fault: Fault | None, *, usual: str = "") -> None:
        said = (usual or USUAL[step]).encode() + b"\r\n"
        if fault is None or fault.step != step:
            writer.write(said)
            return
        match fault.what:
            case "say":
                writer.write((fault.reply.encode() or said.strip()) + b"\r\n")
            case "deaf":  # reads no content
                writer.write(said)
            case "silence":
                await asyncio.Event().wait()
            case "slow":
                for n in range(len(said)):
                    writer.write(said[n : n + 1])
                    await asyncio.sleep(self._byte_pause)
            case "junk":
                writer.write(b"\0\xff<html>404</html>\r\n" + said)
            case "long":
                writer.write(b"250 " + b"x" * 200_000)
            case "endless":
                writer.write(b"250-and\r\n" * 50_000)
            case "twice":
                writer.write(said + said)
        if fault.then_drop or fault.what == "drop" or fault.reply.startswith("421"):
            if fault.what == "say":
                await writer.drain()
                writer.close()  # what was said arrives
            raise HangUp


# -- mails ---------------------------------------------------------------------------------------------------------
def mail(number: str) -> Mail:
    """A mail with its number in both addresses."""
    sender, recipient, message_id = (
        f"{number}@shop.example.com",
        f"{number}@example.com",
        f"<{number}@shop.example.com>",
    )
    wire = build(
        sender=("Shop", "carts@shop.example.com"), to=recipient, subject="Your cart", text="Hello\n.\n",
        html="<p>Hello", date=datetime(2026, 11, 23, tzinfo=UTC), message_id=message_id,
        unsubscribe_url="https://t.shop.example.com/u/abc",
    )  # fmt: skip
    return Mail(message_id, sender, recipient, "Your cart", "", "", wire)


def channel_to(*servers: BadServer, **limits: Any) -> EmailChannel:
    """A channel that leaves relays alone for moments only."""
    few: dict[str, Any] = {"timeout": 0.5, "answer": 1.0, "first_pause": 0.01, "longest_pause": 0.05}
    relays = [Relay("127.0.0.1", server.port, tls="none") for server in servers]
    return EmailChannel(*relays, limits=Limits(**(few | limits)))


#: The row of the table of faults: each happens to a hundred mails.
FAULTS: Final = (
    *(Fault(step, "say", f"{code} no") for code in (421, 450, 451) for step in ("MAIL", "RCPT", "DATA", "dot")),
    *(Fault(step, "say", f"{code} 5.6.0 no") for code in (550, 552, 554) for step in ("MAIL", "RCPT", "DATA", "dot")),
    Fault("listening", "refused"),
    Fault("greeting", "say", "421 busy"), Fault("greeting", "say", "554 no service"),
    *(Fault(step, "silence") for step in STEPS),
    *(Fault(step, "drop") for step in STEPS),
    *(Fault(step, "say", then_drop=True) for step in STEPS),
    *(Fault(step, "slow") for step in STEPS),
    *(Fault(step, "junk") for step in STEPS),
    *(Fault(step, "long") for step in STEPS),
    *(Fault(step, "endless") for step in STEPS),
    *(Fault(step, "twice") for step in ("MAIL", "RCPT", "DATA")),
)  # fmt: skip


@dataclass
class Tally:
    """What became of mails. `double` and `lost` and `wrong` must be 0."""

    messages: int = 0
    faults: int = 0
    sent: int = 0
    failed: int = 0
    uncertain: int = 0
    double: int = 0  # taken more than once
    lost: int = 0  # said to be sent and not taken
    wrong: list[str] = field(default_factory=list)
    tries: int = 0
    pauses: int = 0
    seconds: float = 0.0


def expected(fault: Fault | None) -> tuple[type[Result], ...]:
    """How a mail may end that a fault has happened to once."""
    if fault is None or fault.at_the_door:
        return (Sent,)
    if fault.what == "say" and fault.reply.startswith("5"):
        return (Failed,)
    if fault.step == "dot" and fault.what not in ("say", "twice"):
        return (Uncertain,)
    if fault.step == "DATA" and fault.then_drop:
        return Sent, Uncertain  # the content may be on its way before the end of the connection is seen
    return (Sent,)


async def run(messages: int, each: int, seed: int, *, connections: int = 16, settle: float = 0.02) -> Tally:
    """Send `messages`, `each` of every fault among them; those put off are sent again, as their plans would be."""
    chance = random.Random(seed)
    plan: list[Fault | None] = [fault for fault in FAULTS for _ in range(each)]
    assert len(plan) <= messages, f"{len(FAULTS)} faults {each} times each are more than {messages} mails"
    plan += [None] * (messages - len(plan))
    chance.shuffle(plan)
    tally = Tally(messages, sum(fault is not None for fault in plan))
    began = time.monotonic()
    async with BadServer() as server:
        channel = channel_to(server, connections=connections, answer=2.0)
        numbers, door = iter(enumerate(plan)), asyncio.Lock()
        ends: dict[str, Result] = {}

        async def work() -> None:
            for n, fault in numbers:
                await _happen(server, fault, str(n), door)
                ends[str(n)] = await _until_it_ends(channel, mail(str(n)), tally, settle)

        await asyncio.gather(*(work() for _ in range(2 * connections)))
        tally.pauses = channel.pauses
        await channel.close()
    for n, fault in enumerate(plan):
        _judge(tally, str(n), fault, ends[str(n)], server.taken[str(n)])
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


async def _happen(server: BadServer, fault: Fault | None, number: str, door: asyncio.Lock) -> None:
    if fault is None:
        return
    if fault.step == "listening":
        async with door:
            await server.away(idle_only=True)
            await server.listen()
    elif fault.at_the_door:
        server.door.append(fault)
    else:
        server.faults[number].append(fault)


async def _until_it_ends(channel: EmailChannel, mail: Mail, tally: Tally, settle: float) -> Result:
    async def soon(_seconds: float) -> None:
        await asyncio.sleep(settle)

    while True:
        tally.tries += 1
        result = await deliver(channel, mail, cancelled=never, sleep=soon)
        if not isinstance(result, Later):
            return result
        await asyncio.sleep(settle)


def _judge(tally: Tally, number: str, fault: Fault | None, end: Result, taken: int) -> None:
    kind = type(end).__name__.lower()
    setattr(tally, kind, getattr(tally, kind) + 1)
    tally.double += taken > 1
    tally.lost += isinstance(end, Sent) and not taken
    if isinstance(end, Failed) and taken:
        tally.wrong.append(f"mail {number}: failed, and was taken")
    if not isinstance(end, expected(fault)):
        tally.wrong.append(f"mail {number}: {fault} ended as {kind}")


def main(argv: list[str] | None = None) -> int:
    """Print what became of them; 0 when nothing was lost, double or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.reminders.bad_smtp", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=100, help=f"mails that each of {len(FAULTS)} faults happens to")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args(argv)
    tally = asyncio.run(run(options.messages, options.each, options.seed))
    sys.stdout.write(json.dumps({"seed": options.seed} | asdict(tally)) + "\n")
    return 0 if not (tally.double or tally.lost or tally.wrong) else 1


if __name__ == "__main__":
    sys.exit(main())
