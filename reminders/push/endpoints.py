"""Which browsers may be sent to: endpoints come from outside, and must not lead inside (see `reminders.public`)."""

import re
from base64 import urlsafe_b64decode
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from cartwake.model import PushTarget
from reminders.clean import web_url

_OURS: Final = ("localhost", "local", "internal", "home.arpa")
_NAME: Final = re.compile(r"([a-z0-9_-]{1,63}\.)+[a-z]([a-z0-9-]*[a-z0-9])?", re.IGNORECASE)


def check_endpoint(text: str, *, anywhere: bool = False) -> str | None:
    """What is wrong with the endpoint, or None. `anywhere` allows this machine and plain HTTP, for tries.

    What its name resolves to is for the one who connects to look at.
    """
    if web_url(text) is None or not text.isascii() or "#" in text:
        return "it is no web address"
    parts = urlsplit(text)
    host = (parts.hostname or "").lower()
    if anywhere:
        return "it has an IPv6 address in place of a name" if ":" in host else None
    if parts.scheme != "https":
        return "it is not https"
    if parts.port not in (None, 443):
        return "it has a port of its own"
    if len(host) > 253 or not _NAME.fullmatch(host) or any(host.endswith("." + name) for name in _OURS):
        return "its host is no name on the public internet"
    return None


def check_keys(target: PushTarget) -> str | None:
    """What is wrong with the browser's keys, or None: a point of P-256 and 16 bytes (RFC 8291)."""
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _raw(target.p256dh, 65))
        _raw(target.auth, 16)
    except ValueError:
        return "its keys are not of the form that RFC 8291 says"
    return None


def origin_of(url: str) -> str:
    """`https://push.example.com`, with the port only where it is not the usual one (RFC 6454)."""
    parts = urlsplit(url)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}" + ("" if parts.port in (None, usual) else f":{parts.port}")


def _raw(text: str, size: int) -> bytes:
    raw = urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes are not {size}")
    return raw
