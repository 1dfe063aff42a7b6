"""What a mail that came back says on the topics. Pure, but for `write`.

out  subscriber-events, subscriber_id: subscriber.bounced (reason `hard: …` or `soft: …`), .complained, .withdrawn
out  messages, subscriber_id: message.bounced (reason `hard` or `soft`), message.complained

Ids follow from the plan and the kind, so a mail that is read again, a report that comes by two ways and a server that
reports for ever say it once: one mail counts at most once as a soft bounce.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Protocol

from cartwake.clock import rfc3339, to_datetime, to_ms
from cartwake.errors import KafkaUnavailable
from cartwake.model import Message, SubscriberEvent, derived_id, encode
from cartwake.topics import MESSAGES, SUBSCRIBER_EVENTS, Topic
from reminders.bounces.parse import Verdict
from reminders.bounces.verp import Named

#: How far back a report may say that it was written; an older or later one counts from now.
OLDEST_MS: Final = timedelta(days=30) // timedelta(milliseconds=1)
EFFECTS: Final = frozenset({"hard", "soft", "complaint", "opt-out"})


class Record(NamedTuple):
    """A record to write."""

    topic: Topic
    key: str
    value: bytes


class Records(Protocol):
    """Queues records and says of each, from `send` or `poll` in any thread, whether the broker has it."""

    def send(
        self,
        topic: Topic,
        key: str | bytes | None,
        value: bytes | None,
        *,
        on_delivery: Callable[[str | None], None] | None = None,
    ) -> None: ...

    def poll(self, timeout: float = 0) -> None: ...


def records(verdict: Verdict, named: Named, *, at: int) -> tuple[Record, ...]:
    """What to write, what silences first; nothing for a verdict without effect. `at` is epoch milliseconds."""
    match verdict.kind:
        case "hard" | "soft":
            # of a recipient refused in the conversation stage 3 says the same, with the same id
            part = () if verdict.kind == "hard" else ("soft",)
            code = f"{verdict.status} " if verdict.status and verdict.status not in verdict.words else ""
            return (
                _event(named, "bounced", at, f"{verdict.kind}: {code}{verdict.words}", *part, channels=("email",)),
                _message(named, "bounced", at, verdict, *part),
            )
        case "complaint":
            return (
                _event(named, "complained", at, verdict.words),
                _message(named, "complained", at, verdict),
            )
        case "opt-out":
            return (_event(named, "withdrawn", at, verdict.words),)
        case _:
            return ()


def written_at(date: str, now: int) -> int:
    """Epoch milliseconds of a Date field, or `now` where it can't be right: a report names its own time."""
    try:
        at = to_ms(parsedate_to_datetime(date[:100]).astimezone())
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return now
    return plausible(at, now)


def plausible(at: int, now: int) -> int:
    """`at` if it lies within the last 30 days, else `now`."""
    return at if now - OLDEST_MS <= at <= now else now


def write(publisher: Records, wanted: Sequence[Record], *, timeout: float = 10.0) -> None:
    """Return when the broker has all of `wanted`; raises KafkaUnavailable. Repeating it is safe."""
    answers: list[str | None] = []
    for record in wanted:
        publisher.send(record.topic, record.key, record.value, on_delivery=answers.append)
    until = time.monotonic() + timeout
    while len(answers) < len(wanted) and time.monotonic() < until:
        publisher.poll(0.02)
    problem = next((answer for answer in answers if answer is not None), None)
    if problem is not None or len(answers) < len(wanted):
        raise KafkaUnavailable(f"Kafka did not take every record: {problem or f'no answer within {timeout:g} s'}")


def _event(
    named: Named, what: str, at: int, reason: str, *part: str, channels: tuple[str, ...] | None = None
) -> Record:
    event = SubscriberEvent(
        event_id=derived_id(named.plan_id, what, *part),
        type=f"subscriber.{what}",
        shop_id=named.key[0],
        subscriber_id=named.key[1],
        occurred_at=to_datetime(at),
        reason=reason[:500],
        channels=channels,  # type: ignore[arg-type]  # ("email",) or None
    )
    return Record(SUBSCRIBER_EVENTS, named.key[1], encode(event))


def _message(named: Named, what: str, at: int, verdict: Verdict, *part: str) -> Record:
    message = Message(
        message_id=derived_id(named.plan_id, f"message.{what}", *part),
        type="message.bounced" if what == "bounced" else "message.complained",
        plan_id=named.plan_id,
        shop_id=named.key[0],
        subscriber_id=named.key[1],
        occurred_at=rfc3339(at),
        reason=verdict.kind if what == "bounced" else None,
        words=verdict.words,
    )
    return Record(MESSAGES, named.key[1], encode(message))
