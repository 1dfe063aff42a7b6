"""The mail that is written directly says what EmailMessage would say, whatever the texts are."""

import email
import re
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import parseaddr
from html import unescape
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reminders.clean import line
from reminders.mime import HEADERS, File, Unsafe, build, check

URL = "https://t.shop.example.com/u/abc"
DATE = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
HOSTILE = (
    "a\r\nBcc: eve@e.test", "a\rb\nc", "\n.\n", ".", "..\n.a\n", "=\0?x?=", "=?utf-8?q?M=0D=0AReply-To:_evil@e.test?=",
    "\0\x01\x1f\x7f\x85", "\u2028\u2029", "\u202egum\u202c", "\ud800\udfff", "👩\u200d👧" * 30, "ä" * 500, "x" * 5000,
    "李雷 買い物", "€ 1.234,56\xa0— “quoted” \"and\" \\back\\", "From me\nFrom you", "=_a=_m=_r", "--=_a",
    "t \t \n x ", "\t", " ", "", "\r", "=", "=3D", "=\n", "\ufeffbom", "<a@b.example>", "a, b; c: d <e>", "(note)",
    '"', "\\", "=\u037e",
)  # fmt: skip
texts = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(), max_size=200), st.text("aé€=_ \t\n\r.-?", max_size=400)
)


def mail(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "sender": ("Shop", "carts@shop.example.com"), "to": "ana@example.com", "subject": "Your cart",
        "text": "Hello\n", "html": "<p>Hello</p>", "date": DATE,
        "message_id": "<plan-1@shop.example.com>", "unsubscribe_url": URL,
    }  # fmt: skip
    return build(**(values | changes))


def read(wire: bytes) -> EmailMessage:
    """What a mail program reads, with nothing about it that is not as it should be."""
    message = email.message_from_bytes(wire, policy=default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
        assert [value.defects for value in part.values()] == [()] * len(part)  # type: ignore[attr-defined]
    return message


def as_text(text: str) -> str:
    """A text with its line ends made one kind, as every mail's are, and what is no character replaced."""
    plain = re.sub(r"\r\n?", "\n", text).encode("utf-8", "replace").decode()
    return plain if plain.endswith("\n") else plain + "\n"


def mailbox(wire: bytes) -> tuple[str, str]:
    """Name and address of From; the newer parser leaves a gap between encoded words of a name, RFC 2047 none."""
    name, address = parseaddr(email.message_from_bytes(wire)["From"])
    return str(make_header(decode_header(name))), address


def content(part: Any) -> str:
    """The text of a part, as mail programs hand it on."""
    return str(part.get_content()).replace("\r\n", "\n")


def by_email_message(name: str, subject: str, text: str, html: str) -> EmailMessage:
    """The same mail as the standard library makes it."""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"] = Address(line(name, 100), addr_spec="carts@shop.example.com")
    message["To"] = Address(addr_spec="ana@example.com")
    message["Subject"] = line(subject, 200)
    message["Date"] = DATE
    message.set_content(as_text(text), cte="base64")
    message.add_alternative(as_text(html), subtype="html", cte="base64")
    return message


@settings(max_examples=600, deadline=None)
@given(texts, texts, texts, texts)
@example(HOSTILE[5], HOSTILE[5], HOSTILE[5], HOSTILE[5])
def test_any_texts_are_read_as_email_message_writes_them(name: str, subject: str, text: str, html: str) -> None:
    wire = mail(sender=(name, "carts@shop.example.com"), subject=subject, text=text, html=html)
    message, other = read(wire), by_email_message(name, subject, text, html)
    assert sorted(x.lower() for x in message) == sorted(HEADERS)
    for header in ("To", "Date"):
        assert message[header] == other[header]
    assert str(message["Subject"]) == line(subject, 200)
    assert mailbox(wire) == (line(name, 100), "carts@shop.example.com")
    assert [part.get_content_type() for part in message.walk()] == [part.get_content_type() for part in other.walk()]
    for ours, theirs in zip(message.iter_parts(), other.iter_parts(), strict=True):
        means = unescape if ours.get_content_subtype() == "html" else str
        assert means(content(ours)) == means(content(theirs))


@settings(max_examples=300, deadline=None)
@given(texts, texts, texts)
def test_any_texts_keep_to_the_lengths_and_characters_of_the_wire(name: str, subject: str, text: str) -> None:
    wire = mail(sender=(name, "carts@shop.example.com"), subject=subject, text=text, html=text)
    assert wire.isascii()
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|[\0\x01-\x08\x0b\x0c\x0e-\x1f\x7f]", wire)
    rows = wire.split(b"\r\n")
    assert max(map(len, rows)) <= 998
    assert all(len(row) <= 76 for row in rows if b"=?utf-8?" in row)  # RFC 2047
    assert all(len(row) <= 998 for row in rows)
    for word in re.findall(rb"=\?utf-8\?b\?[^?]*\?=", wire):
        assert len(word) <= 75


@settings(max_examples=300, deadline=None)
@given(texts, st.binary(max_size=300), texts)
def test_any_file_arrives_as_it_was(name: str, raw: bytes, text: str) -> None:
    files = [File(name, "application/pdf", raw), File("a.png", "image/png", raw, "logo.1@shop.example.com")]
    message = read(mail(text=text, html=text, files=files, unsubscribe_url=None))
    kinds = [part.get_content_type() for part in message.walk()]
    assert kinds == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
        "application/pdf",
    ]  # fmt: skip
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == re.sub(r'[/\\:*?"<>|]', "_", line(name, 100) or "file")
    assert attached.get_content() == raw  # type: ignore[attr-defined]
    picture = next(part for part in message.walk() if part.get_content_type() == "image/png")
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<logo.1@shop.example.com>", "inline")
    assert picture.get_payload(decode=True) == raw
    body = message.get_body(("plain",))
    assert body is not None
    assert content(body) == as_text(text)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("Hello\n.\n", "7bit"), ("x" * 998, "7bit"), ("x" * 999, "quoted-printable"),
        ("Viele Grüße\n", "quoted-printable"),
        ("李雷 買い物", "base64"), ("a\0b", "quoted-printable"), ("From me", "quoted-printable"),
        ("=_", "quoted-printable"),
    ],
)  # fmt: skip
def test_each_text_is_written_in_what_suits_it(text: str, how: str) -> None:
    plain = next(part for part in read(mail(text=text)).iter_parts())
    assert plain["Content-Transfer-Encoding"] == how
    assert content(plain) == as_text(text)


