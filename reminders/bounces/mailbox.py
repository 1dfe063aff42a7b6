"""Reads a mailbox of bounces over IMAP or POP3. A mail is marked as done only after Kafka has what it says.

Killed anywhere in between, the next run reads the mail again and says the same with the same ids. The mailbox has to
be one of its own: POP3 deletes what was read, IMAP marks it as seen, or deletes it if told to.
"""

import imaplib
import logging
import poplib
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import unquote, urlsplit

from cartwake.errors import ConfigurationError, KafkaUnavailable, MailUnavailable
from cartwake.settings import Settings
from reminders.bounces.intake import Intake
from reminders.bounces.mail import MOST_BYTES

log = logging.getLogger(__name__)

#: Mails that one run takes in; the next run goes on.
MOST_MAILS: Final = 1_000
#: A mail over POP3 can't be read in part: a larger one is not fetched.
MOST_POP_BYTES: Final = 32 * 1024 * 1024
TIMEOUT_S: Final = 30.0
_PORTS: Final = {"imaps": 993, "imap": 143, "pop3s": 995, "pop3": 110}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LISTED: Final = re.compile(rb"(\d{1,10}) (\d{1,15})")
EXAMPLE: Final = "imaps://bounces%40example.com@mail.example.com/INBOX"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where the mails lie. `tls`: from the start, after STARTTLS (or STLS), or none, which only loopback may have."""

    protocol: Literal["imap", "pop3"]
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: Literal["tls", "starttls", "none"] = "tls"
    folder: str = "INBOX"
    delete: bool = False  # IMAP; POP3 always deletes


def mailbox_of(url: str, password: str, *, plain: bool = False, delete: bool = False) -> Mailbox:
    """The mailbox of `imaps://user@host:port/FOLDER` or `pop3s://user@host`; `imap` and `pop3` start TLS by a command.

    Raises ConfigurationError, naming no password. `plain` leaves TLS out, on loopback only.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ConfigurationError(f"the mailbox's address can't be read. Example: {EXAMPLE}") from exc
    host, user = parts.hostname or "", unquote(parts.username or "")
    if parts.scheme not in _PORTS or not host or not user:
        raise ConfigurationError(f"the mailbox's address needs a protocol, a user and a host. Example: {EXAMPLE}")
    if parts.password is not None:
        raise ConfigurationError(f"the mailbox's password does not belong in its address. Example: {EXAMPLE}")
    if not password:
        raise ConfigurationError(
            "the mailbox's password is missing. Example: CARTWAKE_BOUNCES_PASSWORD_FILE=/run/secrets/bounces"
        )
    folder = unquote(parts.path.strip("/")) or "INBOX"
    if any(_CONTROL.search(text) for text in (host, user, password, folder)):
        raise ConfigurationError("the mailbox's address or password has a control character in it")
    if not all(text.isascii() for text in (user, password, folder)):
        raise ConfigurationError("the mailbox's user, password and folder have to be ASCII")
    if plain and host not in _LOOPBACK:
        raise ConfigurationError(f"the mailbox at {host} may not be read without TLS; only one on this machine may")
    protocol: Literal["imap", "pop3"] = "imap" if parts.scheme.startswith("imap") else "pop3"
    tls: Literal["tls", "starttls", "none"] = "none" if plain else "tls" if parts.scheme.endswith("s") else "starttls"
    return Mailbox(protocol, host, port or _PORTS[parts.scheme], user, password, tls, folder, delete)


def set_mailbox(settings: Settings) -> Mailbox | None:
    """The mailbox that the settings name, None when they name none; raises ConfigurationError."""
    if not settings.bounces_url:
        return None
    password, file = settings.bounces_password, settings.bounces_password_file
    if file:
        try:
            password = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as exc:
            raise ConfigurationError(f"the password can't be read from {file}: {exc}") from exc
    return mailbox_of(settings.bounces_url, password, plain=settings.bounces_plain, delete=settings.bounces_delete)


def waiting(mailbox: Mailbox, *, context: ssl.SSLContext | None = None) -> int:
    """How many mails are not done; nothing is changed. Raises MailUnavailable or ConfigurationError."""
    opened = _imap if mailbox.protocol == "imap" else _pop3
    with (
        _translated(mailbox),
        opened(replace(mailbox, delete=False), context or ssl.create_default_context()) as box,
    ):
        return len(box.waiting())


def fetch(
    mailbox: Mailbox, intake: Intake, *, most: int = MOST_MAILS, context: ssl.SSLContext | None = None
) -> Counter[str]:
    """Take in what is new, and say how many mails of each kind there were.

    Raises MailUnavailable or KafkaUnavailable; what was taken in until then stays done. `context` is for a mailbox
    whose certificate is signed by an authority of one's own.
    """
    counted: Counter[str] = Counter()
    opened = _imap if mailbox.protocol == "imap" else _pop3
    with _translated(mailbox), opened(mailbox, context or ssl.create_default_context()) as box:
        for number in box.waiting()[:most]:
            raw = box.read(number)
            if raw is not None:  # else another reader took it away
                counted[intake.take_mail(raw, way=mailbox.protocol)] += 1
                box.done(number)
    return counted


class _Box(Protocol):
    def waiting(self) -> list[str]:
        """The mails that are not done, oldest first."""
        ...

    def read(self, number: str) -> bytes | None:
        """How the mail begins, or None when it is gone."""
        ...

    def done(self, number: str) -> None:
        """The mail need not be read again."""
        ...


