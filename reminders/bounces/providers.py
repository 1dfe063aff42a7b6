"""What the events of SES, SendGrid and Postmark mean. Pure; the signature has been verified.

Where an event carries the SMTP answer, the answer decides as in a report by mail: providers call a refusal for our
reputation (5.7.1) a hard bounce, and it is no dead address. Where it says nothing, the provider's word counts.
An event that is not of the documented shape is counted and left out, the others of its batch are not.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from cartwake.clock import to_ms
from cartwake.errors import InvalidEvent
from reminders.bounces.intake import Feedback
from reminders.bounces.parse import MOST_ADDRESSES, MOST_WORDS, Kind, Verdict, feedback
from reminders.bounces.status import judge
from reminders.bounces.verp import ARGUMENT
from reminders.clean import line


def decoded(body: bytes) -> Any:
    """The JSON of a body; raises InvalidEvent."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as exc:
        raise InvalidEvent(f"not JSON: {str(exc)[:200]}") from exc


# -- SES (through SNS) -------------------------------------------------------------------------------------------
class _Recipient(Struct, rename="camel"):
    status: str = ""
    diagnostic_code: str = ""
    action: str = ""


class _Bounce(Struct, rename="camel"):
    bounce_type: str = ""
    bounce_sub_type: str = ""
    bounced_recipients: list[_Recipient] = []
    timestamp: str = ""


class _Complaint(Struct, rename="camel"):
    complaint_feedback_type: str | None = None
    timestamp: str = ""


class _SesMail(Struct, rename="camel"):
    source: str = ""
    tags: dict[str, list[str]] = {}


class _Ses(Struct, rename="camel"):
    mail: _SesMail
    notification_type: str = ""
    event_type: str = ""
    bounce: _Bounce | None = None
    complaint: _Complaint | None = None


def ses(message: Any) -> list[Feedback]:
    """The notification that SNS delivers in `Message`; raises InvalidEvent. The token is in the envelope's sender."""
    event = _converted(message, _Ses)
    places = (event.mail.source, *event.mail.tags.get(ARGUMENT, ()))[:MOST_ADDRESSES]
    if event.bounce is not None:
        return [Feedback(_ses_bounce(event.bounce), places, _rfc3339(event.bounce.timestamp))]
    if event.complaint is not None:
        kind = event.complaint.complaint_feedback_type or "abuse"
        verdict = Verdict(feedback(kind), f"SES: feedback report: {line(kind, 40)}")
        return [Feedback(verdict, places, _rfc3339(event.complaint.timestamp))]
    return [Feedback(Verdict("none", f"SES: {line(event.notification_type or event.event_type, 40)}"), places, 0)]


def _ses_bounce(bounce: _Bounce) -> Verdict:
    label = line(f"SES: {bounce.bounce_type} {bounce.bounce_sub_type}", 100)
    if bounce.bounce_type != "Permanent":
        return Verdict("soft", label)  # passing, or a machine's answer that SES did not understand
    if bounce.bounce_sub_type == "UnsubscribedRecipient":
        return Verdict("opt-out", label)
    listed = bounce.bounce_sub_type in ("Suppressed", "OnAccountSuppressionList")
    return Verdict("hard", label) if listed else _judged(label, *_first(bounce), unclear="hard")


def _first(bounce: _Bounce) -> tuple[str, str]:
    """Of the recipient who is least certainly dead: our mails have one, an event may name several."""
    told = [(x.status, x.diagnostic_code) for x in bounce.bounced_recipients[:MOST_ADDRESSES]]
    return next((x for x in told if judge(status=x[0], answer=x[1]).kind != "hard"), told[0] if told else ("", ""))


# -- SendGrid ----------------------------------------------------------------------------------------------------
class _SendGrid(Struct):
    event: str
    timestamp: int = 0
    type: str = ""
    status: str = ""
    reason: str = ""
    bounce_classification: str = ""
    cartwake: str = ""  # the argument of ours that it hands back


