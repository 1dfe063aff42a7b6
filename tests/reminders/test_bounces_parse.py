"""What a mail that came back is taken for: reports as servers write them, and bytes that nobody should send."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.bounces.mail import MOST_BYTES, MOST_DEPTH, MOST_HEADERS, MOST_PARTS, Part, fields_of, read
from reminders.bounces.parse import Verdict, addresses, classify
from reminders.bounces.status import judge
from tests.reminders.returned import ORIGINAL, RETURN_PATH, complaint, mail, multipart, report

GMAIL = """Delivery to the following recipient failed permanently:

     ana@example.com

The error that the other server returned was:
{answer}

----- Original message -----

Received: by mx.example.net; 550 5.7.1 is not said here
Subject: Your cart

Hello
"""
QMAIL = """Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<ana@example.com>:
{answer}

--- Below this line is a copy of the message.

Return-Path: <carts@example.com>
"""
EXIM = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  ana@example.com
    SMTP error from remote mail server {step}:
    host mx.example.com [192.0.2.20]: {answer}

------ This is a copy of the message, including all the headers. ------

Return-path: <carts@example.com>
"""
OPENSMTPD = """    Hi!

    This is the MAILER-DAEMON, please DO NOT REPLY to this e-mail.

    An error has occurred while attempting to deliver a message for
    the following list of recipients:

ana@example.com: {answer}

    Below is a copy of the original message:

Received: from mx.example.net
"""
YAHOO = """Sorry, we were unable to deliver your message to the following address.

<ana@example.com>:
Remote host said: {answer} [RCPT_TO]

--- Below this line is a copy of the message.
"""


def gmail(answer: str) -> bytes:
    subject = "Subject: Delivery Status Notification (Failure)"
    return mail(GMAIL.format(answer=answer), "X-Failed-Recipients: ana@example.com", subject)


def qmail(answer: str) -> bytes:
    return mail(QMAIL.format(answer=answer), "Received: (qmail 1 invoked for bounce)", "Subject: failure notice")


def exim(answer: str, step: str = "after RCPT TO:<ana@example.com>") -> bytes:
    subject = "Subject: Mail delivery failed: returning message to sender"
    body = EXIM.format(answer=answer, step=step)
    return mail(body, "X-Failed-Recipients: ana@example.com", "Auto-Submitted: auto-replied", subject)


def kind_of(raw: bytes) -> str:
    return classify(raw).kind


# -- delivery reports --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        ("5.1.1", "550 5.1.1 <ana@example.com>: User unknown", "hard"),
        ("5.1.1", "", "hard"),
        ("5.1.2", "550 5.1.2 Host unknown", "hard"),
        ("5.1.10", "556 5.1.10 Recipient address has null MX", "hard"),
        ("5.1.6", "550 5.1.6 Moved, no forwarding address", "hard"),
        ("5.1.0", "550 5.1.0 192.0.2.1 is not allowed to send per its SPF record", "soft"),
        ("5.1.0", "550 5.1.0 Unknown user", "hard"),
        ("5.1.8", "553 5.1.8 Domain of sender address carts@example.com does not exist", "soft"),
        ("5.1.7", "553 5.1.7 Bad sender address", "soft"),
        ("5.2.1", "550 5.2.1 The account is disabled", "soft"),
        ("5.2.2", "552 5.2.2 Mailbox full", "soft"),
        ("5.3.0", "550 5.3.0 Unknown user", "soft"),
        ("5.6.9", "550 5.6.9 8-bit data in a header", "soft"),
        ("5.7.1", "550 5.7.1 User unknown, or your network is blocked", "soft"),
        ("4.4.1", "connect to mx.example.com[192.0.2.1]: Connection timed out", "soft"),
        ("4.1.1", "450 4.1.1 User unknown", "soft"),
        ("5.0.0", "550 Unknown user ana@example.com", "hard"),
        ("5.0.0", "554 Mail rejected for policy reasons", "soft"),
        ("5.0.0", "550 no", "soft"),
        ("5.0.0 (permanent failure)", "5.3.0 - Other mail system problem 550-'Unknown user'", "soft"),
        # the reporter translates any 550 into 5.1.1; the answer speaks of us
        ("5.1.1", "550 Blocked, see the block list at dnsbl.example.org", "soft"),
        ("5.1.1", "550 5.7.1 Spam", "soft"),
        ("5.1.1", "550 5.1.1 <spam.filter@example.com>: User unknown", "hard"),
        ("5.5.0", "550 <blocked-sender@example.com>: no such user", "hard"),
        ("", "550 5.1.1 User unknown", "hard"),
        ("nonsense", "nonsense", "soft"),
        ("2.0.0", "250 2.0.0 OK", "none"),
    ],
)
def test_a_delivery_report_is_hard_only_when_the_address_is_dead(status: str, answer: str, kind: str) -> None:
    assert kind_of(report(status, answer)) == kind


