"""What an SMTP answer says of its address: that it is dead, or only that this mail did not arrive. Pure.

RFC 3463: 5.1.x is about the address, anything else about the mailbox's state, the way there, the content or us.
Dead is said only when nothing speaks against it: a person who is silenced by mistake is lost, one more mail is not.
"""

import re
from typing import Final, Literal, NamedTuple

Code = tuple[int, int, int]

#: An enhanced code, neither part of an IP address nor of a version of more numbers.
_CODE: Final = re.compile(r"(?<![\w.])([245])\.(\d{1,3})\.(\d{1,3})(?!\w|\.\d)")
_REPLY: Final = re.compile(r"(?<![\w.])([245])\d\d(?=[ -](?:#?[245]\.\d|\D))")
_ADDRESS: Final = re.compile(r"[^\s<>]{1,320}@[^\s<>]{1,255}")
#: Details of 5.1 that do not speak of the recipient: 0 says nothing, 5 is a success, 7 and 8 are the sender's address.
_NOT_THE_RECIPIENT: Final = frozenset({0, 5, 7, 8, 9})
_NOBODY: Final = re.compile(
    r"(?:user|recipient|mailbox|account|address|local[- ]part) (?:is )?(?:unknown|not found|not known|invalid)"
    r"|(?:unknown|invalid) (?:user|recipient|mailbox|account|local[- ]part|address)"
    r"|no such (?:user|recipient|mailbox|account|address|person)|no mailbox here"
    r"|(?:user|recipient|mailbox|account|address)[^.;\n]{0,60} (?:does not|doesn't) exist"
    r"|unrouteable address|not a valid (?:mailbox|recipient|user)",
    re.IGNORECASE,
)
_ABOUT_US: Final = re.compile(
    r"spam|blocked|black ?list|block ?list|\brbl\b|polic|reputation|denied|filter|\bquota\b|\bfull\b|\bspf\b|dkim|dmarc"
    r"|\bsender\b|virus|authenticat|\bcontent\b",
    re.IGNORECASE,
)
#: Whoever refuses the content has accepted the recipient before.
_AFTER_DATA: Final = re.compile(r"(?:end of|after|reply to) data\b|>>> DATA\b", re.IGNORECASE)


class Judgement(NamedTuple):
    """What an answer says, the code it rests on (or an empty string), and whether that code is a particular one."""

    kind: Literal["hard", "soft", "none"]
    code: str
    particular: bool


def judge(*, status: str = "", answer: str = "", notice: str = "") -> Judgement:
    """Judge one recipient's fate; anything unclear is soft.

    `status` is the code the reporter states, `answer` the words of the server that refused, `notice` what the reporter
    tells people. The refusing server's own code counts before the reporter's translation of it; words count only where
    the codes say nothing in particular.
    """
    answer, notice = _plain(answer), _plain(notice)
    own = [_code(found) for found in _CODE.finditer(answer)]
    stated = [_code(found) for found in _CODE.finditer(status[:100])][:1]
    telling = [code for code in own if _is_particular(code)]
    if telling:
        code = next((code for code in telling if not _is_dead(code)), telling[0])
        return _said(code, dead=_is_dead(code))
    if stated and _is_particular(stated[0]):
        return _said(stated[0], dead=_is_dead(stated[0]) and not _ABOUT_US.search(answer))
    first: Code | None = next(iter(stated + own), None)
    reply = _REPLY.search(answer)
    severity = first[0] if first else int(reply[1]) if reply else 5
    words = answer if _NOBODY.search(answer) else f"{answer} {notice}"
    nobody = _NOBODY.search(words) and not _ABOUT_US.search(words) and not _AFTER_DATA.search(f"{answer} {notice}")
    kind: Literal["hard", "soft", "none"] = "none" if severity == 2 else "hard" if nobody and severity == 5 else "soft"
    return Judgement(kind, _text(first) if first else "", particular=False)


def _said(code: Code, *, dead: bool) -> Judgement:
    return Judgement("none" if code[0] == 2 else "hard" if dead else "soft", _text(code), particular=True)


def _code(found: re.Match[str]) -> Code:
    return int(found[1]), int(found[2]), int(found[3])


def _text(code: Code) -> str:
    return ".".join(map(str, code))


def _is_particular(code: Code) -> bool:
    """Whether the code says more than that something went wrong (0) or that a command was refused (5)."""
    return code[1] not in (0, 5) and code[1:] != (1, 0)


def _is_dead(code: Code) -> bool:
    return code[:2] == (5, 1) and code[2] not in _NOT_THE_RECIPIENT


def _plain(text: str) -> str:
    """On one line and without addresses, in which any word may stand."""
    return _ADDRESS.sub("…", " ".join(text[:20_000].split()))
