"""Small servers that speak IMAP (RFC 3501) and POP3 (RFC 1939) on loopback, with and without TLS."""

import contextlib
import datetime
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "bounces@example.com", 'a "quoted\\ password'


class Cut(Exception):
    """The server drops the connection."""


@dataclass
class Stored:
    """A mail in the mailbox."""

    uid: int
    raw: bytes
    flags: set[str] = field(default_factory=set)


def certificate(folder: Path, *, name: str = "127.0.0.1") -> Path:
    """A key and a certificate for `name` that signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Server:
    """Serves one mailbox to one client after another. `before` is called with each command; it may raise Cut."""

    def __init__(
        self, mails: list[bytes], tls: Literal["tls", "starttls", "none"] = "none", pem: Path | None = None
    ) -> None:
        self.mails = [Stored(number, raw) for number, raw in enumerate(mails, 1)]
        self.before: Callable[[str], None] = lambda _command: None
        self.heard: list[str] = []
        self.failed: list[BaseException] = []
        self._tls = tls
        self._open: list[socket.socket] = []
        self._context: ssl.SSLContext | None = None
        if pem is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(pem)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(60)
        assert self.failed == []

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            client.settimeout(20)
            self._open = [client]
            try:
                self._serve(self._wrapped(client) if self._tls == "tls" else client)
            except (Cut, OSError):
                pass  # the client went, or was cut off
            except BaseException as exc:  # the test has to see it
                self.failed.append(exc)
            for each in reversed(self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _wrapped(self, client: socket.socket) -> socket.socket:
        assert self._context is not None
        wrapped = self._context.wrap_socket(client, server_side=True)
        self._open.append(wrapped)
        return wrapped

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _command(self, file: BinaryIO) -> str:
        row = file.readline()
        if not row:
            raise Cut
        text = row.decode("ascii").rstrip("\r\n")
        self.heard.append(text)
        self.before(text)
        return text


class Imap(Server):
    """UID SEARCH, FETCH, STORE and EXPUNGE as a server does them."""

    def _serve(self, client: socket.socket) -> None:
        file, starting = cast(BinaryIO, client.makefile("rb")), self._tls == "starttls"

        def say(words: bytes) -> None:
            client.sendall(words + b"\r\n")

        say(b"* OK ready")
        while True:
            tag, _, rest = self._command(file).partition(" ")
            done = f"{tag} OK done".encode()
            match rest.upper().split()[0]:
                case "CAPABILITY":
                    say(b"* CAPABILITY IMAP4rev1" + (b" STARTTLS LOGINDISABLED" if starting else b""))
                case "STARTTLS" if starting:
                    say(done)
                    client = self._wrapped(client)
                    file, starting = cast(BinaryIO, client.makefile("rb")), False
                    continue
                case "LOGIN" if not starting:
                    escaped = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
                    if rest != f'LOGIN "{USER}" "{escaped}"':
                        done = f"{tag} NO wrong".encode()
                case "SELECT":
                    if rest != 'SELECT "INBOX"':
                        done = f"{tag} NO no such folder".encode()
                    say(f"* {len(self.mails)} EXISTS".encode())
                case "UID":
                    self._by_uid(rest, say, client)
                case "EXPUNGE":
                    self.mails = [mail for mail in self.mails if r"\Deleted" not in mail.flags]
                case "LOGOUT":
                    say(b"* BYE")
                    say(done)
                    return
                case _:
                    raise AssertionError(rest)
            say(done)

    def _by_uid(self, rest: str, say: Callable[[bytes], None], client: socket.socket) -> None:
        _, command, number, words = (*rest.split(" ", 3), "")[:4]
        if command == "SEARCH":
            assert (number, words) == ("UNSEEN", "UNDELETED")
            found = [str(x.uid) for x in self.mails if not x.flags & {r"\Seen", r"\Deleted"}]
            say(("* SEARCH " + " ".join(found)).rstrip().encode())
            return
        mail = next((x for x in self.mails if x.uid == int(number)), None)
        if mail is None:
            return
        if command == "FETCH":
            asked = re.fullmatch(r"\(BODY\.PEEK\[\]<0\.(\d+)>\)", words)
            assert asked is not None
            part = mail.raw[: int(asked[1])]
            client.sendall(
                f"* {mail.uid} FETCH (UID {mail.uid} BODY[]<0> {{{len(part)}}}\r\n".encode() + part + b")\r\n"
            )
        else:
            flags = re.fullmatch(r"\+FLAGS\.SILENT \(([^)]*)\)", words)
            assert flags is not None
            mail.flags.update(flags[1].split())


class Pop3(Server):
    """What is deleted goes when the client says QUIT."""

    def _serve(self, client: socket.socket) -> None:
        file, starting = cast(BinaryIO, client.makefile("rb")), self._tls == "starttls"
        user, deleted, listed = "", set[int](), list(self.mails)
        client.sendall(b"+OK ready\r\n")
        while True:
            command, _, words = self._command(file).partition(" ")
            answer = b"+OK\r\n"
            match command:
                case "CAPA":
                    answer = b"+OK\r\nUSER\r\n" + (b"STLS\r\n" if starting else b"") + b".\r\n"
                case "STLS" if starting:
                    client.sendall(answer)
                    client = self._wrapped(client)
                    file, starting = cast(BinaryIO, client.makefile("rb")), False
                    continue
                case "USER" if not starting:
                    user = words
                case "PASS":
                    answer = b"+OK\r\n" if (user, words) == (USER, PASSWORD) else b"-ERR wrong\r\n"
                case "LIST":
                    rows = [f"{n} {len(x.raw)}\r\n" for n, x in enumerate(listed, 1)]
                    answer = ("+OK\r\n" + "".join(rows) + ".\r\n").encode()
                case "RETR":
                    raw = listed[int(words) - 1].raw
                    raw = raw if raw.endswith(b"\r\n") else raw + b"\r\n"
                    answer = b"+OK\r\n" + re.sub(rb"(?m)^\.", b"..", raw) + b".\r\n"
                case "DELE":
                    deleted.add(listed[int(words) - 1].uid)
                case "QUIT":
                    self.mails = [mail for mail in self.mails if mail.uid not in deleted]
                    client.sendall(answer)
                    return
                case _:
                    raise AssertionError(command)
            client.sendall(answer)
