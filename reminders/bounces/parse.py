"""What one mail that came back means. Pure; any bytes get an answer.

Delivery reports (RFC 3464) and complaints (RFC 5965) say it in fields; older servers say it in words, of which the
codes are read. Who is meant is never taken from here: `addresses` are only the places a VERP token may stand in.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from reminders.bounces.mail import Fields, Part, fields_of, get, read
from reminders.bounces.status import judge
from reminders.clean import line

#: `opt-out`: the person asks for no more mail. `auth-failure`: a report to the domain's owner, nobody complained.
Kind = Literal["hard", "soft", "complaint", "opt-out", "auth-failure", "auto-reply", "none"]
MOST_WORDS: Final = 300
MOST_ADDRESSES: Final = 60
MOST_RECIPIENTS: Final = 100

_REPORTS: Final = ("message/delivery-status", "message/global-delivery-status")
_RETURNED: Final = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
#: Written by the server that delivered, the envelope's recipient in each.
_DELIVERED: Final = ("x-original-to", "delivered-to", "envelope-to", "x-envelope-to", "x-delivered-to")
_DAEMON: Final = re.compile(r"mailer-daemon|postmaster@|mail delivery (?:sub)?system", re.IGNORECASE)
_FAILED: Final = re.compile(
    r"undeliver|delivery (?:has )?fail|failure notice|returned mail|mail delivery failed|delivery status notification"
    r"|could not be delivered|(?:unable|wasn't able) to deliver",
    re.IGNORECASE,
)
_DELAYED: Final = re.compile(
    r"\bdelay|warning:|will (?:be )?(?:re-?tr|continue|keep trying)|still being tried|do not need to resend",
    re.IGNORECASE,
)
_AUTOMATIC: Final = re.compile(
    r"\s*(?:automatic reply|auto(?:matic)?[- ]?(?:reply|response)|out of (?:the )?office|abwesenheit"
    r"|réponse automatique)",
    re.IGNORECASE,
)
#: Where the copy of the mail begins that a report in words returns.
_COPY: Final = re.compile(
    r"^(?:[ \t]{0,9}-{2,40}.{0,60}(?:copy of|original message|below this line).*|[ \t]{0,9}below is a copy.*"
    r"|[ \t]{0,9}original message headers.*|(?:received|return-path|dkim-signature):.*)$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a mail means, the code it rests on (`5.1.1`, or empty), and why in words on one line."""

    kind: Kind
    words: str
    status: str = ""


def classify(mail: Part | bytes) -> Verdict:
    """What the mail means. Never raises."""
    mail = read(mail) if isinstance(mail, bytes) else mail
    return (
        _complaint(mail)
        or _delivery(mail)
        or _told_in_words(mail)
        or _automatic(mail)
        or Verdict("none", "neither a report nor an automatic answer")
    )


def addresses(mail: Part, kind: Kind) -> tuple[str, ...]:
    """Texts in which our envelope sender may stand, the most telling first.

    A report is sent to the envelope sender, so it stands in the recipient the delivering server noted, and in To. A
    complaint goes to an address of its own: there it stands in what the returned mail says of its sender.
    """
    found = [value for name in _DELIVERED for value in mail.all(name)]
    found += [*mail.all("to"), *mail.all("x-apparently-to")]
    if kind in ("complaint", "opt-out"):
        for part in mail.of_kind("message/feedback-report"):
            found += [value for group in _groups(part.text) for name, value in group if name == "original-mail-from"]
        for part in mail.of_kind(*_RETURNED):
            found += [value for name, value in _head_of(part) if name == "return-path"]
    return tuple(found[:MOST_ADDRESSES])


def feedback(kind: str) -> Kind:
    """What a feedback type means (RFC 5965, 6591); one that is not known is a complaint of some kind."""
    match kind.strip().lower():
        case "auth-failure" | "dkim":
            return "auth-failure"
        case "not-spam" | "virus":  # praise; a machine's finding
            return "none"
        case "opt-out" | "opt-out-list":
            return "opt-out"
        case _:
            return "complaint"