def sendgrid(events: Any) -> tuple[list[Feedback], int]:
    """(what the events mean, how many were of no known shape); raises InvalidEvent when it is no array of events.

    The token is in the unique argument that `verp.provider_header` sends along.
    """
    if not isinstance(events, list):
        raise InvalidEvent("an array of events is expected")
    good: list[Feedback] = []
    for each in events:
        try:
            event = _converted(each, _SendGrid)
        except InvalidEvent:
            continue
        good.append(Feedback(_sendgrid_verdict(event), (event.cartwake,), event.timestamp * 1000))
    return good, len(events) - len(good)


def _sendgrid_verdict(event: _SendGrid) -> Verdict:
    label = line(f"SendGrid: {event.event} {event.type}", 60)
    match event.event:
        case "bounce":
            if event.type == "blocked":
                return Verdict("soft", line(f"{label}: {event.reason}", MOST_WORDS))
            unclear: Kind = "hard" if event.bounce_classification == "Invalid Address" else "soft"
            return _judged(label, event.status, event.reason, unclear=unclear)
        case "dropped":  # its own list holds the mail back
            kinds: dict[str, Kind] = {
                "bounced address": "hard", "invalid": "hard", "spam reporting address": "complaint",
                "unsubscribed address": "opt-out",
            }  # fmt: skip
            return Verdict(
                kinds.get(event.reason.strip().lower(), "none"), line(f"{label}: {event.reason}", MOST_WORDS)
            )
        case "spamreport":
            return Verdict("complaint", label)
        case "unsubscribe" | "group_unsubscribe":
            return Verdict("opt-out", label)
        case _:
            return Verdict("none", label)


# -- Postmark ----------------------------------------------------------------------------------------------------
class _Postmark(Struct, rename="pascal"):
    record_type: str
    type: str = ""
    details: str | None = None
    metadata: dict[str, str] | None = None
    bounced_at: str | None = None
    changed_at: str | None = None
    suppress_sending: bool = False
    suppression_reason: str | None = None


def postmark(message: Any) -> list[Feedback]:
    """One event; raises InvalidEvent. The token is in the metadata that `verp.provider_header` sends along."""
    event = _converted(message, _Postmark)
    names = {name.lower(): value for name, value in (event.metadata or {}).items()}
    place = names.get(ARGUMENT, "")
    return [Feedback(_postmark_verdict(event), (place,), _rfc3339(event.bounced_at or event.changed_at or ""))]


_POSTMARK: dict[str, Kind] = {
    "SpamComplaint": "complaint", "Unsubscribe": "opt-out",
    "AutoResponder": "auto-reply", "ChallengeVerification": "auto-reply",
    # nothing of the recipient's
    "AddressChange": "none", "Subscribe": "none", "OpenRelayTest": "none", "ManuallyDeactivated": "none",
    "SMTPApiError": "none", "InboundError": "none", "TemplateRenderingFailed": "none",
}  # fmt: skip


def _postmark_verdict(event: _Postmark) -> Verdict:
    label = line(f"Postmark: {event.record_type} {event.type}", 100)
    match event.record_type:
        case "SpamComplaint":
            return Verdict("complaint", label)
        case "Bounce" if event.type in ("HardBounce", "BadEmailAddress"):
            return _judged(label, "", event.details or "", unclear="hard")
        case "Bounce":
            words = line(f"{label}: {event.details}" if event.details else label, MOST_WORDS)
            return Verdict(_POSTMARK.get(event.type, "soft"), words)
        case "SubscriptionChange" if event.suppress_sending and event.suppression_reason == "ManualSuppression":
            return Verdict("opt-out", label)
    return Verdict("none", label)


# -- all ---------------------------------------------------------------------------------------------------------
def _judged(label: str, status: str, answer: str, *, unclear: Kind) -> Verdict:
    """What the SMTP answer says, or `unclear` where neither its codes nor its words say anything in particular."""
    found = judge(status=status, answer=answer)
    told = answer or status
    kind = found.kind if found.particular or found.kind == "hard" else unclear
    return Verdict(
        "soft" if kind == "none" else kind, line(f"{label}: {told}" if told else label, MOST_WORDS), found.code
    )


def _converted(value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError) as exc:
        raise InvalidEvent(str(exc)[:200]) from exc


def _rfc3339(text: str) -> int:
    """Epoch milliseconds, or 0 where it is no time: then the event counts from when it came."""
    try:
        return to_ms(datetime.fromisoformat(text[:40]))
    except (ValueError, OverflowError, TypeError):
        return 0
