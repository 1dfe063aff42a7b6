"""Codes from the shop: what is asked and how it is signed, what is taken for an answer, whom we do not call."""

import asyncio
import hashlib
import hmac
import json
import ssl
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cartwake.clock import rfc3339
from cartwake.errors import MailUnavailable, Rejected
from cartwake.signing import shop_secret
from reminders.callback import MOST_BYTES, Wanted, ask, check_public, client, give_back
from reminders.person import Gift
from tests.reminders.world import DAY, T0

SECRET = "a secret of the tests"
WANTED = Wanted(
    shop_id="main", plan_id="plan-1", abandonment_id="ab-1", cart_id="c-1", value=Decimal("39.98"), currency="EUR"
)


def http(body: bytes | dict[str, Any] = b"", status: str = "200 OK", *headers: str) -> bytes:
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Shop:
    """A shop's server that answers each request with the next of `answers`, as bytes on the wire, and keeps it."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[dict[str, str], bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in head[1:] if x)}
            self.asked.append((headers, await reader.readexactly(int(headers["content-length"]))))
            answer = self.answers.pop(0)
            if answer is None:
                await reader.read()  # no answer, until the caller goes
            else:
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller went, as it should
        finally:
            writer.close()

    def visit(
        self,
        act: str = "ask",
        *,
        host: str = "localhost",
        serving: ssl.SSLContext | None = None,
        trusted: ssl.SSLContext | None = None,
        **more: Any,
    ) -> Any:
        """What `ask` or `give_back` makes of the answers; `serving` makes it https."""

        async def visit() -> Any:
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=serving)
            url = f"http{'s' if serving else ''}://{host}:{server.sockets[0].getsockname()[1]}/offers?shop=1"
            values: dict[str, Any] = {"now": T0, "loopback": True} | more
            async with server, client(trusted=trusted) as http_client:
                if act == "ask":
                    return await ask(http_client, url, SECRET, WANTED, valid_ms=7 * DAY, text="10 % off", **values)
                return await give_back(http_client, url, SECRET, WANTED, "SAVE-1", **values)

        return asyncio.run(visit())


# -- asking --------------------------------------------------------------------------------------------------
def test_the_shop_is_asked_for_one_plan_with_a_signature_it_can_check() -> None:
    shop = Shop(http({"code": "SAVE-1"}))
    assert shop.visit() == Gift(code="SAVE-1", until=T0 + 7 * DAY, text="10 % off")
    ((headers, body),) = shop.asked
    assert json.loads(body) == {
        "type": "offer.wanted", "shop_id": "main", "plan_id": "plan-1", "abandonment_id": "ab-1", "cart_id": "c-1",
        "value": "39.98", "currency": "EUR",
    }  # fmt: skip
    at, _, signed = headers["cartwake-signature"].partition(",")
    assert at == f"t={T0 // 1000}"
    right = hmac.new(SECRET.encode(), f"{T0 // 1000}.".encode() + body, hashlib.sha256).hexdigest()
    assert signed == f"v1={right}"
    assert headers["host"].startswith("localhost:")


def test_asking_again_names_the_same_plan_so_that_the_code_can_be_the_same() -> None:
    shop = Shop(http({"code": "SAVE-1"}), http({"code": "SAVE-1"}))
    assert shop.visit() == shop.visit()
    (first, body), (second, again) = shop.asked
    assert first["idempotency-key"] == second["idempotency-key"] == "offer.wanted/plan-1"
    assert body == again


def test_a_code_that_was_not_used_is_given_back() -> None:
    shop = Shop(http(status="204 No Content"))
    assert shop.visit("give_back") is None
    said = json.loads(shop.asked[0][1])
    assert (said["type"], said["code"], said["plan_id"]) == ("offer.returned", "SAVE-1", "plan-1")


def test_every_shop_has_a_secret_of_its_own_that_does_not_tell_ours() -> None:
    secrets = {shop_secret(SECRET, shop, purpose) for shop in ("main", "lisboa") for purpose in ("offers", "other")}
    assert len(secrets) == 4
    assert all(SECRET not in secret and len(secret) == 64 for secret in secrets)


# -- answers -------------------------------------------------------------------------------------------------
def test_the_shops_own_end_and_text_of_an_offer_count() -> None:
    until = T0 + 3 * DAY
    shop = Shop(http({"code": "SAVE.1_b-2", "expires_at": rfc3339(until), "text": "Free\r\nshipping \u202e"}))
    assert shop.visit() == Gift(code="SAVE.1_b-2", until=until, text="Free shipping")


@pytest.mark.parametrize("answer", [http(status="204 No Content"), http({"code": None}), http({})])
def test_a_shop_may_make_no_offer(answer: bytes) -> None:
    assert Shop(answer).visit() is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"<html>", b"\xff\xfe", b'{"code": 7}', b'{"code": "' + b"A" * 65 + b'"}', b'{"code": ""}',
        b'{"code": "A B"}', b'{"code": "A\\nB"}', b'{"code": "<b>"}', b'{"code": "-A"}', "{\"code\": \"Ä1\"}".encode(),
        b'{"code": "A", "text": "' + b"x" * 1_001 + b'"}', b'{"code": "A", "expires_at": "tomorrow"}',
        b"[" * 10_000, b'{"code": "A", "text": "' + b"x" * MOST_BYTES + b'"}',
    ],
)  # fmt: skip
def test_what_is_no_offer_is_rejected_for_good(body: bytes) -> None:
    with pytest.raises(Rejected):
        Shop(http(body)).visit()


@pytest.mark.parametrize("end", [0, T0 - DAY, T0 + 60_000, T0 + 400 * DAY, 10**15, -(10**15)])
def test_an_offer_that_is_over_or_never_ends_is_rejected(end: int) -> None:
    with pytest.raises(Rejected):
        Shop(http({"code": "SAVE-1", "expires_at": end})).visit()


@pytest.mark.parametrize("status", ["408 x", "425 x", "429 x", "500 x", "502 x", "503 x", "599 x"])
def test_a_shop_that_has_trouble_is_asked_later(status: str) -> None:
    with pytest.raises(MailUnavailable, match=status[:3]):
        Shop(http({"code": "SAVE-1"}, status)).visit()


@pytest.mark.parametrize("status", ["201 x", "400 x", "401 x", "404 x", "410 x", "422 x"])
def test_a_shop_that_says_no_is_not_asked_again(status: str) -> None:
    with pytest.raises(Rejected, match=status[:3]):
        Shop(http({"code": "SAVE-1"}, status)).visit()


@pytest.mark.parametrize("status", ["301 x", "302 x", "307 x", "308 x"])
def test_a_redirect_is_not_followed(status: str) -> None:
    shop = Shop(http(b"", status, "Location: http://127.0.0.1:1/"), http({"code": "SAVE-1"}))
    with pytest.raises(Rejected, match="redirects are not followed"):
        shop.visit()
    assert len(shop.asked) == 1


def test_a_small_answer_does_not_unfold_into_a_large_one() -> None:
    with pytest.raises(Rejected, match="compressed"):
        Shop(http(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip")).visit()


def test_an_answer_without_end_is_broken_off() -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b" " * 1024 + b"\r\n") * 40
    with pytest.raises(Rejected, match="longer than"):
        Shop(endless).visit()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"SSH-2.0-x\r\n\r\n"])
def test_a_server_that_breaks_off_or_speaks_something_else_is_asked_later(answer: bytes) -> None:
    with pytest.raises(MailUnavailable):
        Shop(answer).visit()


def test_a_server_that_never_answers_is_not_waited_for() -> None:
    with pytest.raises(MailUnavailable, match="within"):
        Shop(None).visit(within=0.05)


def test_nobody_at_that_address_is_asked_later() -> None:
    async def visit() -> None:
        async with client() as http_client:
            await ask(http_client, "http://127.0.0.1:1/", SECRET, WANTED, now=T0, valid_ms=DAY, loopback=True)

    with pytest.raises(MailUnavailable):
        asyncio.run(visit())


def test_neither_secret_nor_signature_nor_code_is_in_what_may_be_logged() -> None:
    for answer in (http(b"", "500 x"), http({"code": "SECRET CODE"}), http(b"SECRET CODE")):
        with pytest.raises((Rejected, MailUnavailable)) as caught:
            Shop(answer).visit()
        assert SECRET not in str(caught.value)
        assert "SECRET CODE" not in str(caught.value)


# -- whom we do not call -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/", "ftp://shop.example.com/", "file:///etc/passwd", "https://", "x", "", "https://[::1/",
        "https://user:pw@shop.example.com/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/",
        "https://10.0.0.1/", "https://192.168.1.1/", "https://172.16.0.1/", "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/", "https://[::ffff:127.0.0.1]/", "https://[fd00::1]/", "https://[fe80::1]/",
        "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/",
        "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://224.0.0.1/", "https://100.64.0.1/", "https://168.63.129.16/",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_public_internet_are_never_called(url: str) -> None:
    async def visit() -> None:
        async with client() as http_client:
            await ask(http_client, url, SECRET, WANTED, now=T0, valid_ms=DAY)

    with pytest.raises(Rejected):
        asyncio.run(visit())


def test_a_name_with_one_private_address_among_public_ones_is_not_called() -> None:
    check_public("shop.example.com", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    for private in ("10.0.0.1", "::1", "127.0.0.1"):
        with pytest.raises(Rejected):
            check_public("shop.example.com", ["93.184.215.14", private])
    with pytest.raises(Rejected):
        check_public("shop.example.com", [])


def test_a_name_is_looked_up_once_and_called_at_just_that_address() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]  # what an attacker's name server says to the check, and to the call

    async def lookup(host: str, port: int) -> list[str]:
        assert host == "rebinding.example.com"
        return answers.pop(0)

    shop = Shop(http({"code": "SAVE-1"}))
    assert shop.visit(host="rebinding.example.com", lookup=lookup) is not None
    assert len(answers) == 1
    assert shop.asked[0][0]["host"].startswith("rebinding.example.com:")


# -- TLS -----------------------------------------------------------------------------------------------------
def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate of `name`, and a caller's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(title)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain) + pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    return serving, ssl.create_default_context(cadata=pem.decode())


async def here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def test_the_certificate_must_be_of_the_name_although_an_address_is_called(tmp_path: Path) -> None:
    serving, trusted = certificate(tmp_path, "shop.example.com")
    shop = Shop(http({"code": "SAVE-1"}))
    more = {"serving": serving, "trusted": trusted, "lookup": here}
    assert shop.visit(host="shop.example.com", **more) is not None
    with pytest.raises(MailUnavailable, match="ConnectError"):
        shop.visit(host="other.example.com", **more)
    assert len(shop.asked) == 1


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    serving, _ = certificate(tmp_path, "shop.example.com")
    shop = Shop(http({"code": "SAVE-1"}))
    with pytest.raises(MailUnavailable):
        shop.visit(host="shop.example.com", serving=serving, lookup=here)
    assert shop.asked == []