def test_the_verdict_tells_the_code_and_the_servers_words_on_one_line() -> None:
    found = classify(report("5.1.1", "550 5.1.1 User\n unknown\u202e =?utf-8?q?x?="))
    assert found == Verdict("hard", "550 5.1.1 User unknown = ?utf-8?q?x?=", "5.1.1")


def test_an_address_that_was_refused_only_after_the_content_was_accepted_before() -> None:
    notice = "<ana@example.com>: host mx said:\n    550 Unknown user (in reply to end of DATA\n    command)"
    assert kind_of(report("5.0.0", "550 Unknown user", notice=notice)) == "soft"


def test_words_of_the_notice_count_where_the_fields_say_nothing() -> None:
    assert kind_of(report("5.5.0", "", notice="mail.local: unknown user: ana")) == "hard"


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded", "delayed", "Delivered (to mailing list)"])
def test_what_arrived_or_is_still_tried_is_no_bounce(action: str) -> None:
    assert kind_of(report("4.4.7", "450 4.4.7 later", action=action)) == "none"


def test_an_address_with_several_people_behind_it_is_dead_only_when_all_are() -> None:
    dead = "Final-Recipient: rfc822; b@example.com\nAction: failed\nStatus: 5.1.1\n\n"
    alive = "Final-Recipient: rfc822; c@example.com\nAction: relayed\nStatus: 2.1.5\n\n"
    full = "Final-Recipient: rfc822; d@example.com\nAction: failed\nStatus: 5.2.2\n\n"
    assert kind_of(report(also=dead)) == "hard"
    assert kind_of(report(also=dead + alive)) == "soft"
    assert kind_of(report(also=dead + full)) == "soft"


def test_a_report_whose_parts_can_not_be_told_apart_is_read_all_the_same() -> None:
    body = (
        "   ----- Transcript of session follows -----\nmail.local: unknown user: ana\n\n"
        "Reporting-MTA: dns; mx.example.net\n\nFinal-Recipient: RFC822; <ana@example.com>\nAction: failed\n"
        "Status: 5.5.0\n\nReturn-Path: <carts@example.com>\nSubject: Your cart\n"
    )
    content_type = 'Content-Type: multipart/report; report-type=delivery-status; boundary="never"'
    found = classify(mail(body, content_type))
    assert (found.kind, found.status) == ("hard", "5.5.0")


def test_a_report_without_its_last_boundary_or_with_the_original_as_a_header_is_read() -> None:
    group = "Final-Recipient: rfc822; ana@example.com\nAction: failed\nStatus: 5.1.1\n"
    parts = (
        "Content-Type: multipart/alternative; boundary=other\n\n--other\n\nText\n--other--",
        f"content-type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n{group}",
        "Content-Type: text/rfc822-headers\n\nSubject: Your cart\n",
    )
    body, content_type = multipart(*parts, end="")
    assert kind_of(mail(body, content_type)) == "hard"


def test_a_report_within_another_mail_is_none() -> None:
    inside = report().decode().replace("\r\n", "\n").replace("=_b", "=_inner")
    body, content_type = multipart("\nlook at this", f"Content-Type: message/rfc822\n\n{inside}", kind="mixed")
    assert kind_of(mail(body, content_type, sent_by="Bob <bob@example.com>")) == "none"


# -- reports in words --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (gmail("550 5.1.1 <ana@example.com>... User Unknown"), "hard"),
        (gmail("554 554 5.7.1 Service unavailable; Client host blocked"), "soft"),
        (qmail("Sorry, no SMTP connection got far enough; remote host said: 550 Unknown user\n. (#5.5.0)"), "hard"),
        (qmail("Connected but my name was rejected.\nRemote host said: 501 5.0.0 Invalid domain name"), "soft"),
        (qmail("I couldn't find any host named example.invalid. (#5.1.2)"), "hard"),
        (exim("550 5.7.0 Please use the smtp server of your ISP", "after MAIL FROM:<x@example.com>"), "soft"),
        (exim("554 5.7.0 Header error", "after end of data"), "soft"),
        (exim("550 Unknown user", "after end of data"), "soft"),
        (exim("550 Unknown user"), "hard"),
        (exim("450 Unknown user"), "soft"),
        (mail(OPENSMTPD.format(answer="550 5.1.1 gsmtp"), "Subject: Delivery status notification: error"), "hard"),
        (mail(YAHOO.format(answer="550 5.2.2 Mailbox Full"), "Subject: Failure Notice"), "soft"),
        (mail("Nothing that anybody could read.", "Subject: Undeliverable: Your cart"), "soft"),
        (mail("It was delayed, then: 550 5.1.1 User unknown", "Subject: Undeliverable mail"), "hard"),
        (mail("Your message is delayed: 450 4.4.1 timeout", "Subject: Undeliverable for now"), "none"),
        (mail("Your message is delayed; you do not need to resend it.", "Subject: Warning: failure notice"), "none"),
    ],
)
def test_a_report_in_words_is_judged_by_the_codes_in_it(raw: bytes, kind: str) -> None:
    assert kind_of(raw) == kind


