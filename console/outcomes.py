"""What became of reminders that staff asked for, in words; a refusal is an error."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import anyio
from starlette.concurrency import run_in_threadpool

from console import words
from console.reader import CartReader

POLL: Final = 0.25  # seconds between two looks
_PENDING: Final = frozenset({None, "planned", "held", "sending"})
_SENT: Final = frozenset({"sent", "opened", "clicked"})

Outcome = tuple[str, str]  # status, words


@dataclass(frozen=True, slots=True)
class Notice:
    """What became of a reminder that was just asked for. `kind` is sent, waiting, perhaps, refused or unasked."""

    kind: str
    title: str
    words: str
    reload: str = ""

    @property
    def tone(self) -> str:
        """How it looks: good, busy or bad."""
        return {"sent": "good", "waiting": "busy"}.get(self.kind, "bad")


async def outcomes(reader: CartReader, requests: Collection[str], patience: timedelta) -> dict[str, Outcome]:
    """The outcomes that are there once all are final, or once patience ends."""
    found: dict[str, Outcome] = {}
    waiting = list(requests)
    with anyio.move_on_after(patience.total_seconds()):
        while waiting:
            found |= await run_in_threadpool(reader.request_results, waiting)
            waiting = [one for one in waiting if is_pending(found.get(one))]
            if waiting:
                await anyio.sleep(POLL)
    return found


def is_pending(outcome: Outcome | None) -> bool:
    """Whether there is more to come."""
    return (outcome[0] if outcome else None) in _PENDING


def notice_of(outcome: Outcome | None, *, reload: str = "") -> Notice:
    """The outcome of a request in words."""
    if outcome is None or is_pending(outcome):
        return Notice("waiting", "Still working", "The reminder was asked for; its outcome is not here yet.", reload)
    told = words.explained(*outcome)
    if outcome[0] in _SENT:
        return Notice("sent", "Reminder sent", told)
    if outcome[0] == "uncertain":
        return Notice("perhaps", "Perhaps sent", told)
    return refused(told)


def refused(told: str) -> Notice:
    """Nobody was written to, and why."""
    return Notice("refused", "No reminder was sent", told)


def too_long(problem: object) -> Notice:
    """Own words that do not fit."""
    return refused(f"Your own words do not fit: {problem}.")


#: Said where a reminder could not be asked for at all.
UNASKED: Final = Notice(
    "unasked", "Not sent", "The reminder was not asked for, because Kafka does not answer. Please try again."
)
