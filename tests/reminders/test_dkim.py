"""Signatures, verified by dkimpy, which has made none of them."""

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dkim
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as elliptic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateNumbers,
    RSAPublicNumbers,
    generate_private_key,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cartwake.errors import ConfigurationError
from reminders.dkim import Key, Signer, keys_of
from reminders.mime import File, build

URL = "https://t.shop.example.com/u/abc"
RSA = generate_private_key(65537, 2048)
SMALL = generate_private_key(65537, 1024)
EDWARDS = Ed25519PrivateKey.generate()
SIGN = Signer([Key("s1", "example.com", RSA)], clock=lambda: 1_795_428_900)


def published(private: Any, kind: str) -> bytes:
    """The record in DNS for a key."""
    if kind == "ed25519":
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        raw = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=" + kind.encode() + b"; p=" + base64.b64encode(raw)


ZONE = {
    b"s1._domainkey.example.com.": published(RSA, "rsa"),
    b"s2._domainkey.example.com.": published(EDWARDS, "ed25519"),
}


class VerifyKey:
    """What dkimpy asks of PyNaCl, which is not needed for anything else."""

    def __init__(self, key: bytes, encoder: Any) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))

    def verify(self, content: bytes, signature: bytes) -> None:
        self._key.verify(signature, content)


@pytest.fixture
def nacl(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = SimpleNamespace(
        signing=SimpleNamespace(VerifyKey=VerifyKey),
        encoding=SimpleNamespace(Base64Encoder=None),
        exceptions=SimpleNamespace(ValueError=ValueError, BadSignatureError=InvalidSignature),
    )
    monkeypatch.setattr(dkim, "nacl", stand_in, raising=False)


def wire(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "sender": ("Blümchen", "carts@shop.example.com"), "to": "ana@example.com", "subject": "Dein Warenkorb – 5 €",
        "text": "Hallo  Ana \n\n\n", "html": "<p>Hallo\t Ana</p>\n", "date": datetime(2026, 11, 23, tzinfo=UTC),
        "message_id": "<plan-1@shop.example.com>", "unsubscribe_url": URL,
    }  # fmt: skip
    return build(**(values | changes))


def verified(signed: bytes, index: int = 0) -> bool:
    try:
        return bool(dkim.DKIM(signed).verify(idx=index, dnsfunc=lambda name, timeout=5: ZONE.get(name)))
    except dkim.ValidationError:  # of the content; of the headers it answers False
        return False


def test_a_signed_mail_is_verified_and_is_otherwise_as_it_was() -> None:
    signed = SIGN(wire())
    assert verified(signed)
    assert signed.endswith(wire())
    assert max(map(len, signed.split(b"\r\n"))) <= 998
    assert b" d=example.com;\r\n s=s1; t=1795428900;" in signed


def test_a_mail_with_a_file_and_without_unsubscription_is_verified() -> None:
    assert verified(SIGN(wire(unsubscribe_url=None, files=[File("a.pdf", "application/pdf", bytes(range(256)))])))


def test_the_headers_that_matter_are_covered_and_from_twice() -> None:
    head = SIGN(wire()).partition(b"\r\nFrom:")[0].replace(b"\r\n", b"")
    names = head.partition(b" h=")[2].partition(b";")[0].split(b":")
    assert names == [
        b"from", b"from", b"to", b"subject", b"date", b"message-id", b"list-unsubscribe", b"list-unsubscribe-post",
        b"mime-version", b"content-type",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\r\nFrom: ", b"\r\nFrom: Eve <eve@e.test>\r\nFrom: "),
        (b"\r\nTo: ana@", b"\r\nTo: eve@"),
        (b"\r\nSubject: ", b"\r\nSubject: Re: "),
        (b"/u/abc>", b"/u/abd>"),
        (b"One-Click", b"One-Clicks"),
        (b"2026 00:00:00", b"2026 00:00:01"),
        (b"<plan-1@", b"<plan-2@"),
        (b"MIME-Version: 1.0", b"MIME-Version: 1.1"),
        (b"multipart/alternative", b"multipart/mixed"),
        (b"Hallo", b"Hello"),
    ],
)
def test_a_change_on_the_way_is_noticed(old: bytes, new: bytes) -> None:
    signed = SIGN(wire())
    changed = signed.replace(old, new, 1)
    assert changed != signed
    assert not verified(changed)