# -- complaints ----------------------------------------------------------------------------------------------------
def _complaint(mail: Part) -> Verdict | None:
    for part in mail.of_kind("message/feedback-report"):
        stated = next((value for group in _groups(part.text) if (value := get(group, "feedback-type"))), "")
        return Verdict(feedback(stated), f"feedback report: {line(stated, 40) or 'without a type'}")
    if mail.get("subject").lower().startswith("complaint about message from"):
        for part in mail.of_kind("message/rfc822"):
            if get(_head_of(part), "x-hmxmroriginalrecipient"):
                return Verdict("complaint", "feedback report of Outlook.com")
    if mail.get("x-apple-unsubscribe").lower() == "true":
        return Verdict("opt-out", "unsubscribed in Apple Mail")
    return None


# -- delivery reports ----------------------------------------------------------------------------------------------
def _delivery(mail: Part) -> Verdict | None:
    """Dead only when every recipient the report names is: an address may stand for several people."""
    text = "\n\n".join(part.text for part in mail.of_kind(*_REPORTS))
    if not text and mail.kind == "multipart/report" and mail.parameter("report-type") == "delivery-status":
        text = mail.text  # its parts can't be told apart, its fields can
    groups = [group for group in _groups(text) if get(group, "action") or get(group, "status")][:MOST_RECIPIENTS]
    if not groups:
        return None
    notice = _notice(mail) if len(groups) == 1 else ""
    verdicts = [_recipient(group, notice) for group in groups]
    order = ("soft", "none", "hard") if any(x.kind == "soft" for x in verdicts) else ("none", "hard")
    found = next(verdict for kind in order for verdict in verdicts if verdict.kind == kind)
    if found.kind == "none" and any(x.kind == "hard" for x in verdicts):
        return Verdict("soft", "some recipients behind the address took it, some do not exist")
    return found


def _recipient(group: Fields, notice: str) -> Verdict:
    action = get(group, "action").partition(" ")[0].lower()
    status, answer = get(group, "status"), get(group, "diagnostic-code").partition(";")[2]
    if action in ("delivered", "relayed", "expanded", "deliverable", "delayed"):
        return Verdict("none", f"delivery report: {action}")
    found = judge(status=status, answer=answer, notice=notice)
    return Verdict(found.kind, line(answer or status, MOST_WORDS) or "without a reason", found.code)


# -- reports in words ----------------------------------------------------------------------------------------------
def _told_in_words(mail: Part) -> Verdict | None:
    sender, subject = mail.get("from"), mail.get("subject")
    failed = mail.get("x-failed-recipients")
    by_daemon = _DAEMON.search(sender) or any("invoked for bounce" in value for value in mail.all("received"))
    text = _notice(mail)
    if not failed and not (by_daemon and _FAILED.search(subject + "\n" + text[:2_000])):
        return None
    found = judge(answer=text)
    if _DELAYED.search(subject) or (not found.code.startswith("5") and not failed and _DELAYED.search(text[:2_000])):
        return Verdict("none", "still being tried")
    return Verdict("soft" if found.kind == "none" else found.kind, line(_reason(text), MOST_WORDS), found.code)


def _notice(mail: Part) -> str:
    """What the report tells people, without the mail it returns."""
    if not mail.parts:
        text = mail.text
    else:
        first = mail.parts[0]
        inner = next(first.of_kind("text/plain"), first)
        text = inner.text if inner.kind.startswith("text/") else ""
    copy = _COPY.search(text)
    return text[: copy.start()] if copy else text


def _reason(text: str) -> str:
    """The part of the text from the answer on, else all of it."""
    plain = " ".join(text.split())
    found = re.search(r"(?<![\w.])[45]\d\d[ -]", plain)
    return plain[found.start() :] if found else plain


# -- answers of machines -------------------------------------------------------------------------------------------
def _automatic(mail: Part) -> Verdict | None:
    submitted = mail.get("auto-submitted").lower()
    automatic = (
        submitted.startswith("auto-")
        or mail.get("x-autoreply")
        or mail.get("x-autorespond")
        or mail.get("x-auto-response-suppress")
        or mail.get("precedence").lower() == "auto_reply"
        or mail.parameter("report-type") == "disposition-notification"
        or _AUTOMATIC.match(mail.get("subject"))
    )
    return Verdict("auto-reply", "an automatic answer") if automatic else None


def _head_of(part: Part) -> Fields:
    """The header of a returned mail, whole or header alone."""
    return part.parts[0].fields if part.parts else fields_of(part.text.lstrip("\n").partition("\n\n")[0])


def _groups(text: str) -> list[Fields]:
    """The groups of fields of a report, at most as many as recipients are looked at and a few more."""
    return [fields_of(block) for block in text.split("\n\n", MOST_RECIPIENTS + 20) if block.strip()]
