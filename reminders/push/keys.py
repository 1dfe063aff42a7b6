"""The pair of keys that push services know this installation by (VAPID, RFC 8292).

It is the setting `push_private_key`, else derived from the secret, so that every role has the same without sharing a
folder. A browser's subscription is bound to the public key: with another one it must be made anew.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cartwake.errors import ConfigurationError
from cartwake.model import encode
from cartwake.secret import secret_of
from cartwake.settings import Settings

VALID_S: Final = 12 * 3600  # RFC 8292 allows 24 hours; clocks differ
_HEAD: Final = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9"  # {"typ":"JWT","alg":"ES256"}
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


@dataclass(frozen=True, slots=True)
class Keys:
    """`public` is what a page hands to `pushManager.subscribe`: an uncompressed point in base64url.

    `contact` is whom a push service writes to about our messages: `mailto:…` or `https://…`.
    """

    public: str
    contact: str
    _private: ec.EllipticCurvePrivateKey = field(repr=False)

    def authorization(self, origin: str, now_s: int) -> str:
        """The header `Authorization` for messages to the push service `origin`: a signed JWT (RFC 8292, RFC 7518)."""
        claims = encode({"aud": origin, "exp": now_s + VALID_S, "sub": self.contact})
        said = f"{_HEAD}.{_text(claims)}"
        r, s = decode_dss_signature(self._private.sign(said.encode(), ec.ECDSA(SHA256())))
        return f"vapid t={said}.{_text(r.to_bytes(32) + s.to_bytes(32))},k={self.public}"


def keys_of(settings: Settings) -> Keys:
    """The installation's keys; raises ConfigurationError when the setting is no key."""
    private = _given(settings.push_private_key) if settings.push_private_key else derived(secret_of(settings))
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return Keys(_text(point), settings.push_contact or "mailto:" + parseaddr(settings.mail_from)[1], private)


def derived(secret: str) -> ec.EllipticCurvePrivateKey:
    """The private key that follows from the secret (HKDF-SHA256; 48 bytes, so that no key is likelier than others)."""
    raw = HKDF(algorithm=SHA256(), length=48, salt=None, info=b"cartwake push").derive(secret.encode())
    return ec.derive_private_key(int.from_bytes(raw) % (_ORDER - 1) + 1, ec.SECP256R1())


def _given(text: str) -> ec.EllipticCurvePrivateKey:
    try:
        return ec.derive_private_key(int.from_bytes(urlsafe_b64decode(text + "=")), ec.SECP256R1())
    except ValueError:  # its words may hold the key
        raise ConfigurationError(
            "push_private_key: not a private key of P-256. Make one with `npx web-push generate-vapid-keys`, or leave "
            "it empty, and one follows from the secret"
        ) from None


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
