"""A mailbox on this machine: SMTP on loopback, every accepted mail a file, and a page to read them.

`python -m local.mailbox --data-dir D --port 1025 --web-port 8025`. Mails lie in `D/mailbox/<time>-<id>.eml`.
"""

import argparse
import asyncio
import contextlib
import email
import email.policy
import errno
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

from cartwake.errors import CartwakeError
from local import lock

SIZE_LIMIT = 32 * 1024 * 1024
WEB_OFFSET = 7000  # the page's port is the mailbox's plus this, 8025 beside 1025
_NAME = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-[0-9a-f]{8}\.eml")


class Mail(NamedTuple):
    """One line of the list; texts are as hostile as the mail they come from. `way` is mail, sms or push."""

    name: str
    at: datetime
    sender: str
    to: str
    subject: str
    way: str = "mail"


def folder(data_dir: Path) -> Path:
    """Where the mails of `data_dir` lie."""
    return data_dir / "mailbox"


def mails(data_dir: Path) -> list[Path]:
    """The mails received, oldest first."""
    return sorted(path for path in folder(data_dir).glob("*.eml") if _NAME.fullmatch(path.name))


def store(where: Path, content: bytes) -> Path:
    """Write one mail so that it is there whole, also after a power cut, or not at all; raises OSError."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = where / f"{moment}-{secrets.token_hex(4)}.eml"
    partial = path.with_suffix(".partial")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        directory = os.open(where, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    return path


def parse(path: Path) -> EmailMessage:
    """The mail at `path`; whatever is wrong in it is in its `defects`."""
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def header(mail: EmailMessage, name: str) -> str:
    """A header's text; a header that can't be read is shown as it was sent."""
    try:
        return str(mail.get(name, ""))
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):  # the parser's own bugs on bad input
        return next((str(value) for key, value in mail.raw_items() if key.lower() == name.lower()), "")


def line(path: Path) -> Mail:
    """What the list shows of the mail at `path`."""
    with path.open("rb") as file:  # its head is enough
        mail = email.message_from_bytes(file.read(64 * 1024), policy=email.policy.default)
    at = datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    way = header(mail, "x-cartwake-channel")
    what = (header(mail, "from"), header(mail, "to"), header(mail, "subject"))
    return Mail(path.name, at, *what, way if way in ("sms", "push") else "mail")


class Receiver:
    """Takes mails for everybody and answers 250 only when they are on disk."""

    def __init__(self, where: Path, keep: Callable[[Path, bytes], Path] = store) -> None:
        self._where = where
        self._keep = keep

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        """Store the mail with its envelope in front, as the last hop of a delivery does (RFC 5321, 4.4)."""
        head = f"Return-Path: <{envelope.mail_from or ''}>\r\n"
        head += "".join(f"Delivered-To: {address}\r\n" for address in envelope.rcpt_tos)
        content = head.encode("utf-8", "surrogateescape") + bytes(envelope.content)
        try:
            path = await asyncio.get_running_loop().run_in_executor(None, self._keep, self._where, content)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                return "452 4.3.1 The disk is full; try again later"
            return f"451 4.3.0 The mail can't be stored: {exc.strerror}; try again later"
        return f"250 2.0.0 Stored as {path.stem}"


def answers(port: int, timeout_s: float = 1.0) -> bool:
    """Whether an SMTP server on 127.0.0.1:`port` greets."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as peer:
            greeted = peer.recv(4).startswith(b"220")
            peer.sendall(b"QUIT\r\n")
            return greeted
    except OSError:
        return False


async def _serve(where: Path, port: int, web_port: int) -> None:
    import uvicorn  # noqa: PLC0415 - who only lists mails needs no server
    from aiosmtpd.smtp import SMTP  # noqa: PLC0415

    from local.mailbox_page import page  # noqa: PLC0415

    loop = asyncio.get_running_loop()

    def session() -> Any:
        return SMTP(
            Receiver(where),
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="Cartwake mailbox",
            timeout=60,
            loop=loop,
        )

    smtp = await loop.create_server(session, "127.0.0.1", port)
    web = uvicorn.Server(
        uvicorn.Config(
            page(where),
            host="127.0.0.1",
            port=web_port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )
    await web.serve()  # until SIGTERM
    smtp.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(smtp.wait_closed(), 2)


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.mailbox", description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path(".cartwake"))
    parser.add_argument("--port", type=int, default=1025)
    parser.add_argument("--web-port", type=int, help=f"of the page to read mails; default: port + {WEB_OFFSET}")
    arguments = parser.parse_args()
    web_port = arguments.web_port or arguments.port + WEB_OFFSET
    where = folder(arguments.data_dir)
    try:
        lock.refuse_taken(arguments.port, "the mailbox", "CARTWAKE_MAILBOX_PORT=11025")
        lock.refuse_taken(web_port, "the mailbox's page", "--web-port 18025, or CARTWAKE_MAILBOX_PORT=11025")
        held = lock.take(where / "lock", arguments.port, "The mailbox")
    except CartwakeError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    for leftover in where.glob("*.partial"):  # of a kill between writing and renaming: never answered with 250
        leftover.unlink()
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it has stopped
        signal.signal(number, lambda *_: None)
    asyncio.run(_serve(where, arguments.port, web_port))
    os.close(held)
    return 0


if __name__ == "__main__":
    sys.exit(main())
