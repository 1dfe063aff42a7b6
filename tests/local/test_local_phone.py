"""The telephone and the browser beside the mailbox: what reaches them is kept, what is junk is refused."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pywebpush import WebPusher

from cartwake.model import PushTarget
from local import mailbox, phone
from local.mailbox_page import page

SMS = "/2010-04-01/Accounts/demo/Messages.json"


@pytest.fixture
def where(tmp_path: Path) -> Path:
    folder = mailbox.folder(tmp_path)
    folder.mkdir()
    return folder


class Site:
    """The mailbox's page, asked without a network."""

    def __init__(self, where: Path) -> None:
        self._app = page(where)

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._ask("GET", path))

    def post(self, path: str, **what: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, **what))

    async def _ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8025") as client:
            return await client.request(method, path, **what)


@pytest.fixture
def site(where: Path) -> Site:
    return Site(where)


def kept(where: Path) -> list[mailbox.Mail]:
    return [mailbox.line(path) for path in mailbox.mails(where.parent)]


def sealed(target: PushTarget, text: bytes) -> bytes:
    info = {"endpoint": target.endpoint, "keys": {"p256dh": target.p256dh, "auth": target.auth}}
    return bytes(WebPusher(info).encode(text, "aes128gcm")["body"])


def test_a_text_message_is_answered_as_twilio_does_and_lies_in_the_mailbox(where: Path, site: Site) -> None:
    answer = site.post(SMS, data={"To": "+40721234567", "From": "+15005550006", "Body": "Hello Ana ș 🎁"})
    assert (answer.status_code, answer.json()["sid"][:2]) == (201, "SM")
    (message,) = kept(where)
    assert (message.way, message.to, message.sender) == ("sms", "+40721234567", "+15005550006")
    assert "Hello Ana ș 🎁" in mailbox.parse(where / message.name).get_content()
    assert "text message" in site.get("/").text
    assert "Hello Ana ș 🎁" in site.get(f"/{message.name}").text


@pytest.mark.parametrize("form", [{}, {"To": "+40721234567"}, {"Body": "x"}])
def test_a_text_message_without_text_or_receiver_is_none(where: Path, site: Site, form: dict[str, str]) -> None:
    assert site.post(SMS, data=form).status_code == 400
    assert kept(where) == []


def test_a_header_in_a_number_stays_a_number(where: Path, site: Site) -> None:
    site.post(SMS, data={"To": "+4072\r\nBcc: eve@example.com", "From": "=?utf-8?q?x?=", "Body": "x"})
    (message,) = mailbox.mails(where.parent)
    assert mailbox.parse(message)["Bcc"] is None


def test_a_push_message_is_read_with_the_browsers_key_alone(where: Path, site: Site) -> None:
    target = phone.browser(where, "http://127.0.0.1:8025")
    assert phone.browser(where, "http://127.0.0.1:8025") == target
    said = json.dumps({"title": "Your cart", "body": "A lamp", "url": "https://shop.example.com/r/1"}).encode()
    assert site.post("/push/browser", content=sealed(target, said)).status_code == 201
    (message,) = kept(where)
    assert (message.way, message.subject) == ("push", "Your cart")
    assert "https://shop.example.com/r/1" in mailbox.parse(where / message.name).get_content()
    stranger = phone.browser(where.parent / "other", "http://127.0.0.1:8025")
    assert site.post("/push/browser", content=sealed(stranger, said)).status_code == 400


@pytest.mark.parametrize("body", [b"", b"x", b"\x00" * 200, b"x" * 70_000])
def test_junk_is_refused_and_kept_nowhere(where: Path, site: Site, body: bytes) -> None:
    assert site.post("/push/browser", content=body).status_code in (400, 413)
    phone.browser(where, "http://127.0.0.1:8025")
    assert site.post("/push/browser", content=body).status_code in (400, 413)
    assert kept(where) == []


@pytest.mark.parametrize("said", [b"null", b"[]", b"1", b'{"title": {"a": 1}}', b"{"])
def test_a_message_that_says_something_odd_stops_nothing(where: Path, site: Site, said: bytes) -> None:
    target = phone.browser(where, "http://127.0.0.1:8025")
    assert site.post("/push/browser", content=sealed(target, said)).status_code in (201, 400)
