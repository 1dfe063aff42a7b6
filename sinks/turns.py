"""One migrator at a time: who comes second waits until the first has ended, or has not been heard of for a while.

A turn is a row whose insert carries the turn's number as deduplication token: of several inserts ClickHouse keeps one,
on one server as well as among the replicas of a cluster, and who reads its own name has the turn. Nothing else is
needed: no KeeperMap, no lock file, and a migrator that was killed is followed by the next one.
"""

import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sql
from cartwake.errors import SinkUnavailable
from sinks.clickhouse import ClickHouse
from sinks.statements import fill

log = logging.getLogger(__name__)

#: After so many seconds of silence a migrator counts as gone.
LEASE_S: Final = 20.0
_LOOK_S: Final = 0.2
TABLE: Final = "schema_migrations_log"


@dataclass(frozen=True, slots=True)
class Last:
    """The newest turn, as the server knows it."""

    turn: int
    migrator: str
    version: str
    ended: bool
    file: str
    heard_at: datetime
    silent_s: float


class Turn:
    """The right to migrate, while nobody else has it."""

    def __init__(self, client: ClickHouse, version: str, lease_s: float, *, replicated: bool) -> None:
        self._client = client
        self._replicated = replicated
        self._version = version
        self._lease_s = lease_s
        self._file = ""
        self._heard = 0.0
        self._in_doubt = False
        self._over = threading.Event()
        self.number = 0
        self.me = f"{platform.node() or 'unknown'}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def at(self, file: str) -> None:
        """Say which file is at work; raises SinkUnavailable as `check` does."""
        self.check()
        self._file = file
        self._say("works")

    def check(self) -> None:
        """Raise SinkUnavailable when another migrator has taken over, as after this process was stopped for a while.

        ClickHouse is asked only when this one was silent for so long that another might have.
        """
        self._in_doubt |= self._was_silent()
        if not self._in_doubt:
            return
        found = last(self._client, replicated=self._replicated)
        if found is None or (found.turn, found.migrator) != (self.number, self.me):
            other = found.migrator if found else "nobody"
            raise SinkUnavailable(
                f"this migrator was not heard of for {self._lease_s:g} s and {other} went on; run `cartwake "
                "migrate` again"
            )
        self._in_doubt = False

    def take(self, number: int) -> bool:
        """Whether turn `number` is ours now."""
        self.number = number
        self._say("took", token=f"turn {number}")
        found = last(self._client, replicated=self._replicated)
        return found is not None and (found.turn, found.migrator) == (number, self.me)

    def keep(self) -> None:
        """Let oneself be heard until `end`."""
        while not self._over.wait(self._lease_s / 4):
            try:
                self._say("works")
            except SinkUnavailable as exc:
                log.warning("%s", exc)

    def end(self) -> None:
        """Let the next one in. Without ClickHouse it waits for as long as it takes to count as gone."""
        self._over.set()
        self._file = ""
        try:
            self._say("ended")
        except SinkUnavailable as exc:
            log.warning("the next migrator waits for %g s: %s", self._lease_s, exc)

    def _say(self, what: str, *, token: str = "") -> None:
        row = {
            "turn": self.number, "migrator": self.me, "what": what, "file": self._file, "version": self._version
        }  # fmt: skip
        statement = fill(sql.read("migrate/say.sql"), {"database": self._client.database})
        begun = time.monotonic()
        self._client.insert(statement, json.dumps(row).encode(), token=token or uuid.uuid4().hex)
        self._in_doubt |= what != "took" and self._was_silent()
        self._heard = begun

    def _was_silent(self) -> bool:
        return time.monotonic() - self._heard >= self._lease_s / 2


def last(client: ClickHouse, *, replicated: bool) -> Last | None:
    """The newest turn; None when there was none."""
    if replicated:
        client.command(fill(sql.read("migrate/sync.sql"), {"database": client.database, "table": TABLE}))
    rows = client.query(fill(sql.read("migrate/turn.sql"), {"database": client.database}))
    return Last(**(rows[0] | {"ended": bool(rows[0]["ended"])})) if rows else None


@contextmanager
def turn(
    client: ClickHouse, *, version: str, replicated: bool, stop: threading.Event | None = None, lease_s: float = LEASE_S
) -> Iterator[Turn]:
    """A turn of one's own, waited for while another migrator is heard of; raises SinkUnavailable once `stop` is set."""
    stop = stop or threading.Event()
    mine = Turn(client, version, lease_s, replicated=replicated)
    known = ""
    tried = 0
    while True:
        found = last(client, replicated=replicated)
        if found is None or found.ended or found.silent_s > lease_s:
            # a number whose row never came to be, as when the server died over it, is left out
            tried = max(found.turn if found else 0, tried) + 1
            if mine.take(tried):
                break
            continue
        if known != found.migrator:
            known = found.migrator
            at = f", which is at {found.file}" if found.file else ""
            log.warning("waiting for migrator %s%s", found.migrator, at)
        if stop.wait(_LOOK_S):
            raise SinkUnavailable(f"stopped while {found.migrator} migrates {client.database}")
    voice = threading.Thread(target=mine.keep, name="migrator", daemon=True)
    voice.start()
    try:
        yield mine
    finally:
        mine.end()
        voice.join()