def test_no_line_of_encoded_content_is_longer_than_76() -> None:
    for text in ("ä" + "x" * 3000, "李" * 3000):
        part = mail(text=text).split(b"\r\n\r\n")[2].partition(b"\r\n--")[0]
        assert max(map(len, part.split(b"\r\n"))) <= 76


def test_a_boundary_can_not_be_in_a_part() -> None:
    boundary = re.search(rb'boundary="([^"]+)"', mail())[1].decode()  # type: ignore[index]
    text = f"--{boundary}\nContent-Type: text/html\n\n<script>\n--{boundary}--\n"
    message = read(mail(text=text, html=text))
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [content(part) for part in message.iter_parts()] == [text, text]


def test_the_same_mail_is_written_the_same_way_twice() -> None:
    assert mail(text="ä") == mail(text="ä")


def test_a_date_keeps_its_zone() -> None:
    date = datetime(2026, 11, 23, 10, 15, tzinfo=timezone(timedelta(hours=-3)))
    assert read(mail(date=date))["Date"].datetime == date


@pytest.mark.parametrize("kind", ["multipart/mixed", "message/rfc822", "text/html; x=y", "a\r\nb", "", "TEXT", "a/b/c"])
def test_a_type_that_is_none_or_holds_mails_becomes_plain_bytes(kind: str) -> None:
    (attached,) = read(mail(files=[File("a", kind, b"x")])).iter_attachments()
    assert attached.get_content_type() == "application/octet-stream"


@pytest.mark.parametrize("cid", ["", "a", "a@b>\r\nX: y", "a b@c.example"])
def test_a_picture_without_a_proper_id_makes_no_mail(cid: str) -> None:
    with pytest.raises(Unsafe, match="Content-ID"):
        mail(files=[File("a.png", "image/png", b"x", cid)])


@pytest.mark.parametrize("message_id", ["", "a@b", "<a>", "<a@b>\r\nX: y", "<a b@c>", "<=?x?=@c>"])
def test_a_message_id_that_is_none_makes_no_mail(message_id: str) -> None:
    with pytest.raises(Unsafe, match="Message-ID"):
        mail(message_id=message_id)


@pytest.mark.parametrize(
    "url", ["", "javascript:x", "https://a>\r\nX: y", "https://ä.example", "https://a b", "mailto:a@b"]
)
def test_an_unsubscribe_address_that_is_none_makes_no_mail(url: str) -> None:
    with pytest.raises(Unsafe, match="unsubscribe"):
        mail(unsubscribe_url=url)


def test_a_mail_nobody_subscribes_to_has_no_way_out_and_no_other_header() -> None:
    wire = mail(unsubscribe_url=None)
    assert "List-Unsubscribe" not in read(wire)
    with pytest.raises(Unsafe):
        check(wire, URL)
    with pytest.raises(Unsafe):
        check(mail(), None)


@pytest.mark.parametrize(
    ("html", "as_references"),
    [
        ("<p>12,50 €</p>" + "<p>x</p>" * 20, True),
        ("<style>p::before { content: '€' }</style>" + "<p>x</p>" * 20, False),
        ("<script>'€'</script>" + "<p>x</p>" * 20, False),
        ("<!-- € -->" + "<p>x</p>" * 20, False),
        ("<p>\x85</p>" + "<p>x</p>" * 20, False),
        ("<p>Здравейте</p>", False),
        ("<p>\ud800</p>" + "<p>x</p>" * 20, False),
    ],
)
def test_a_few_letters_of_html_become_references_where_they_mean_the_same(html: str, as_references: bool) -> None:
    part = read(mail(html=html)).get_body(("html",))
    assert part is not None
    assert ("&#8364;" in content(part)) == as_references
    assert unescape(content(part)) == unescape(as_text(html))
