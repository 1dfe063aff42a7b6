"""Whether a webhook is from whom it says: SNS's signature, SendGrid's, Postmark's password. No I/O.

Each raises Unsigned with a reason for the log; the sender is told nothing but that it was refused.
"""

import base64
import binascii
import hmac
import re
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from cartwake.clock import to_datetime, to_ms
from cartwake.errors import ConfigurationError

#: How old a message may be: SNS and SendGrid try for a day. What is repeated within it says the same again.
OLDEST_MS: Final = 25 * 3600 * 1000
AHEAD_MS: Final = 5 * 60 * 1000

_ARN: Final = re.compile(r"arn:aws(?:-cn|-us-gov)?:sns:([a-z0-9-]{4,30}):\d{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
_CERT_PATH: Final = re.compile(r"/SimpleNotificationService-[0-9a-zA-Z]{8,64}\.pem")
_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


class Unsigned(Exception):
    """The message is not shown to be from the provider, or is too old."""


# -- SNS ---------------------------------------------------------------------------------------------------------
def check_topics(topics: frozenset[str]) -> None:
    """Raise ConfigurationError unless each is the ARN of an SNS topic."""
    for arn in topics:
        if not _ARN.fullmatch(arn):
            raise ConfigurationError(
                f"{arn!r} is no SNS topic. Example: arn:aws:sns:eu-west-1:123456789012:ses-feedback"
            )


def sns_certificate_url(message: dict[str, Any], topics: frozenset[str]) -> str:
    """Where the certificate lies that the message names: at Amazon, in the region of one of our topics.

    Anybody with an account there can have SNS sign something, so the topic has to be ours before anything is fetched.
    """
    arn = message.get("TopicArn")
    if not isinstance(arn, str) or arn not in topics:
        raise Unsigned("the topic is not one of ours")
    url = message.get("SigningCertURL")
    if not isinstance(url, str) or not _at_amazon(url, arn) or not _CERT_PATH.fullmatch(urlsplit(url).path):
        raise Unsigned("the certificate is not at Amazon")
    return url


def sns_confirm_url(message: dict[str, Any]) -> str:
    """What has to be fetched to confirm a subscription; `message` is verified."""
    url = message.get("SubscribeURL")
    if not isinstance(url, str) or not _at_amazon(url, str(message.get("TopicArn"))):
        raise Unsigned("the address to confirm at is not Amazon's")
    return url


def verify_sns(message: dict[str, Any], certificate: bytes, now: int) -> None:
    """Check the signature with the certificate in PEM, and the time; `now` is epoch milliseconds."""
    names = _SIGNED.get(str(message.get("Type")), ())
    version = message.get("SignatureVersion")
    if not names or version not in ("1", "2"):
        raise Unsigned("neither the type nor the version of the signature is known")
    signed = [(name, message[name]) for name in names if name in message]
    if any(not isinstance(value, str) for _, value in signed):
        raise Unsigned("a signed field is no text")
    text = "".join(f"{name}\n{value}\n" for name, value in signed)
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - version 1 is SNS's default
    try:
        key = _key_of(certificate, now)
        key.verify(_base64(message.get("Signature")), text.encode(), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, UnicodeEncodeError) as exc:
        raise Unsigned("the signature does not fit") from exc
    _check_time(_rfc3339(message.get("Timestamp")), now)


def _key_of(certificate: bytes, now: int) -> rsa.RSAPublicKey:
    try:
        found = x509.load_pem_x509_certificate(certificate)
        key = found.public_key()
    except (ValueError, TypeError) as exc:
        raise Unsigned("the certificate can't be read") from exc
    at = to_datetime(now)
    if not found.not_valid_before_utc <= at <= found.not_valid_after_utc:
        raise Unsigned("the certificate has expired")
    if not isinstance(key, rsa.RSAPublicKey):
        raise Unsigned("the certificate has no RSA key")
    return key


def _at_amazon(url: str, arn: str) -> bool:
    found = _ARN.fullmatch(arn)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if found is None or parts.scheme != "https" or parts.username is not None or port not in (None, 443):
        return False
    host = f"sns.{found[1]}.amazonaws.com"
    return parts.hostname == (host + ".cn" if arn.startswith("arn:aws-cn:") else host)


# -- SendGrid ----------------------------------------------------------------------------------------------------
def sendgrid_key(text: str) -> ec.EllipticCurvePublicKey:
    """The public key as SendGrid shows it, in base64; raises ConfigurationError."""
    try:
        key = serialization.load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, TypeError) as exc:
        raise ConfigurationError("SendGrid's verification key can't be read. Example: MFkwEwYHKoZIzj0CAQYI…") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ConfigurationError("SendGrid's verification key is no key of an elliptic curve")
    return key


def verify_sendgrid(key: ec.EllipticCurvePublicKey, *, signature: str, timestamp: str, body: bytes, now: int) -> None:
    """Check the signature over timestamp and body, and the time; `now` is epoch milliseconds."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Unsigned("the timestamp is none")
    try:
        key.verify(_base64(signature), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as exc:
        raise Unsigned("the signature does not fit") from exc
    _check_time(int(timestamp) * 1000, now)


# -- Postmark ----------------------------------------------------------------------------------------------------
def verify_basic(authorization: str, credentials: str) -> None:
    """Check the user and password that Postmark sends of the webhook's URL; `credentials` is `user:password`."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "basic" or not hmac.compare_digest(_base64(given), credentials.encode()):
        raise Unsigned("the user or the password is wrong")


# -- all ---------------------------------------------------------------------------------------------------------
def _base64(text: object) -> bytes:
    if not isinstance(text, str) or len(text) > 8_192:
        raise Unsigned("no signature")
    try:
        return base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise Unsigned("the signature is not base64") from exc


def _rfc3339(text: object) -> int:
    try:
        moment = datetime.fromisoformat(str(text)[:40])
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as exc:
        raise Unsigned("the time is none") from exc


def _check_time(at: int, now: int) -> None:
    if not now - OLDEST_MS <= at <= now + AHEAD_MS:
        raise Unsigned("the message is too old, or from the future")
