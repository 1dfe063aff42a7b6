"""Signs mails for the domain in their From (DKIM, RFC 6376), with RSA or Ed25519 (RFC 8463).

What is signed is made the way dkimpy makes it; the signature itself is from `cryptography`, because dkimpy's own RSA
takes 7 ms a mail and its Ed25519 asks for one more library. A key is in a file that nobody else may read.
"""

import base64
import binascii
import hashlib
import re
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import dkim
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from dkim.canonicalization import Relaxed, Simple

from cartwake.errors import ConfigurationError

#: Signed as far as a mail has them. From is named twice, so that a second one can't be added (RFC 6376, 5.4.2).
SIGNED: Final = (
    b"from", b"from", b"to", b"subject", b"date", b"message-id", b"list-unsubscribe", b"list-unsubscribe-post",
    b"mime-version", b"content-type",
)  # fmt: skip
_KEY: Final = re.compile(
    r"(?P<selector>[A-Za-z0-9][A-Za-z0-9.-]*)\._domainkey\.(?P<domain>[A-Za-z0-9.-]+)=(?P<path>.+)"
)
_FROM: Final = re.compile(rb"@([A-Za-z0-9.-]+)>?\s*$")
_LEAST_BITS: Final = 1024  # RFC 8301
_EXAMPLE: Final = "Example: CARTWAKE_DKIM_KEYS=s1._domainkey.shop.example.com=/etc/cartwake/dkim.pem"


@dataclass(frozen=True, slots=True)
class Key:
    """A private key and where its public half is published: `selector`._domainkey.`domain`."""

    selector: str
    domain: str
    private: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)

    @property
    def algorithm(self) -> str:
        """As the signature names it."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(content, PKCS1v15(), SHA256())
        return self.private.sign(hashlib.sha256(content).digest())


class Signer:
    """Signs a mail with every key of its From's domain, or of the nearest domain above it that has one."""

    def __init__(self, keys: Sequence[Key], *, clock: Callable[[], float] = time.time) -> None:
        self._keys: dict[str, list[Key]] = {}
        for key in keys:
            self._keys.setdefault(key.domain, []).append(key)
        self._clock = clock

    def __call__(self, wire: bytes) -> bytes:
        """The mail with its signatures in front; as it was when no key is for it."""
        if not self._keys:
            return wire
        head, _, body = wire.partition(b"\r\n\r\n")
        headers = dkim.rfc822_parse(head + b"\r\n\r\n")[0]
        keys = self._for(headers)
        if not keys:
            return wire
        digest = base64.b64encode(hashlib.sha256(Simple.canonicalize_body(body)).digest()).decode("ascii")
        chosen = dkim.select_headers(Relaxed.canonicalize_headers(headers), SIGNED)
        content = b"".join(name + b":" + value for name, value in chosen)
        present = {name for name, _ in chosen}
        names = b":".join(name for name in SIGNED if name in present).decode("ascii")
        return b"".join([*(self._field(key, digest, names, content) for key in keys), wire])

    def _for(self, headers: list[tuple[bytes, bytes]]) -> list[Key]:
        found = next((_FROM.search(value) for name, value in headers if name.lower() == b"from"), None)
        labels = found[1].decode("ascii").lower().split(".") if found else []
        domains = (".".join(labels[n:]) for n in range(len(labels)))
        return next((self._keys[domain] for domain in domains if domain in self._keys), [])

    def _field(self, key: Key, digest: str, names: str, content: bytes) -> bytes:
        said = (
            f" v=1; a={key.algorithm}; c=relaxed/simple; d={key.domain};\r\n s={key.selector};"
            f" t={int(self._clock())};\r\n h={names};\r\n bh={digest};\r\n b="
        ).encode("ascii")
        ((name, value),) = Relaxed.canonicalize_headers([(b"DKIM-Signature", said)])
        signature = base64.b64encode(key.sign(content + name + b":" + value.rstrip()))
        folded = b"\r\n ".join(signature[n : n + 70] for n in range(0, len(signature), 70))
        return b"DKIM-Signature:" + said + folded + b"\r\n"


def keys_of(setting: str) -> list[Key]:
    """The keys that `dkim_keys` names, apart by spaces or commas; raises ConfigurationError."""
    return [_key(entry) for entry in re.split(r"[\s,]+", setting.strip()) if entry]


def _key(entry: str) -> Key:
    found = _KEY.fullmatch(entry)
    if found is None:
        raise ConfigurationError(f"setting dkim_keys: {entry[:80]!r} is no name of a key and its file. {_EXAMPLE}")
    path = Path(found["path"])
    try:
        mode = path.stat().st_mode
        raw = path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"setting dkim_keys: {path} can't be read: {exc.strerror}. {_EXAMPLE}") from exc
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigurationError(f"setting dkim_keys: others may use {path}. Run: chmod 600 {path}")
    return Key(found["selector"].lower(), found["domain"].lower(), _private(raw, path))


def _private(raw: bytes, path: Path) -> RSAPrivateKey | Ed25519PrivateKey:
    try:
        if raw.startswith(b"-----"):
            private = load_pem_private_key(raw, None)
        else:  # as dknewkey of dkimpy writes it
            private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(raw.strip(), validate=True))
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        private = None  # whatever is wrong with it, its content is nobody's business
    if isinstance(private, Ed25519PrivateKey) or (
        isinstance(private, RSAPrivateKey) and private.key_size >= _LEAST_BITS
    ):
        return private
    raise ConfigurationError(
        f"setting dkim_keys: {path} holds no private key that can sign: RSA of {_LEAST_BITS} bits or more, or Ed25519, "
        f"in PEM and without a password. Example: openssl genrsa -out {path} 2048"
    )
