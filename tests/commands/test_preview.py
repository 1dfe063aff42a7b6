"""`cartwake preview`: a message before anybody gets it."""

import email
import json
from email.policy import default
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from cartwake.commands.preview import command
from cartwake.errors import ConfigurationError, Rejected
from cartwake.settings import Settings
from local import mailbox, phone
from local.stack import embedded
from tests.conftest import free_port
from tests.patience import until


def preview(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(command, words, env=environment)


def draft(folder: Path, **parts: str) -> str:
    file = folder / "draft.json"
    file.write_text(json.dumps(parts))
    return str(file)


def test_the_text_is_shown_in_the_language_asked_for() -> None:
    said = preview("--template", "payment", "--locale", "pl")
    assert said.stdout.startswith("Subject: Rabat na Twoje zamówienie: Blue shirt i jeszcze 1 produkt\n\nOur shop\n")
    assert "made whatever is not known" in said.stderr
    assert "the shop has not set shop.postal_address" in said.stderr


def test_the_kind_of_file_follows_from_its_name(tmp_path: Path) -> None:
    for name, begin in (("a.html", b"<!DOCTYPE html>"), ("a.eml", b"From: "), ("a.txt", b"Our shop\n")):
        preview("--out", str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(begin)
    assert "Example: --out mail.html" in str(_error(preview("--out", str(tmp_path / "a.pdf"))))


def test_what_a_draft_can_not_do_without_is_named(tmp_path: Path) -> None:
    source = (
        "{{ name }} {{ items[0].price }} {% if gift %}{{ gift.code }}{% endif %} {{ shop.postal_address|default('') }}"
    )
    source += "\n{{ unsubscribe_url }}"
    said = preview("--template", "vip", "--draft", draft(tmp_path, text=source))
    assert "held where one of these is not known: name, item.price" in said.stderr
    assert "Ana €19.99 SAMPLE-7K2P" in said.stdout


def test_a_wrong_draft_is_refused_with_its_line(tmp_path: Path) -> None:
    error = _error(preview("--draft", draft(tmp_path, html="a\n{% for x in y %}")))
    assert isinstance(error, ConfigurationError)
    assert "template:cart: html: line 2: " in str(error)
    error = _error(preview("--draft", draft(tmp_path, text="{{ gift.code }}{{ unsubscribe_url }}")))
    assert isinstance(error, Rejected)
    assert "(cart, text, line 1): gift is not known" in str(error)
    (tmp_path / "draft.json").write_text("{")
    assert "is no JSON" in str(_error(preview("--draft", str(tmp_path / "draft.json"))))


def test_nobody_is_in_it(tmp_path: Path) -> None:
    preview("--template", "payment", "--out", str(tmp_path / "a.eml"))
    message = email.message_from_bytes((tmp_path / "a.eml").read_bytes(), policy=default)
    assert message["List-Unsubscribe"] == "<http://127.0.0.1:8001/u/test>"
    assert "/r/" not in str(message.get_body(("plain",)))
    assert "[Test]" not in message["Subject"]


def test_a_test_mail_is_marked_and_goes_to_the_address_given_alone(tmp_path: Path) -> None:
    environment = {"CARTWAKE_DATA_DIR": str(tmp_path), "CARTWAKE_MAILBOX_PORT": str(free_port(below=24_000))}
    said = preview("--send", "eve@example.com", "--locale", "de", **environment)
    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr.endswith("sent to eve@example.com\n")
    (mail,) = [mailbox.parse(path) for path in mailbox.mails(tmp_path)]
    assert mail["To"] == "eve@example.com"
    assert mail["Subject"] == "[Test] Noch in Ihrem Warenkorb: Blue shirt und 1 weiterer Artikel"


def test_a_relay_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    environment = {"CARTWAKE_DATA_DIR": str(tmp_path), "CARTWAKE_SMTP_HOST": "127.0.0.1", "CARTWAKE_SMTP_TLS": "none"}
    said = preview("--send", "eve@example.com", CARTWAKE_SMTP_PORT=str(free_port()), **environment)
    assert "not sent: the mail server" in str(_error(said))


# -- text messages --------------------------------------------------------------------------------------------------
SMS = {"CARTWAKE_SMS_SENDER": "+15005550006"}


def test_a_text_message_is_shown_with_its_length() -> None:
    said = preview("--channel", "sms", "--locale", "ro", **SMS)
    first, link, last = said.stdout.splitlines()
    assert first.startswith("Our shop: Buna ziua, Ana. Ati lasat Blue shirt si inca 1 in cos (88,98")
    assert link.startswith("https://shop.example.com/cart#")
    assert last == "Dezabonare: raspundeti STOP"
    assert said.stderr.endswith(" characters, 2 of 3 segments\nmade whatever is not known\n")
    assert said.stderr.startswith("GSM-7, 2")  # the link is as long as a real one


def test_letters_outside_the_alphabet_and_what_they_cost_are_named(tmp_path: Path) -> None:
    words = draft(tmp_path, text="Ж\U0001f6d2 {{ item.name }} {{ recovery_url }} {{ stop }}")
    said = preview("--channel", "sms", "--draft", words, **SMS)
    assert said.stderr.startswith("UCS-2, ")
    assert "not in the GSM alphabet: Ж\U0001f6d2 (a segment has 70 characters in place of 160)" in said.stderr


def test_what_a_text_message_loses_to_fit_is_said(tmp_path: Path) -> None:
    source = "{% if name %}{{ name }} " + "w" * 160 + "{% endif %}{{ gift.code }} {{ recovery_url }} {{ stop }}"
    said = preview("--channel", "sms", "--template", "vip", "--draft", draft(tmp_path, text=source),
                   CARTWAKE_SMS_SEGMENTS="2", **SMS)  # fmt: skip
    assert "shortened: with all of its values it has 3 segments" in said.stderr
    assert "held where one of these is not known: gift\n" in said.stderr
    assert "Ana" not in said.stdout


def test_a_text_message_that_can_not_fit_is_shown_with_a_warning_and_not_sent(tmp_path: Path) -> None:
    long = draft(tmp_path, text="w" * 500 + " {{ recovery_url }}")
    said = preview("--channel", "sms", "--draft", long, **SMS)
    assert (said.exit_code, said.stdout[:500]) == (0, "w" * 500)
    assert "warning: The message has 5 segments (gsm-7) at its shortest, and 3 are allowed" in said.stderr
    error = _error(preview("--channel", "sms", "--draft", long, "--send", "+40721234567", **SMS))
    assert isinstance(error, Rejected)
    assert "not sent: The message has 5 segments" in str(error)


def test_an_offer_without_a_place_in_the_template_is_named(tmp_path: Path) -> None:
    words = draft(tmp_path, text="{{ name }} {{ recovery_url }}")
    for template in ("cart", "payment"):
        said = preview("--channel", "sms", "--template", template, "--draft", words, **SMS)
        assert "held where the step has an offer: The message's template leaves out the link, or the " in said.stderr
        assert said.stderr.endswith("held where one of these is not known: name\n")
        assert "SAMPLE" not in said.stdout


@pytest.mark.parametrize(
    ("channel", "parts", "words"),
    [
        ("sms", {"text": "a\n{% for x in y %}"}, "sms-template:cart: text: line 2: "),
        ("sms", {"subject": "a"}, "sms-template:cart: Object contains unknown field"),
        ("push", {"body": "{{ b }}"}, "push-template:cart: body: line 1: `b` is not known"),
    ],
)
def test_a_wrong_draft_of_a_short_message_is_refused(
    tmp_path: Path, channel: str, parts: dict[str, str], words: str
) -> None:
    assert words in str(_error(preview("--channel", channel, "--draft", draft(tmp_path, **parts))))


def test_a_short_message_is_written_to_a_text_file(tmp_path: Path) -> None:
    preview("--channel", "push", "--out", str(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").read_text().startswith("Still thinking it over?\nBlue shirt and 1 more")
    assert "Example: --out sms.txt" in str(_error(preview("--channel", "sms", "--out", str(tmp_path / "a.html"))))


def test_what_can_not_be_sent_is_refused_with_what_to_do(tmp_path: Path) -> None:
    assert "CARTWAKE_SMS_PRESET=twilio" in str(_error(preview("--channel", "sms", "--send", "+40721234567")))
    assert "telephone number" in str(_error(preview("--channel", "sms", "--send", "112", **SMS)))
    (tmp_path / "no.json").write_text("[]")
    for file in (tmp_path / "no.json", tmp_path / "none.json", "x" * 5_000):
        assert "JSON.stringify(subscription)" in str(_error(preview("--channel", "push", "--send", str(file))))
    inside = {"endpoint": "https://127.0.0.1/x", "keys": {"p256dh": "A" * 87, "auth": "A" * 22}}
    (tmp_path / "inside.json").write_text(json.dumps(inside))
    assert "push address can't be used" in str(
        _error(preview("--channel", "push", "--send", f"{tmp_path}/inside.json"))
    )


# -- pushes ---------------------------------------------------------------------------------------------------------
def test_a_push_is_shown_with_its_lengths(tmp_path: Path) -> None:
    said = preview("--channel", "push", "--template", "payment", "--locale", "de")
    title, body = said.stdout.splitlines()
    assert (title, "SAMPLE-7K2P" in body) == ("Nur ein Schritt fehlte noch", True)
    assert said.stderr.startswith(f"title: 27 of 80 characters\nbody: {len(body)} of 360 characters\n")
    assert " of 3,000 bytes" in said.stderr
    long = preview("--channel", "push", "--draft", draft(tmp_path, title="{{ name }}" + "t" * 90))
    assert "warning: the title is cut at 80 of its 93 characters" in long.stderr
    assert "held where one of these is not known: name\n" in long.stderr
    assert long.stdout.partition("\n")[0] == "Ana" + "t" * 76 + "…"


def test_what_takes_the_place_of_a_push_can_be_looked_at(tmp_path: Path) -> None:
    file = draft(tmp_path, title="Thank you, {{ name }}")
    said = preview("--channel", "push", "--template", "thanks", "--draft", file)
    assert said.stdout == "Thank you, Ana\nOur shop has received it.\n"
    assert "held where one of these is not known: name\n" in said.stderr


# -- sent -----------------------------------------------------------------------------------------------------------
def test_tests_go_to_a_telephone_and_a_browser_in_the_shops_own_words(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, mailbox_port=free_port(below=24_000))
    environment = {
        "CARTWAKE_SMS_PRESET": "twilio", "CARTWAKE_SMS_ACCOUNT": "AC" + "0" * 32, "CARTWAKE_SMS_SECRET": "hunter2-2",
        "CARTWAKE_SMS_GATEWAY": settings.mailbox_url, "CARTWAKE_PUSH_ENDPOINTS": "any",
        "CARTWAKE_DATA_DIR": str(tmp_path), **SMS,
    }  # fmt: skip
    with embedded(settings, mailbox=True):
        until(lambda: _answers(settings.mailbox_url), "the page of the mailbox")
        browser = phone.browser(mailbox.folder(tmp_path), settings.mailbox_url)
        target = {"endpoint": browser.endpoint, "keys": {"p256dh": browser.p256dh, "auth": browser.auth}}
        (tmp_path / "browser.json").write_text(json.dumps(target | {"expirationTime": None}))
        words = draft(tmp_path, text="{{ name }}! {{ recovery_url }}")
        said = preview("--channel", "sms", "--draft", words, "--send", "+40 721 234 567", **environment)
        assert (said.exit_code, said.stdout) == (0, "")
        assert said.stderr.endswith("sent to +40 721 234 567\n")
        words = draft(tmp_path, title="{{ name }}!")
        said = preview("--channel", "push", "--draft", words, "--send", f"{tmp_path}/browser.json", **environment)
        assert said.stderr.endswith("browser.json\n")
    sms, push = sorted(
        (mailbox.parse(path) for path in mailbox.mails(tmp_path)), key=lambda x: str(x[phone.WAY]) != "sms"
    )
    assert sms["To"] == "+40721234567"
    text = str(sms.get_content()).split()
    assert (text[:2], text[3:]) == (["[Test]", "Ana!"], "Reply STOP to opt out".split())
    assert (push[phone.WAY], push["Subject"]) == ("push", "[Test] Ana!")
    assert "Blue shirt and 1 more" in str(push.get_content())


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _error(said: Result) -> BaseException:
    assert said.exception is not None
    return said.exception