def test_codes_of_the_returned_mail_are_not_the_servers() -> None:
    assert classify(gmail("550 5.1.1 User unknown")).status == "5.1.1"


def test_a_mail_of_a_person_that_quotes_a_bounce_is_none() -> None:
    quoted = "> " + GMAIL.format(answer="550 5.1.1 User unknown").replace("\n", "\n> ")
    assert kind_of(mail(quoted, "Subject: Re: delivery failed?", sent_by="Bob <bob@example.com>")) == "none"


# -- complaints and wishes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        ("abuse", "complaint"), ("ABUSE", "complaint"), ("fraud", "complaint"), ("other", "complaint"),
        ("never-heard-of", "complaint"), ("", "complaint"), ("opt-out", "opt-out"), ("auth-failure", "auth-failure"),
        ("not-spam", "none"), ("virus", "none"),
    ],
)  # fmt: skip
def test_a_feedback_report_is_a_complaint_unless_it_says_otherwise(stated: str, kind: str) -> None:
    assert kind_of(complaint(stated)) == kind


def test_the_older_complaint_of_outlook_is_one_and_its_subject_alone_is_none() -> None:
    subject = "Subject:  complaint about message from 192.0.2.1"
    for header, kind in (("X-HmXmrOriginalRecipient: ana@example.com\n", "complaint"), ("", "none")):
        original = f"Content-Type: message/rfc822\n\n{header}{ORIGINAL}"
        body, content_type = multipart(original, kind="mixed")
        assert kind_of(mail(body, subject, content_type, sent_by="staff@hotmail.com")) == kind


def test_a_wish_of_apple_mail_is_no_automatic_answer() -> None:
    more = ("Auto-Submitted: auto-replied", "X-Apple-Unsubscribe: true", "Subject: unsubscribe")
    assert kind_of(mail("Apple Mail sent this.", *more, sent_by="ana@example.com")) == "opt-out"


# -- what is no report -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "header",
    [
        "Auto-Submitted: auto-replied (vacation)", "X-Autoreply: yes", "Precedence: auto_reply",
        "X-Auto-Response-Suppress: All", "Subject: Automatic reply: Your cart", "Subject: Out of office",
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=x",
    ],
)  # fmt: skip
def test_an_automatic_answer_is_no_bounce_though_it_comes_without_a_sender(header: str) -> None:
    raw = mail("I am away. Call 550 5.1.1 if it burns.", header, sent_by="Ana <ana@example.com>")
    assert kind_of(raw) == "auto-reply"


@pytest.mark.parametrize(
    "raw", [b"", b"\0", b"\xff\xfe", b"\r\n\r\n", b"hello", b":", b"From ", b"--", b"Auto-Submitted: no"]
)
def test_what_says_nothing_means_nothing(raw: bytes) -> None:
    assert kind_of(raw) == "none"


def test_a_mail_from_a_mailbox_file_is_read_without_its_first_line() -> None:
    assert kind_of(b"From MAILER-DAEMON  Mon Nov 23 10:00:00 2026\n" + report()) == "hard"


# -- where a token may stand -------------------------------------------------------------------------------------
def test_only_a_complaint_is_looked_for_in_the_mail_it_returns() -> None:
    stranger = "nobody@example.com"
    assert RETURN_PATH not in " ".join(addresses(read(report(to=stranger)), "hard"))
    assert RETURN_PATH in " ".join(addresses(read(complaint()), "complaint"))


def test_what_the_delivering_server_noted_comes_before_what_the_sender_wrote() -> None:
    raw = b"X-Original-To: noted@example.com\r\nDelivered-To: too@example.com\r\n" + report(to="written@example.com")
    assert addresses(read(raw), "hard") == ("noted@example.com", "too@example.com", "<written@example.com>")


def test_the_addresses_of_a_mail_are_few_whatever_it_holds() -> None:
    raw = b"".join(b"Delivered-To: x@example.com\r\n" for _ in range(10_000)) + report()
    assert len(addresses(read(raw), "hard")) == 60


# -- hostile mails -----------------------------------------------------------------------------------------------
def nested(depth: int) -> bytes:
    """Multiparts in one another, the report at the bottom."""
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth))
    return head + b"Content-Type: message/delivery-status\n\nAction: failed\nStatus: 5.1.1\n"


