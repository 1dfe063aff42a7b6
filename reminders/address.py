"""Which addresses we write to: strictly what RFC 5321 and 5322 allow without quoting, in ASCII, on one line."""

import re
from functools import lru_cache
from typing import Final

from email_validator import EmailNotValidError, validate_email

_LONGEST: Final = 254
#: A part before the @ that nothing can be wrong with.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]+(?:[.+-][A-Za-z0-9_]+)*")


def check_address(address: str) -> str | None:
    """What is wrong with the address, or None.

    aiosmtplib cuts a recipient at a line break and reports success, so nothing unusual may get that far.
    """
    return _looked_at(address)[0]


def ascii_address(address: str) -> str:
    """The form for the envelope and the header: an international domain in its ASCII letters.

    Raises ValueError when `check_address` finds something wrong.
    """
    problem, written = _looked_at(address)
    if problem is not None:
        raise ValueError(problem)
    return written


@lru_cache(maxsize=4096)
def _looked_at(address: str) -> tuple[str | None, str]:
    """(what is wrong with it or None, how it is written): each mail asks three times."""
    if len(address) > _LONGEST or not address.isprintable() or any(x in address for x in ' \t"\\,;:<>()[]'):
        return "it holds characters an address can't have", ""
    local, _, host = address.rpartition("@")
    if len(local) <= 64 and len(host) < _LONGEST - 64 and _PLAIN.fullmatch(local):
        problem, probe = _valid(f"a@{host}")
        return problem, local + probe[1:]
    return _valid(address)


@lru_cache(maxsize=4096)  # many people are at few hosts
def _valid(address: str) -> tuple[str | None, str]:
    try:
        # no look-up: whether the host takes mail is for the relay to say
        found = validate_email(address, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError as exc:
        return str(exc), ""
    return None, found.ascii_email or found.normalized
