"""Mail servers to hand mails to, and how long one that fails is left alone."""

import ipaddress
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cartwake.errors import ConfigurationError
from cartwake.settings import Settings

Tls = Literal["starttls", "tls", "none"]

FIRST_PAUSE: Final = 1.0  # seconds to leave a relay alone after it failed once
LONGEST_PAUSE: Final = 240.0
_EXAMPLE: Final = (
    "Example: CARTWAKE_SMTP_RELAYS=smtps://user:password@smtp-1.example.com:465,smtp://smtp-2.example.com:587"
)


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail server to hand mails to. `none` is for loopback and private networks, and there for no log-in."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: Tls = "starttls"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def why_not(self, peer: str) -> str | None:
        """Why nothing may be said to this relay at the address `peer`, or None."""
        if self.tls != "none":
            return None
        address = ipaddress.ip_address(peer.partition("%")[0])
        if not (address.is_loopback or address.is_private):
            return f"{peer} is a public address, where mails go over TLS only (CARTWAKE_SMTP_TLS=starttls)"
        if self.user and not address.is_loopback:
            return f"a log-in to {peer} without TLS would show the password (CARTWAKE_SMTP_TLS=starttls)"
        return None


def relays_of(settings: Settings) -> list[Relay]:
    """The relays in the order in which they are tried; raises ConfigurationError."""
    if settings.smtp_relays.strip():
        return [relay_of(url) for url in re.split(r"[\s,]+", settings.smtp_relays.strip())]
    if not settings.smtp_host:
        return [Relay("127.0.0.1", settings.mailbox_port, tls="none")]
    user, password = settings.smtp_user, settings.smtp_password
    return [Relay(settings.smtp_host, settings.smtp_port, user, password, settings.smtp_tls)]


def relay_of(url: str) -> Relay:
    """The relay of `smtps://user:password@host:465` or `smtp://host:587?tls=none`; raises ConfigurationError."""
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ConfigurationError(f"setting smtp_relays: one of them is no address of a relay. {_EXAMPLE}") from None
    if not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ConfigurationError(f"setting smtp_relays: one of them is no address of a relay. {_EXAMPLE}")
    tls = _tls(parts, options)
    return Relay(
        parts.hostname,
        port or (465 if tls == "tls" else 587),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        tls,
    )


def _tls(parts: SplitResult, options: dict[str, str]) -> Tls:
    match parts.scheme, options:
        case "smtps", {**rest} if not rest:
            return "tls"
        case "smtp", {"tls": "none", **rest} if not rest:
            return "none"
        case "smtp", {"tls": "starttls", **rest} if not rest:
            return "starttls"
        case "smtp", {**rest} if not rest:
            return "starttls"
    raise ConfigurationError(
        f"setting smtp_relays: {parts.hostname}: write smtps://…, smtp://… (STARTTLS) or smtp://…?tls=none. {_EXAMPLE}"
    )


def pause(failures: int, *, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE, spread: float) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, less up to half by `spread` (0 to 1)."""
    return float(min(longest, first * 2 ** min(failures - 1, 30)) * (1 - spread / 2))


@dataclass(slots=True)
class Health:
    """Whether a relay works, as far as mails have shown. Times are those of a monotonic clock, in seconds.

    Failures of what began before the relay was left alone are part of the same outage and count once: `attempt` is
    what `trial` was when the attempt began.
    """

    first: float = FIRST_PAUSE
    longest: float = LONGEST_PAUSE
    spread: Callable[[], float] = random.random
    failures: int = 0  # since it last worked
    until: float = 0.0
    trial: int = 0
    words: str = ""  # what it failed with

    def failed(self, attempt: int, words: str, now: float) -> bool:
        """It failed: leave it alone for a while. False when that was known."""
        if attempt != self.trial:
            return False
        self.failures += 1
        self.trial += 1
        self.words = words
        self.until = now + pause(self.failures, first=self.first, longest=self.longest, spread=self.spread())
        return True

    def worked(self, attempt: int) -> bool:
        """It took a mail. True when it had failed before."""
        if attempt != self.trial or not self.failures:
            return False
        self.failures = 0
        return True
