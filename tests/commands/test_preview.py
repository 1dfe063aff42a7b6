"""`cartwake preview`: a mail before anybody gets it."""

import email
import json
from email.policy import default
from pathlib import Path

from click.testing import CliRunner, Result

from cartwake.commands.preview import command
from cartwake.errors import ConfigurationError, Rejected
from local import mailbox
from tests.conftest import free_port


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


def _error(said: Result) -> BaseException:
    assert said.exception is not None
    return said.exception
