"""The local mailbox keeps every accepted mail, and shows hostile ones harmlessly."""

import asyncio
import errno
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from local_probes import alive, free_port

from local import mailbox
from tests.patience import until

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'


class Box:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.port, self.web_port = data_dir, free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        argv = ["-m", "local.mailbox", "--data-dir", str(data_dir), "--port", str(self.port)]
        self.process = subprocess.Popen([sys.executable, *argv, "--web-port", str(self.web_port)])
        until(lambda: mailbox.answers(self.port) or self.process.poll() is not None)

    def send(self, mail: EmailMessage | bytes) -> str:
        """Hand over a mail; the name it is stored under."""
        content = mail if isinstance(mail, bytes) else mail.as_bytes()
        with smtplib.SMTP("127.0.0.1", self.port) as smtp:
            smtp.ehlo()
            smtp.mail("shop@example.com")
            smtp.rcpt("ann@example.com")
            code, answer = smtp.data(content)
        assert code == 250, answer
        return answer.decode().rpartition(" ")[2] + ".eml"

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    started = Box(tmp_path_factory.mktemp("mailbox"))
    yield started
    started.stop()
    assert not alive(started.process.pid)


def a_mail(subject: str = "Your cart", html: str | None = None) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Shop <shop@example.com>", "Ann <ann@example.com>", subject
    mail.set_content("Plain words")
    if html is not None:
        mail.add_alternative(html, subtype="html")
    return mail


def test_accepted_mail_is_a_whole_file_with_its_envelope(box: Box) -> None:
    name = box.send(a_mail("Stored"))
    assert [path.name for path in mailbox.mails(box.data_dir)][-1] == name
    stored = mailbox.parse(mailbox.folder(box.data_dir) / name)
    assert (stored["Subject"], stored["Delivered-To"]) == ("Stored", "ann@example.com")
    assert not list(mailbox.folder(box.data_dir).glob("*.partial"))


def test_list_shows_the_newest_first(box: Box) -> None:
    box.send(a_mail("First one"))
    box.send(a_mail("Second one"))
    page = httpx.get(box.url).text
    assert 0 < page.index("Second one") < page.index("First one")
    assert "Ann &lt;ann@example.com&gt;" in page


def test_hostile_subject_and_headers_are_text(box: Box) -> None:
    mail = a_mail(HOSTILE)
    mail["X-Evil"] = HOSTILE
    name = box.send(mail)
    for path in ("/", f"/{name}"):
        answer = httpx.get(box.url + path)
        assert "<script" not in answer.text
        assert "<img" not in answer.text
        assert "&lt;script&gt;" in answer.text
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_html_part_is_framed_without_scripts_or_origin(box: Box) -> None:
    name = box.send(a_mail("Framed", html="<p>Hi</p>" + HOSTILE))
    page = httpx.get(f"{box.url}/{name}").text
    assert f'src="/{name}/html"' in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    part = httpx.get(f"{box.url}/{name}/html")
    policy = part.headers["Content-Security-Policy"]
    assert part.text.startswith('<!doctype html><base target="_blank"><p>Hi</p>')
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy


def test_source_is_downloaded_as_it_came(box: Box) -> None:
    name = box.send(a_mail("Source"))
    answer = httpx.get(f"{box.url}/{name}/source")
    assert answer.content == (mailbox.folder(box.data_dir) / name).read_bytes()
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no header at all",
        b"Subject: =?utf-8?q?Mug=0D=0AReply-To:_evil@e.test?=\r\n\r\nx",
        b"Subject: =?no-such-charset?b?////?=\r\nFrom: @@<<>>\r\nTo: ,,;:\r\n\r\nx",
        b"Content-Type: text/html; charset=no-such-charset\r\n\r\n\xff\xfe<b>\x00",
        b"Content-Type: multipart/mixed\r\n\r\n--\r\n",
        b"Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\nContent-Type: text/html\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\r\n!!!!",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: message/rfc822\r\n\r\n" * 50,
        b"Date: \xff\r\nTo: \xe2\x80\xae\x00\r\n\r\nx",
        b"Content-Type: text/plain; charset*=x'y'%FF\r\nContent-Disposition: =?x?\r\n\r\nx",
    ],
)
def test_broken_mails_are_shown_too(box: Box, content: bytes) -> None:
    name = box.send(content)
    for path in ("/", f"/{name}", f"/{name}/source"):
        assert httpx.get(box.url + path).status_code == 200, path
    assert httpx.get(f"{box.url}/{name}/html").status_code in (200, 404)


@pytest.mark.parametrize("name", ["lock", "..%2Fclickhouse.password", "nothing.eml", "%00", "x" * 500])
def test_only_mails_are_served(box: Box, name: str) -> None:
    for path in (f"/{name}", f"/{name}/html", f"/{name}/source"):
        assert httpx.get(box.url + path).status_code == 404


def test_page_is_not_read_through_a_foreign_name(box: Box) -> None:
    assert httpx.get(box.url, headers={"Host": "evil.example"}).status_code == 400


def test_too_large_a_mail_is_refused_and_smtputf8_taken(box: Box) -> None:
    with smtplib.SMTP("127.0.0.1", box.port) as smtp:
        smtp.ehlo()
        assert smtp.has_extn("smtputf8")
        assert smtp.esmtp_features["size"] == str(mailbox.SIZE_LIMIT)
        assert smtp.mail("a@example.com", [f"SIZE={mailbox.SIZE_LIMIT + 1}"])[0] == 552
        smtp.mail("änn@exämple.com", ["SMTPUTF8"])
        smtp.rcpt("bób@example.com")
        assert smtp.data("Subject: é\r\n\r\nx".encode())[0] == 250


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "452"), (errno.EDQUOT, "452"), (errno.EIO, "451")])
def test_full_disk_asks_the_sender_to_come_back(tmp_path: Path, number: int, code: str) -> None:
    def full(_: Path, __: bytes) -> Path:
        raise OSError(number, "no")

    envelope = SimpleNamespace(mail_from="a@b", rcpt_tos=["c@d"], content=b"x")
    answer = asyncio.run(mailbox.Receiver(tmp_path, full).handle_DATA(None, None, envelope))
    assert answer.startswith(code)


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        mailbox.store(tmp_path / "missing", b"x")
    assert list(tmp_path.iterdir()) == []