# -- IMAP (RFC 3501) -------------------------------------------------------------------------------------------------
class _Imap:
    def __init__(self, client: imaplib.IMAP4, *, delete: bool) -> None:
        self._client = client
        self._flags = r"(\Seen \Deleted)" if delete else r"(\Seen)"

    def waiting(self) -> list[str]:
        found = self._ask("SEARCH", "UNSEEN", "UNDELETED")
        return [number.decode("ascii") for row in found if row for number in row.split() if number.isdigit()]

    def read(self, number: str) -> bytes | None:
        for row in self._ask("FETCH", number, f"(BODY.PEEK[]<0.{MOST_BYTES}>)"):
            if isinstance(row, tuple):
                return bytes(row[1])
        return None

    def done(self, number: str) -> None:
        self._ask("STORE", number, "+FLAGS.SILENT", self._flags)

    def _ask(self, command: str, *words: str) -> list[Any]:
        answer, rows = self._client.uid(command, *words)
        if answer != "OK":
            raise MailUnavailable(f"the mailbox refused {command}: {_words(rows)}")
        return rows


@contextmanager
def _imap(mailbox: Mailbox, context: ssl.SSLContext) -> Iterator[_Imap]:
    client: imaplib.IMAP4
    if mailbox.tls == "tls":
        client = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=TIMEOUT_S)
    else:
        client = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=TIMEOUT_S)
    try:
        if mailbox.tls == "starttls":
            client.starttls(context)
        try:
            client.login(_quoted(mailbox.user), mailbox.password)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as exc:
            raise _refused(mailbox) from exc
        answer, rows = client.select(_quoted(mailbox.folder))
        if answer != "OK":
            raise ConfigurationError(f"the mailbox at {mailbox.host} has no folder {mailbox.folder!r}: {_words(rows)}")
        yield _Imap(client, delete=mailbox.delete)
        if mailbox.delete:
            client.expunge()  # also what an earlier run that was killed had marked
        with suppress(imaplib.IMAP4.error, OSError):  # everything is done
            client.logout()
    finally:
        with suppress(OSError):
            client.shutdown()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _words(rows: list[Any]) -> str:
    return " ".join(row.decode("utf-8", "replace") for row in rows if isinstance(row, bytes))[:200]


# -- POP3 (RFC 1939) -------------------------------------------------------------------------------------------------
class _Pop3:
    """What was deleted is forgotten when the session ends without QUIT, as it does when this process is killed."""

    def __init__(self, client: poplib.POP3) -> None:
        self._client = client

    def waiting(self) -> list[str]:
        listed = [found for row in self._client.list()[1] if (found := _LISTED.match(row))]
        small = [found[1].decode("ascii") for found in listed if int(found[2]) <= MOST_POP_BYTES]
        if len(small) < len(listed):
            log.warning("%d mails over %d bytes are left in the mailbox", len(listed) - len(small), MOST_POP_BYTES)
        return small

    def read(self, number: str) -> bytes | None:
        # not by the library's RETR, which gives up on a line longer than 2,048 bytes and keeps all of the mail
        self._client.sock.sendall(f"RETR {number}\r\n".encode())
        if not self._client.file.readline(2_048).startswith(b"+OK"):
            return None
        return self._rest()

    def done(self, number: str) -> None:
        self._client.dele(number)

    def _rest(self) -> bytes:
        kept, begins, read = bytearray(), True, 0
        while True:
            row = self._client.file.readline(65_536)
            read += len(row)
            if not row or read > 2 * MOST_POP_BYTES:
                raise MailUnavailable("the mailbox broke off inside a mail")
            if begins and row in (b".\r\n", b".\n"):
                return bytes(kept)
            if len(kept) < MOST_BYTES:
                kept += row[1:] if begins and row.startswith(b".") else row
            begins = row.endswith(b"\n")


@contextmanager
def _pop3(mailbox: Mailbox, context: ssl.SSLContext) -> Iterator[_Pop3]:
    client: poplib.POP3
    if mailbox.tls == "tls":
        client = poplib.POP3_SSL(mailbox.host, mailbox.port, timeout=TIMEOUT_S, context=context)
    else:
        client = poplib.POP3(mailbox.host, mailbox.port, timeout=TIMEOUT_S)
    try:
        if mailbox.tls == "starttls":
            client.stls(context)
        try:
            client.user(mailbox.user)
            client.pass_(mailbox.password)
        except poplib.error_proto as exc:
            if isinstance(exc.args[0], bytes):  # the server's answer; the library's own words are text
                raise _refused(mailbox) from exc
            raise
        yield _Pop3(client)
        client.quit()
    except KafkaUnavailable:
        client.quit()  # what was taken in until then is done
        raise
    finally:
        with suppress(OSError):
            client.close()  # without QUIT nothing is deleted: it is read again


def _refused(mailbox: Mailbox) -> ConfigurationError:
    return ConfigurationError(f"the mailbox at {mailbox.host} refused the user {mailbox.user!r} or the password")


@contextmanager
def _translated(mailbox: Mailbox) -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise ConfigurationError(
            f"the certificate of the mailbox at {mailbox.host} can't be trusted: {exc.verify_message}. "
            "For an authority of your own: SSL_CERT_FILE=/etc/ssl/certs/own.pem"
        ) from exc
    except (imaplib.IMAP4.error, poplib.error_proto, OSError, EOFError) as exc:
        raise MailUnavailable(f"the mailbox at {mailbox.host}:{mailbox.port} can't be read: {str(exc)[:200]}") from exc
