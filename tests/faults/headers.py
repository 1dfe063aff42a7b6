"""Hostile names, subjects and addresses become mails; the `email` package of the standard library says what they are.

A chunk has a seed of its own and can be run again: `python -m tests.faults.headers SEED CHUNK [CHUNK…]`. Each letter
ends as a mail with exactly our headers that says what was meant, or is held with a reason.
"""

import email
import json
import random
import re
import sys
import time
import traceback
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import default
from html.parser import HTMLParser
from typing import Any, Final

from reminders.bounces.verp import Secret, make_token, provider_header, sender
from reminders.links import Links
from reminders.outbox import Mail
from reminders.reader import Unfit
from reminders.render import Renderer
from tests.faults import result
from tests.faults.hostile import Case, case
from tests.faults.result import Ground, Result
from tests.faults.shares import spread

CHUNK: Final = 500
MOST_WRONG: Final = 5  # lines of a report, of each chunk
_BASE: Final = "https://t.shop.example.com"
_NAMES: Final = (
    "auto-submitted", "content-type", "date", "from", "list-unsubscribe", "list-unsubscribe-post", "message-id",
    "mime-version", "subject", "to",
)  # fmt: skip
_LINK: Final = re.compile(rb"<https://t\.shop\.example\.com/u/[A-Za-z0-9_.-]{27,60}>")
_ARGUMENT: Final = re.compile(r'\{"unique_args": \{"cartwake": "[a-z2-7]{56}"\}\}')
_RETURN_PATH: Final = re.compile(r"bounces\+[a-z2-7]{56}@example\.com")
_TAGS: Final = frozenset({
    "html", "head", "meta", "title", "style", "body", "div", "table", "tr", "td", "h1", "p", "a", "img", "span",
    "strong", "br", "h2",
})  # fmt: skip
_HIDING: Final = frozenset("\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


@dataclass
class Tally(result.Tally):
    """What became of letters; `lost` are those held for no reason, `double` headers that we did not write."""

    mails: int = 0
    held: int = 0


def headers(ground: Ground) -> Result:
    """Letters full of line breaks, encoded words, controls and markup, rendered and serialised."""
    chunks = (2_000 if ground.quick else 100_000) // CHUNK
    began = time.monotonic()
    found, failed = spread("tests.faults.headers", [str(ground.seed)], range(chunks))
    whole = Tally(wrong=failed)
    for part in found:
        whole.add(Tally(**part))
    if not whole.mails > whole.held > 0:
        whole.wrong.append("hardly a letter became a mail, or none was held: the letters show nothing")
    return Result(
        "mail headers", 1, whole.events, 0, whole.lost, whole.double, (), ground.seed,
        f"{whole.mails:,} mails, {whole.held:,} held with a reason; {time.monotonic() - began:.0f} s",
        tuple(whole.wrong[:20]),
    )  # fmt: skip


ROWS = {"headers": headers}


# -- one chunk -----------------------------------------------------------------------------------------------------
def run(seed: int, chunk: int) -> Tally:
    """The letters of a chunk."""
    draw, tally = random.Random(f"{seed}/headers/{chunk}"), Tally()
    signer = Secret("secret of the tests")
    own: dict[str, Any] = {
        "links": Links(_BASE, "secret of the tests"), "mail_from": "Shop <carts@shop.example.com>",
        "return_path": lambda key, plan_id: sender("bounces@example.com", make_token(signer, key, plan_id)),
    }  # fmt: skip
    plain = Renderer(**own)
    told = Renderer(**own, told=lambda key, plan_id: provider_header("sendgrid", make_token(signer, key, plan_id)))
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        tally.events += 1
        one, extra = case(draw, number), draw.random() < 0.2
        try:
            mail = (told if extra else plain)(one.letter, one.shop)
        except Unfit as exc:
            tally.held += 1
            tally.lost += one.must_go
            if one.must_go or not (exc.reason and str(exc).strip()):
                tally.wrong.append(f"chunk {chunk}, letter {number}: held: {exc.reason}: {str(exc)[:200]}")
        except Exception as exc:
            tally.lost += 1
            tally.wrong.append(f"chunk {chunk}, letter {number}: {exc!r:.200} {traceback.format_exc(limit=-2):.400}")
        else:
            tally.mails += 1
            names, faults = judge(mail, one, extra=extra)
            tally.double += names
            tally.wrong += [f"chunk {chunk}, letter {number}: {fault}" for fault in faults]
    tally.wrong = tally.wrong[:MOST_WRONG]
    return tally


# -- judging -------------------------------------------------------------------------------------------------------
def judge(mail: Mail, one: Case, *, extra: bool) -> tuple[int, list[str]]:
    """How many headers it has beyond ours, and everything that is not as it was meant."""
    old = BytesHeaderParser().parsebytes(mail.wire)
    names = sorted(name.lower() for name in old)
    wanted = sorted([*_NAMES, *(["x-smtpapi"] if extra else [])])
    found = [] if names == wanted else [f"headers are {names}"]
    found += _on_the_wire(mail.wire)
    if not _LINK.fullmatch(str(old["List-Unsubscribe"]).encode()):
        found.append(f"List-Unsubscribe is {old['List-Unsubscribe']!r}")
    if old["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click":
        found.append(f"List-Unsubscribe-Post is {old['List-Unsubscribe-Post']!r}")
    if extra and not _ARGUMENT.fullmatch(old["X-SMTPAPI"]):
        found.append(f"X-SMTPAPI is {old['X-SMTPAPI']!r}")
    if one.to is None or mail.recipient != one.to:
        found.append(f"the envelope goes to {mail.recipient!r} for {one.letter.to!r}")
    if not _RETURN_PATH.fullmatch(mail.sender):
        found.append(f"the envelope comes from {mail.sender!r}")
    message = email.message_from_bytes(mail.wire, policy=default)
    assert isinstance(message, EmailMessage)
    try:
        found += _read(message, one)
    except ValueError as exc:  # of the parser: a line break where none can be
        found.append(f"the parser gives up: {exc}")
    return max(0, len(names) - len(wanted)), found


def _on_the_wire(wire: bytes) -> Iterator[str]:
    if not wire.isascii():
        yield "bytes beyond ASCII"
    rows = wire.split(b"\r\n")
    if any(b"\r" in row or b"\n" in row or b"\0" in row for row in rows):
        yield "a bare line break or NUL"
    if (longest := max(map(len, rows))) > 998:
        yield f"a line of {longest} bytes"


def _read(message: EmailMessage, one: Case) -> Iterator[str]:
    """What a mail program would say that was not meant."""
    for part in message.walk():
        if part.defects or any(value.defects for value in part.values()):
            yield f"the parser finds {part.defects} {[value.defects for value in part.values()]}"
    to, sent_by = message["To"].addresses, message["From"].addresses
    if [address.addr_spec for address in to] != [one.to]:
        yield f"To is {message['To']!r} for {one.letter.to!r}"
    if [address.addr_spec for address in sent_by] != [one.sender]:
        yield f"From is {message['From']!r} for {one.shop.profile.sender!r}"
    subject = str(message["Subject"])
    if len(subject) > 150 or not _is_clean(subject):
        yield f"the subject has {len(subject)} characters, or hiding ones: {subject!a}"
    first = names_of(one)[0]
    if (
        not _begins(subject, f"{one.title} {first}")
        if one.title is not None
        else _letters(first)[:20] not in _letters(subject)
    ):
        yield f"the subject {subject!a} is not about {first[:60]!a}"
    parts = {part.get_content_type(): part for part in message.walk() if not part.is_multipart()}
    if sorted(parts) != ["text/html", "text/plain"]:
        yield f"parts {sorted(parts)}"
        return
    text, page = parts["text/plain"].get_content().replace("\r\n", "\n"), Page()
    page.feed(parts["text/html"].get_content())
    page.close()
    yield from page.wrong
    for where, said in (("text", text), ("HTML", "".join(page.said))):
        if where == "text" and not _is_clean(text.replace("\n", " ")):
            yield "the text has controls or hiding characters"
        told = _letters(said)
        for name in names_of(one):
            if _letters(name)[:20] not in told:
                yield f"the {where} does not say {name[:60]!a}"


def names_of(one: Case) -> list[str]:
    """What the mail must call the products it shows."""
    named = [next((x for x in (item.name, item.sku) if x and x.translate(_SEEN)), "…") for item in one.letter.items]
    return named[:8]


def _is_clean(text: str) -> bool:
    """Whether nothing in it ends a line, or hides or reorders what follows."""
    return len(text.translate(_SAFE)) == len(text) and _HIDING.isdisjoint(text)


def _letters(text: str) -> str:
    """What is left to compare: neither white space nor controls nor marks, of which a cut may leave some behind."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).translate(_COMPARED))


def _begins(subject: str, meant: str) -> bool:
    """Whether the subject is what was meant, or its beginning."""
    said, wanted = _letters(subject), _letters(meant)
    return said == wanted or ("…" in said and said[: said.index("…")] == wanted[: said.index("…")])


class Without(dict[int, int | None]):
    """For str.translate: leaves out the characters of these categories."""

    def __init__(self, categories: str) -> None:
        super().__init__()
        self._categories = re.compile(categories)

    def __missing__(self, code: int) -> int | None:
        gone = self._categories.fullmatch(unicodedata.category(chr(code)))
        return self.setdefault(code, None if gone else code)


_SEEN: Final = Without("C[cfs]|Z.")
_COMPARED: Final = Without("C[cfs]|[ZM].")
# html.parser drops a reference to what is no character; a mail has no tags (U+E0000 …) nor U+2065, given out or not
_COMPARED.update(dict.fromkeys((0x2065, *range(0xFDD0, 0xFDF0), *range(0xE0000, 0xE0080))))
_COMPARED.update(dict.fromkeys(code for code in range(0x11_0000) if code & 0xFFFE == 0xFFFE))
_SAFE: Final = Without("C[cs]|Z[lp]")


class Page(HTMLParser):
    """What a page says, and what on it runs or leads elsewhere."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            self.wrong.append(f"an element {tag}")
        for name, value in attrs:
            leads = name in ("href", "src") and not (value or "").startswith(("https://", "http://"))
            if name.startswith("on") or leads:
                self.wrong.append(f"an attribute {name}={value!r:.100}")

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def main(arguments: list[str]) -> None:
    """Print what a share of the chunks has found."""
    whole = Tally()
    for chunk in map(int, arguments[1:]):
        whole.add(run(int(arguments[0]), chunk))
    sys.stdout.write(json.dumps(asdict(whole)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
