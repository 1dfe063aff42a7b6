"""How a gateway is asked, what its answers mean, and which settings are refused before anything is sent."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import ConfigurationError, MailUnavailable
from cartwake.settings import Settings, load
from reminders.outcomes import Failed, Sent, Uncertain
from reminders.sms.gateway import Gateway, gateway_of, judge, request, values_of
from tests.reminders.texts import ACCOUNT, NUMBER, SECRET, SENDER, generic, twilio, unhurried

JSON = {"json": {"to": "{to}", "text": "{text}", "meta": {"ref": ["{id}", 1, None]}, "empty": "{callback}"}}
FORM = {"form": {"to": "{to}", "body": "{text}", "hook": "{callback}"}}
HOSTILE = 'a"},{"to":"+1&to=+1 {secret} {to}\r\nX: y\\'


def asked(settings: Settings, text: str = "hi", to: str = NUMBER, callback: str = "") -> Any:
    values = values_of(settings, to=to, text=text, message_id="id-1", callback=callback)
    return request(gateway_of(settings), values)


def refused(settings: Settings) -> str:
    with pytest.raises(ConfigurationError) as wrong:
        gateway_of(settings)
    assert SECRET not in str(wrong.value)
    return str(wrong.value)


# -- asking ------------------------------------------------------------------------------------------------------------
@unhurried
@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_no_text_leaves_its_place_in_json(text: str) -> None:
    sent = asked(generic(JSON), text + HOSTILE)
    assert json.loads(sent.body) == {"to": NUMBER, "text": text + HOSTILE, "meta": {"ref": ["id-1", 1, None]}}
    assert sent.headers["Content-Type"] == "application/json"


@unhurried
@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_no_text_leaves_its_place_in_a_form(text: str) -> None:
    sent = asked(generic(FORM), text + HOSTILE)
    assert parse_qsl(sent.body.decode("ascii"), strict_parsing=True) == [("to", NUMBER), ("body", text + HOSTILE)]


@unhurried
@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_no_text_leaves_its_place_in_an_address(text: str) -> None:
    sms_gateway = "https://sms.example.com/{account}/{to}?text={text}&from=x"
    sent = asked(generic({"method": "GET"}, sms_gateway=sms_gateway, sms_account="a/b"), text + HOSTILE)
    parts = urlsplit(sent.url)
    assert (parts.netloc, parts.path, sent.body) == ("sms.example.com", "/a%2Fb/%2B491701234567", b"")
    assert parse_qsl(parts.query, strict_parsing=True) == [("text", text + HOSTILE), ("from", "x")]


def test_braces_that_hold_no_name_are_left_as_they_are() -> None:
    sent = asked(generic({"json": {"query": 'mutation { send(to: "{to}", text: "{text}") { id } } {} {0} {A}'}}))
    assert json.loads(sent.body) == {
        "query": f'mutation {{ send(to: "{NUMBER}", text: "hi") {{ id }} }} {{}} {{0}} {{A}}'
    }


def test_headers_carry_the_secret() -> None:
    headers = {"Authorization": "Bearer {secret}", "Idempotency-Key": "{id}", "X-Basic": "{basic}"}
    sent = asked(generic(JSON | {"headers": headers}, sms_account="me"))
    assert sent.headers["Authorization"] == f"Bearer {SECRET}"
    assert sent.headers["Idempotency-Key"] == "id-1"
    assert sent.headers["X-Basic"] == "bWU6aHVudGVyMi1odW50ZXIy"


def test_what_comes_out_empty_is_left_out_and_what_is_meant_to_be_empty_stays() -> None:
    assert json.loads(asked(generic({"json": {"t": "{to}{text}", "a": "", "b": "{callback}"}})).body) == {
        "t": f"{NUMBER}hi", "a": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sender", "field"), [(SENDER, "From"), ("Porto", "From"), ("MG" + "0" * 32, "MessagingServiceSid")]
)
def test_twilio_is_asked_as_its_documentation_says(sender: str, field: str) -> None:
    sent = asked(twilio(sms_sender=sender), "hi", callback="https://t.example.com/x")
    assert sent.url == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert dict(parse_qsl(sent.body.decode())) == {
        "To": NUMBER, field: sender, "Body": "hi", "StatusCallback": "https://t.example.com/x",
    }  # fmt: skip
    assert sent.headers["Authorization"].startswith("Basic ")
    assert SECRET not in sent.url


# -- being answered ----------------------------------------------------------------------------------------------------
TWILIO = gateway_of(twilio())


def answered(status: int, said: Any, gateway: Gateway = TWILIO) -> Any:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    try:
        return judge(gateway, status, body, message_id="id-1", hidden=(SECRET,))
    except MailUnavailable as exc:
        return exc


def no(code: int, status: int = 400, words: str = "no") -> Any:
    return answered(status, {"code": code, "message": words, "status": status})


def test_twilio_takes_a_message_with_201_and_a_sid() -> None:
    assert answered(201, {"sid": "SM1", "status": "queued"}) == Sent("201 SM1")


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", b"{}", b'{"sid": null}', b'{"sid": ""}', b"\xff", b"[" * 5000])
def test_a_yes_that_can_not_be_read_is_uncertain(said: bytes) -> None:
    assert answered(201, said) == Uncertain("id-1")


@pytest.mark.parametrize("status", [200, 202, 204, 502, 504, 520, 524])
def test_an_answer_of_somebody_in_between_is_uncertain(status: int) -> None:
    assert answered(status, b"") == Uncertain("id-1")


@pytest.mark.parametrize("code", [21211, 21614, 21217, 30005, 30006])
def test_a_dead_number_is_not_written_to_again(code: int) -> None:
    result = no(code)
    assert (result.reason, result.bounced) == ("bounced", True)
    assert str(code) in result.words


def test_a_person_who_told_twilio_to_stop_is_not_written_to_again() -> None:
    assert (no(21610).reason, no(21610).bounced) == ("unsubscribed", True)


@pytest.mark.parametrize("code", [21408, 21608, 21612, 21617, 30003, 30007])
def test_a_no_that_says_nothing_about_the_number_ends_this_message_alone(code: int) -> None:
    result = no(code)
    assert isinstance(result, Failed)
    assert (result.reason, result.bounced) == ("refused", False)


@pytest.mark.parametrize(
    ("code", "status"),
    [(20003, 401), (20404, 404), (20429, 429), (21611, 429), (21611, 400), (21606, 400), (20500, 500), (20503, 503)],
)
def test_what_passes_or_is_ours_to_put_right_waits(code: int, status: int) -> None:
    assert isinstance(no(code, status), MailUnavailable)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 401, 403, 404, 429, 500, 503])
def test_statuses_mean_the_same_without_words(status: int) -> None:
    assert isinstance(answered(status, b"<html>junk\0</html>"), MailUnavailable)
    assert isinstance(answered(400, b"<html>junk</html>"), Failed)


def test_words_of_a_gateway_are_one_short_line_without_our_secret() -> None:
    words = no(21408, words=f"line\r\nX: \u202e {SECRET} " + "x" * 1000).words
    assert len(words) < 320
    assert words.isprintable()
    assert SECRET not in words
    assert SECRET not in answered(201, {"sid": SECRET}).words
    assert SECRET not in str(answered(500, SECRET.encode()))
    assert SECRET not in answered(400, b"x" * 495 + SECRET.encode()).words  # also where it is cut


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ({"messages": [{"status": "0", "id": "m-1"}]}, Sent),
        ({"messages": [{"status": 0}]}, Sent),
        ({"messages": [{"status": "6", "code": "dead"}]}, Failed),
        ({"messages": [{"status": "6"}]}, Failed),
        ({"messages": [{"status": "1", "code": 7}]}, MailUnavailable),
        ({"messages": []}, Uncertain),
        ({"messages": {"0": {"status": "0"}}}, Sent),
        ({"messages": [[["0"]]]}, Uncertain),
        ("0", Uncertain),
        ({}, Uncertain),
    ],
)
def test_a_gateway_that_always_says_200_is_read_by_its_body(said: Any, result: type) -> None:
    gateway = Gateway(
        url="x",
        success_at="/messages/0/status",
        success=("0",),
        error_at="/messages/0/code",
        gone=("dead",),
        later=("7",),
    )
    assert isinstance(answered(200, said, gateway), result)


def test_without_a_condition_any_accepted_status_is_a_yes() -> None:
    assert answered(202, b"", Gateway(url="x")) == Sent("202")
    assert answered(203, b"", Gateway(url="x")) == Uncertain("id-1")


@unhurried
@given(st.integers(200, 599), st.binary(max_size=200))
def test_any_answer_means_something(status: int, body: bytes) -> None:
    assert isinstance(answered(status, body), Sent | Failed | Uncertain | MailUnavailable)


# -- settings ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    [
        "http://sms.example.com/x", "http://127.0.0.1.example.com/x", "https://user:pw@sms.example.com/x",
        "https://sms.example.com:x/", "https://sms.example.com/#x", "https://{to}.example.com/x", "https://s.example.com/{text}",
        "https://s.example.com/?key={secret}", "https://s.example.com/?key={basic}", "https://s.example.com/ x", "https:///x",
        "https://s.example.com/\u202e", "ftp://s.example.com/x", "https://[::1/x", "http://2130706433/x",
    ],
)  # fmt: skip
def test_an_address_must_be_https_and_tell_no_secret(url: str) -> None:
    assert "CARTWAKE_SMS_GATEWAY" in refused(generic(JSON, sms_gateway=url))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:8/x", "https://s.example.com/{to}"]
)
def test_this_machine_needs_no_https(url: str) -> None:
    assert gateway_of(generic(JSON, sms_gateway=url)).url == url


@pytest.mark.parametrize(
    "wanted",
    [
        {"json": {"to": "{to}"}}, {"json": {"to": "{to}", "text": "{text}", "x": "{xyz}"}}, {"form": {"to": 1}}, [],
        {"form": {"to": "{to}"}} | JSON, JSON | {"method": "GET"}, JSON | {"method": "DELETE"}, "x",
        JSON | {"headers": {"X": "{text}"}}, JSON | {"headers": {"X\r\nY": "1"}}, JSON | {"headers": {"X": "a\r\nb"}},
        JSON | {"gone": ["1"]}, JSON | {"success": ["0"]}, JSON | {"success_at": "status"}, JSON | {"accepted": [400]},
        FORM | {"idempotent": True}, JSON | {"acepted": [200]}, JSON | {"url": "https://other.example.com"},
    ],
)  # fmt: skip
def test_a_request_that_can_not_be_meant_is_refused_with_an_example(wanted: Any) -> None:
    said = refused(generic(wanted))
    assert "CARTWAKE_SMS_REQUEST" in said
    example = said.rpartition("CARTWAKE_SMS_REQUEST=")[2]
    assert gateway_of(generic(json.loads(example))).json == {"to": "{to}", "text": "{text}"}


@pytest.mark.parametrize("text", ["{", "[" * 5000, "\ud800"])
def test_a_request_that_is_no_json_is_refused(text: str) -> None:
    assert "CARTWAKE_SMS_REQUEST" in refused(msgspec.structs.replace(generic(JSON), sms_request=text))


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (twilio(sms_account=""), "SMS_ACCOUNT"),
        (twilio(sms_account="../x"), "SMS_ACCOUNT"),
        (twilio(sms_secret=""), "SMS_SECRET"),
        (twilio(sms_sender=""), "SMS_SENDER"),
        (twilio(sms_request="{}"), "SMS_REQUEST"),
        (twilio(sms_gateway="http://api.example.com"), "SMS_GATEWAY"),
        (twilio(sms_secret=SECRET + "\n"), "SMS_SECRET"),
        (twilio(sms_sender="Porto\n"), "SMS_SENDER"),
        (generic(JSON, sms_gateway=""), "SMS_GATEWAY"),
        (generic(JSON | {"headers": {"X": "{secret}"}}, sms_secret=""), "SMS_SECRET"),
        (generic(JSON | {"headers": {"X": "{basic}"}}), "SMS_ACCOUNT"),
        (generic(JSON | {"headers": {"X": "{sender}"}}), "SMS_SENDER"),
    ],
)
def test_what_is_missing_is_named(settings: Settings, name: str) -> None:
    assert f"CARTWAKE_{name}" in refused(settings)


@pytest.mark.parametrize("sender", [SENDER, "12345", "Porto", "A & B", "MG" + "0123456789abcdef" * 2, ""])
def test_senders_that_there_are(sender: str) -> None:
    assert load({"CARTWAKE_SMS_SENDER": sender}, Path("none")).sms_sender == sender


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sender", "Porto Porto Porto"), ("sender", "12 34"), ("sender", "Pörto"), ("sender", "a\nb"), ("sender", "+"),
        ("segments", "0"), ("segments", "11"), ("rate", "0"), ("rate", "0.5"), ("preset", "vonage"),
        ("transliterate", "perhaps"), ("gateway", "sms.example.com"),
    ],
)  # fmt: skip
def test_settings_that_can_not_be_meant_are_refused_with_an_example(name: str, value: str) -> None:
    variable = f"CARTWAKE_SMS_{name.upper()}"
    with pytest.raises(ConfigurationError) as wrong:
        load({variable: value}, Path("none"))
    example = str(wrong.value).rpartition(f"{variable}=")[2]
    load({variable: example}, Path("none"))


def test_a_child_gets_the_same_settings() -> None:
    settings = twilio(sms_transliterate=False, sms_request='{"a": "b"}')
    assert load(settings.environment(), Path("none")) == settings
