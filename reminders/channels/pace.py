"""How fast mails may follow one another, and how many may be on their way to one recipient host."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

_MOST: Final = 10_000  # hosts remembered


@dataclass(slots=True)
class Pace:
    """At most `rate` a second, evenly; 0 is without limit."""

    rate: float
    next_at: float = 0.0

    def turn(self, now: float) -> float:
        """How many seconds to wait for the turn that is taken with this."""
        if not self.rate:
            return 0.0
        at = max(now, self.next_at)
        self.next_at = at + 1 / self.rate
        return at - now


@dataclass(slots=True)
class _Host:
    pace: Pace
    slots: asyncio.Semaphore
    here: int = 0  # on their way or in line


class Hosts:
    """Recipient hosts: at most `connections` mails on their way to each, `rate` a second; 0 is without limit."""

    def __init__(self, connections: int, rate: float) -> None:
        self._connections = connections
        self._rate = rate
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """The turn of a mail to the host `name`, until it is done."""
        if not (self._connections or self._rate):
            yield
            return
        if len(self._hosts) >= _MOST:
            now = time.monotonic()
            self._hosts = {n: host for n, host in self._hosts.items() if host.here or host.pace.next_at > now}
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(Pace(self._rate), asyncio.Semaphore(self._connections or _MOST))
        host.here += 1
        try:
            async with host.slots:
                await asyncio.sleep(host.pace.turn(time.monotonic()))
                yield
        finally:
            host.here -= 1
