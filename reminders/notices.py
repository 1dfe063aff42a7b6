"""Order notices in stage 3: who may be written to, and which notice was let through before. Pure.

in   subscriber-events: subscriber.notice_requested, subscriber.notice_failed
out  messages: message.notice_sending, message.notice_suppressed, message.notice_failed

A notice is about an order that was placed. Nobody subscribes to it, so it needs no consent, and unsubscribing from
reminders does not stop it, nor do quiet hours and caps; an erasure, a complaint and a dead address do. With its files
a mail is larger than a record may be. So `cartwake notice` sends it itself, once it reads here that it may.
"""

from typing import Any, Final

from msgspec.structs import replace

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.errors import InvalidEvent
from cartwake.model import Message, SubscriberEvent, derived_id, encode
from reminders.gates import SILENCED, dead
from reminders.person import Key, Out, Person

MOST_NOTICES: Final = 60
REQUESTED: Final = "subscriber.notice_requested"
FAILED: Final = "subscriber.notice_failed"
#: The `reason` of a request for a notice that may have been sent before.
AGAIN: Final = "again"


def notice_id(key: Key, order_id: str, subject: str) -> str:
    """The notice with this subject about this order to this person, however often it is asked for."""
    return derived_id("notice", *key, order_id, subject)


def hear(person: Person, key: Key, event: SubscriberEvent, *, now: int) -> Person:
    """The person with the answer to a request; a notice that certainly did not leave may be asked for again."""
    if event.type not in (REQUESTED, FAILED):
        return person
    order_id, subject, request_id = event.order_id, event.message, event.request_id
    if order_id is None or subject is None or request_id is None:
        raise InvalidEvent(f"{event.type} needs order_id, message (the subject) and request_id")

    def answered(person: Person, what: str, **details: Any) -> Person:
        message = said(key, order_id, subject, request_id, what, now=now, **details)
        return replace(person, outbox=(*person.outbox, Out(topics.MESSAGES.name, key[1], encode(message))))

    notice = notice_id(key, order_id, subject)
    known = tuple(x for x in person.notices if x != notice)
    if event.type == FAILED:
        words = event.reason or "It was not sent."
        return answered(replace(person, notices=known), "failed", reason="not_sent", words=words)
    if (reason := dead(person, "email")) is not None:
        return answered(person, "suppressed", reason=reason, words=SILENCED[reason])
    if notice in person.notices and event.reason != AGAIN:
        words = (
            "This notice about the order was let through before, so it was sent or may have been. "
            "`cartwake notice --again` sends it once more."
        )
        return answered(person, "suppressed", reason="repeated", words=words)
    words = f"Asked for by {event.requested_by or 'somebody of the shop'}."
    person = replace(person, notices=(*known, notice)[-MOST_NOTICES:])
    return answered(person, "sending", words=words)


def said(key: Key, order_id: str, subject: str, request_id: str, what: str, /, *, now: int, **details: Any) -> Message:
    """The record that says what became of a request: `what` is sending, suppressed, sent, failed or uncertain."""
    kind: Any = f"message.notice_{what}"
    return Message(
        message_id=derived_id(request_id, kind),
        type=kind,
        plan_id=notice_id(key, order_id, subject),
        shop_id=key[0],
        subscriber_id=key[1],
        occurred_at=rfc3339(now),
        order_id=order_id,
        request_id=request_id,
        template="notice",
        **details,
    )
