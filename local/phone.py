"""A telephone and a browser beside the local mailbox: what is sent to them is kept like a mail, and nothing leaves.

Text messages come in as Twilio takes them (`POST /2010-04-01/Accounts/…/Messages.json`), push messages as a push
service takes them (RFC 8030), and are decrypted with the browser's key (RFC 8291), which lies in the mailbox's folder.
"""

import secrets
from base64 import urlsafe_b64encode
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Final

import http_ece
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cartwake.model import PushTarget
from local import mailbox

#: Header of what came by another way than mail: `sms` or `push`.
WAY: Final = "X-Cartwake-Channel"
_PEM, _AUTH = "browser.pem", "browser.auth"
_MOST: Final = 64 * 1024


def browser(where: Path, page: str) -> PushTarget:
    """The browser of folder `where`, made on first use; `page` is the address of the mailbox's page."""
    where.mkdir(parents=True, exist_ok=True)
    if not (where / _AUTH).exists():
        key = ec.generate_private_key(ec.SECP256R1())
        (where / _PEM).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (where / _AUTH).write_bytes(secrets.token_bytes(16))
    public = _key(where).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return PushTarget(endpoint=f"{page}/push/browser", p256dh=_text(public), auth=_text((where / _AUTH).read_bytes()))


def routes(where: Path) -> list[Route]:
    """Where text messages and push messages are handed in, for the mailbox's page."""

    async def sms(request: Request) -> Response:
        form = await request.form()
        text, to, sender = (str(form.get(name, ""))[:_MOST] for name in ("Body", "To", "From"))
        if not text or not to:
            return JSONResponse(
                {"code": 21602, "message": "Message body and receiver are required", "status": 400}, 400
            )
        await run_in_threadpool(_keep, where, "sms", sender, to, "Text message", text)
        return JSONResponse({"sid": "SM" + secrets.token_hex(16), "status": "queued"}, 201)

    async def push(request: Request) -> Response:
        body = await request.body()
        if len(body) > _MOST:
            return Response(status_code=413)
        try:
            auth = (where / _AUTH).read_bytes()
            said = msgspec.json.decode(http_ece.decrypt(body, private_key=_key(where), auth_secret=auth))
            title, text, url = (str(said.get(name) or "") for name in ("title", "body", "url"))
        except (OSError, ValueError, AttributeError, http_ece.ECEException, msgspec.DecodeError):
            return Response("the message can't be read by this browser", 400)
        await run_in_threadpool(_keep, where, "push", "", "a browser", title, f"{text}\n\n{url}\n")
        return Response(status_code=201)

    return [
        Route("/2010-04-01/Accounts/{account}/Messages.json", sms, methods=["POST"]),
        Route("/push/{browser}", push, methods=["POST"]),
    ]


def _keep(where: Path, way: str, sender: str, to: str, subject: str, text: str) -> None:
    """Store what came like a mail, with the way it came."""
    message = EmailMessage(policy=SMTP)
    message[WAY] = way
    message["From"], message["To"], message["Subject"] = (_one_line(value) for value in (sender, to, subject))
    message.set_content(text)
    mailbox.store(where, message.as_bytes())


def _one_line(text: str) -> str:
    return " ".join(text.replace("=?", "= ?").split())[:500]


def _key(where: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((where / _PEM).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "we made it"
    return key


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