def depth_of(part: Part) -> int:
    return 1 + max((depth_of(inner) for inner in part.parts), default=0)


def count_of(part: Part) -> int:
    return 1 + sum(count_of(inner) for inner in part.parts)


def test_a_mail_is_taken_apart_to_a_depth_and_no_further() -> None:
    assert depth_of(read(nested(2))) == 3
    for raw in (nested(50_000), b"Content-Type: message/rfc822\n\n" * 10_000):
        assert depth_of(read(raw)) == MOST_DEPTH + 1
        assert kind_of(raw) == "none"


def test_a_mail_is_taken_apart_into_so_many_parts_and_no_more() -> None:
    body, content_type = multipart(*["\nx"] * 5_000)
    assert count_of(read(mail(body, content_type))) <= MOST_PARTS + 1
    tree = "Content-Type: multipart/mixed; boundary=c\n\n" + "--c\n\nx\n" * 30
    body, content_type = multipart(*[tree] * 30)
    assert count_of(read(mail(body, content_type))) <= MOST_PARTS + 1
    body, content_type = multipart(*["Content-Type: message/rfc822\n\nSubject: x\n"] * MOST_PARTS)
    assert count_of(read(mail(body, content_type))) <= MOST_PARTS + 1


def test_a_header_may_have_so_many_fields_and_each_so_many_characters() -> None:
    many = fields_of("x: y\n" * 100_000)
    assert len(many) == MOST_HEADERS
    ((_, value),) = fields_of("x: " + "y" * 100_000 + "\n z" * 100_000)
    assert len(value) == 4_000


def test_what_lies_behind_the_bound_is_not_read() -> None:
    behind = b"X: y\n\n" + b"\n" * MOST_BYTES + report()
    assert len(read(behind).text) <= MOST_BYTES
    long = report() + b"x" * 50_000_000
    assert kind_of(long) == "hard"


@pytest.mark.parametrize(
    "charset", ["unicode-1-1-utf-7", "zip", "punycode", "unicode_escape", "no-such", "utf-16", "\0"]
)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "7bit", "x-unknown", "\0"])
def test_neither_charset_nor_encoding_can_hurt(charset: str, encoding: str) -> None:
    head = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}"
    part = head + "\n\n0000=ZZ==\\N{x}+AAA-\xff\n"
    body, content_type = multipart(part, "Content-Type: message/delivery-status\n\nAction: failed\nStatus: 5.2.2\n")
    assert kind_of(mail(body, content_type)) == "soft"


def test_base64_that_is_none_is_no_text() -> None:
    assert read(b"Content-Transfer-Encoding: base64\n\nA").text == ""


def test_a_report_in_base64_is_read() -> None:
    part = "Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n"
    body, content_type = multipart(part + "QWN0aW9uOiBmYWlsZWQKU3RhdHVzOiA1LjEuMQo=\n")
    assert kind_of(mail(body, content_type)) == "hard"


@given(st.binary(max_size=3_000))
def test_any_bytes_get_an_answer(raw: bytes) -> None:
    assert classify(raw).words


@given(st.randoms(use_true_random=False), st.sampled_from([report(), complaint(), gmail("550 5.1.1 x"), qmail("x")]))
def test_a_report_with_anything_wrong_in_it_gets_an_answer(dice: random.Random, raw: bytes) -> None:
    broken = bytearray(raw)
    for _ in range(dice.randrange(1, 12)):
        at = dice.randrange(len(broken))
        match dice.randrange(3):
            case 0:
                del broken[at : at + dice.randrange(1, 40)]
            case 1:
                broken[at:at] = dice.choice([b"\0", b"\r\n", b"\n\n", b"--=_b\n", b"\xff", b": ", b";" * 300, b'"'])
            case _:
                broken[at] = dice.randrange(256)
        if not broken:
            break
    found = classify(bytes(broken))
    assert "\n" not in found.words
    assert len(found.words) <= 300


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_any_answer_is_judged(status: str, answer: str, notice: str) -> None:
    assert judge(status=status, answer=answer, notice=notice).kind in ("hard", "soft", "none")


@pytest.mark.parametrize(
    "answer", ["address 5.1.1.4 refused", "version 15.1.1.7", "x5.1.1 no", "4.5.1.1", "550 no reason", "5.1.1x"]
)
def test_an_address_or_a_version_is_no_code(answer: str) -> None:
    assert judge(answer=answer).kind == "soft"


def test_when_an_answer_has_several_codes_one_that_speaks_for_the_address_is_enough() -> None:
    assert judge(answer="550 5.1.1 unknown; 550 5.2.1 disabled").kind == "soft"
    assert judge(answer="550 5.1.1 unknown; 550 5.1.2 no host").kind == "hard"