def test_both_kinds_of_keys_sign_the_same_mail(nacl: None) -> None:
    sign = Signer([Key("s1", "example.com", RSA), Key("s2", "example.com", EDWARDS)])
    signed = sign(wire())
    assert signed.count(b"DKIM-Signature:") == 2
    assert b"a=ed25519-sha256" in signed
    assert verified(signed, 0)
    assert verified(signed, 1)
    assert not any(verified(signed.replace(b"ana@", b"eve@", 1), n) for n in (0, 1))


def test_the_signature_of_an_edwards_key_is_that_of_rfc_8463() -> None:
    # the key of its appendix A.2, and what RFC 8032 makes of it: deterministic
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Key("brisbane", "football.example.com", Ed25519PrivateKey.from_private_bytes(seed))
    public = key.private.public_key()
    assert isinstance(public, Ed25519PublicKey)
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert base64.b64encode(raw) == b"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    public.verify(key.sign(b"content"), hashlib.sha256(b"content").digest())


def test_a_mail_of_another_domain_is_left_as_it_is() -> None:
    other = wire(sender=("Shop", "carts@example.org"))
    assert SIGN(other) == other
    near = wire(sender=("Shop", "carts@badexample.com"))
    assert SIGN(near) == near
    assert Signer([])(wire()) == wire()


def test_the_nearest_domain_above_signs() -> None:
    sign = Signer([Key("s1", "example.com", RSA), Key("s9", "shop.example.com", SMALL)])
    assert b"d=shop.example.com" in sign(wire())
    assert b"d=example.com" in sign(wire(sender=("Shop", "carts@other.example.com")))


# -- files ---------------------------------------------------------------------------------------------------
def pem(private: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return bytes(private.private_bytes(Encoding.PEM, form, NoEncryption()))


def kept(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "dkim.pem"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "algorithm"),
    [
        (pem(RSA), "rsa-sha256"),
        (pem(RSA, PrivateFormat.TraditionalOpenSSL), "rsa-sha256"),
        (pem(EDWARDS), "ed25519-sha256"),
        (base64.b64encode(b"k" * 32) + b"\n", "ed25519-sha256"),
    ],
)
def test_keys_are_read_from_their_files(tmp_path: Path, content: bytes, algorithm: str) -> None:
    path = kept(tmp_path, content, 0o640)
    (key, again) = keys_of(f"S1._domainkey.Example.com={path}, s2._domainkey.example.org={path}")
    assert (key.selector, key.domain, key.algorithm) == ("s1", "example.com", algorithm)
    assert (again.selector, again.domain) == ("s2", "example.org")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602, 0o777])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = kept(tmp_path, pem(RSA), mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        keys_of(f"s1._domainkey.example.com={path}")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 100, b"c2hvcnQ=", b"SECRET", pem(RSA)[:300], pem(elliptic(SECP256R1())),
        pem(generate_private_key(65537, 1024)).replace(b"A", b"B"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused_without_a_word_of_it(tmp_path: Path, content: bytes) -> None:
    path = kept(tmp_path, content)
    with pytest.raises(ConfigurationError, match="holds no private key") as refused:
        keys_of(f"s1._domainkey.example.com={path}")
    assert "SECRET" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_key_that_is_too_short_is_refused(tmp_path: Path) -> None:
    p, q, e = 2**127 - 1, 2**521 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = RSAPublicNumbers(e, p * q)
    numbers = RSAPrivateNumbers(p, q, d, rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), rsa_crt_iqmp(p, q), public)
    path = kept(tmp_path, pem(numbers.private_key()))
    with pytest.raises(ConfigurationError, match="RSA of 1024 bits or more"):
        keys_of(f"s1._domainkey.example.com={path}")


@pytest.mark.parametrize(
    "entry", ["key.pem", "example.com=/x", "s1._domainkey.=/x", "s1._domainkey.example.com=", "=_x"]
)
def test_an_entry_that_is_none_is_named(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="setting dkim_keys"):
        keys_of(entry)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        keys_of(f"s1._domainkey.example.com={tmp_path / 'none.pem'}")


def test_no_key_is_shown(tmp_path: Path) -> None:
    (key,) = keys_of(f"s1._domainkey.example.com={kept(tmp_path, base64.b64encode(b'k' * 32))}")
    assert repr(key) == "Key(selector='s1', domain='example.com')"


def test_no_setting_means_no_key() -> None:
    assert keys_of("") == []
