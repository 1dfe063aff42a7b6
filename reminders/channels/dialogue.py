"""The client's side of an SMTP connection that is open: commands out, replies in, in order (RFC 5321, RFC 2920)."""

import asyncio
import re
from collections import deque
from typing import Final, NamedTuple

from reminders.clean import line

_REPLY: Final = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_LONGEST_LINE: Final = 4_096  # RFC 5321 allows 512
_MOST_LINES: Final = 100  # of one reply
_MOST_REPLIES: Final = 16  # that nobody has waited for


class Broken(Exception):
    """The connection is of no use any more: closed, silent, or out of step."""


class Reply(NamedTuple):
    """A server's answer; `words` is one line."""

    code: int
    words: str

    def __str__(self) -> str:
        return f"{self.code} {self.words}"


class Dialogue(asyncio.Protocol):
    """Speaks over `transport`, which it takes over. `mails` is for the owner to count."""

    def __init__(self, transport: asyncio.Transport, *, pipelining: bool) -> None:
        self.pipelining = pipelining
        self.mails = 0
        self.rested_since = 0.0
        self.unclear = False  # whether a transaction is half open
        self._transport = transport
        self._replies: deque[Reply] = deque()
        self._rest = b""
        self._words: list[bytes] = []
        self._code = b""
        self._broken = ""
        self._waiter: asyncio.Future[None] | None = None
        self._unsent = False
        # so that `pause_writing` says whether anything at all has not left
        transport.set_write_buffer_limits(high=0)
        transport.set_protocol(self)

    # -- what the owner calls --------------------------------------------------------------------------------------
    @property
    def fresh(self) -> bool:
        """Whether a next group may be said: open, and with no reply to nothing."""
        return not (self._broken or self._replies or self._rest or self._words or self._transport.is_closing())

    @property
    def unsent(self) -> bool:
        """Whether the end of what was said last has certainly not left this machine."""
        return self._unsent

    async def ask(self, commands: list[bytes], patience: float) -> list[Reply]:
        """The replies to `commands`, at least up to the first refusal; raises Broken when one before that is missing.

        `patience` is in seconds, for each group of commands.
        """
        if not self.fresh:
            raise Broken(self._broken or "it spoke without being asked")
        replies: list[Reply] = []
        groups = [commands] if self.pipelining else [[command] for command in commands]
        for group in groups:
            self._transport.write(b"".join(command + b"\r\n" for command in group))
            replies += await self._read(len(group), patience)
            if any(reply.code >= 400 for reply in replies):
                return replies
        if not self.fresh:
            raise Broken(self._broken or "it answered more than it was asked")
        return replies

    async def hand_over(self, content: bytes, patience: float) -> Reply:
        """The reply to the mail's content with its final dot; raises Broken."""
        self._transport.write(content)
        replies = await self._read(1, patience)
        if not replies:
            raise Broken(self._broken)
        return replies[0]

    def close(self, *, politely: bool = False) -> None:
        """End the connection; without waiting for an answer to QUIT."""
        if politely and self.fresh:
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        else:
            self._transport.abort()

    async def _read(self, count: int, patience: float) -> list[Reply]:
        """Fewer than `count` only when it is broken."""
        try:
            async with asyncio.timeout(patience):
                while len(self._replies) < count and not self._broken:
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
        except TimeoutError:
            self._fail(f"no answer within {patience:g} s")
        return [self._replies.popleft() for _ in range(min(count, len(self._replies)))]

    # -- what the transport calls ----------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        """Take in replies; those of a server that babbles are not kept."""
        if self._broken:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for row in lines:
            self._take(row.rstrip(b"\r"))
        if len(self._rest) > _LONGEST_LINE:
            self._fail("a line without an end")
        self._wake()

    def eof_received(self) -> None:
        """The server has closed its side; what it said before counts."""
        self._fail("it closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._fail(f"the connection was lost: {exc}" if exc else "it closed the connection")

    def pause_writing(self) -> None:
        """Something has not left."""
        self._unsent = True

    def resume_writing(self) -> None:
        """All has left."""
        self._unsent = False

    def _take(self, row: bytes) -> None:
        found = _REPLY.fullmatch(row)
        if self._broken:
            return
        if found is None or (self._words and found[1] != self._code):
            self._fail(f"no SMTP: {row[:80]!r}")
            return
        self._code = found[1]
        self._words.append(found[3] or b"")
        if len(self._words) > _MOST_LINES or len(self._replies) > _MOST_REPLIES:
            self._fail("it talks without an end")
        elif found[2] != b"-":
            text = b" ".join(self._words).decode("utf-8", "replace")
            self._replies.append(Reply(int(found[1]), text[:300] if text.isprintable() else line(text, 300)))
            self._words = []

    def _fail(self, words: str) -> None:
        self._broken = self._broken or words
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
