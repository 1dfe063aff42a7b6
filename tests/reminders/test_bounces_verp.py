"""The envelope sender that names whose mail came back."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import ConfigurationError, InvalidEvent
from cartwake.model import derived_id
from reminders.address import check_address
from reminders.bounces.verp import (
    Named,
    Secret,
    check_mailbox,
    make_token,
    provider_header,
    read_token,
    sender,
    tokens_in,
)
from tests.reminders.returned import PERSON, PLAN, RETURN_PATH, SIGNER, TOKEN

NAMED = Named(("main", PERSON), PLAN)


@given(st.text(min_size=1, max_size=40), st.binary(min_size=12, max_size=12), st.binary(min_size=16, max_size=16))
def test_a_token_names_its_shop_person_and_plan_and_no_other(shop_id: str, person: bytes, plan: bytes) -> None:
    key = (shop_id, "p-" + person.hex())
    token = make_token(SIGNER, key, plan.hex())
    assert read_token(SIGNER, token, ["another", shop_id]) == Named(key, plan.hex())
    with pytest.raises(InvalidEvent):
        read_token(SIGNER, token, [shop_id + "x"])
    with pytest.raises(InvalidEvent):
        read_token(SIGNER, token, [])


def test_the_envelope_sender_fits_into_what_servers_take() -> None:
    local, _, domain = RETURN_PATH.partition("@")
    assert (len(local), domain) == (64, "example.com")
    assert check_address(RETURN_PATH) is None


def test_a_server_may_write_the_address_in_capitals_or_not() -> None:
    for token in (TOKEN, TOKEN.upper(), TOKEN.title()):
        assert read_token(SIGNER, token, ["main"]) == NAMED


def test_no_bit_of_a_token_can_be_changed() -> None:
    raw = base64.b32decode(TOKEN.upper())
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidEvent):
            read_token(SIGNER, base64.b32encode(changed).decode(), ["main"])


def test_a_token_of_another_secret_is_not_ours() -> None:
    token = make_token(Secret("another secret"), NAMED.key, PLAN)
    with pytest.raises(InvalidEvent):
        read_token(SIGNER, token, ["main"])


@pytest.mark.parametrize(
    "token", ["", "a", TOKEN[:-1], TOKEN + "a", "0" * 56, "1" * 56, "ä" * 56, TOKEN[:-1] + "\n", "K" * 56]
)
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidEvent):
        read_token(SIGNER, token, ["main"])


@pytest.mark.parametrize(
    ("person", "plan"), [("customer-7", PLAN), (PERSON, "plan-1"), (PERSON, PLAN[:-2]), (PERSON, PLAN.upper())]
)
def test_only_persons_and_plans_of_ours_have_tokens(person: str, plan: str) -> None:
    with pytest.raises(ValueError, match="no token can name"):
        make_token(SIGNER, ("main", person), plan)


def test_a_token_is_found_in_an_address_however_it_is_written() -> None:
    for text in (
        RETURN_PATH, f"<{RETURN_PATH}>", f"Cart <{RETURN_PATH.upper()}>, x@example.com", TOKEN, f" {TOKEN}\n",
        f"SRS0=x=y=example.com=bounces+{TOKEN}@forwarder.example.net", f"rfc822; returns+{TOKEN}@example.net",
    ):  # fmt: skip
        assert [found.lower() for found in tokens_in(text)] == [TOKEN]
    for text in (
        "",
        "bounces@example.com",
        f"bounces+{TOKEN}",
        f"bounces-{TOKEN}@example.com",
        f"+{TOKEN[1:]}@x",
        TOKEN * 2,
    ):
        assert tokens_in(text) == []


@given(st.text(max_size=300))
def test_tokens_are_looked_for_in_any_text(text: str) -> None:
    assert tokens_in(text) == []


@pytest.mark.parametrize("mailbox", ["bounces@example.com", "b@mail.shop.example.com", "returns@example.com"])
def test_a_mailbox_with_a_short_name_has_room_for_a_token(mailbox: str) -> None:
    check_mailbox(mailbox)
    assert len(sender(mailbox, TOKEN).partition("@")[0]) <= 64


@pytest.mark.parametrize(
    "mailbox", ["returned@example.com", "a+b@example.com", "bounces", "b@\r\nRCPT", "", "@example.com"]
)
def test_a_mailbox_that_has_none_is_said_with_an_example(mailbox: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Example: bounces@shop\.example\.com"):
        check_mailbox(mailbox)


def test_a_provider_is_handed_the_token_in_a_header_of_its_own() -> None:
    assert provider_header("sendgrid", TOKEN) == ("X-SMTPAPI", '{"unique_args": {"cartwake": "' + TOKEN + '"}}')
    assert provider_header("postmark", TOKEN) == ("X-PM-Metadata-cartwake", TOKEN)
    with pytest.raises(ValueError, match="'ses' has no header"):
        provider_header("ses", TOKEN)


def test_the_same_mail_has_the_same_token_and_another_has_another() -> None:
    other = derived_id("plan", "ab-1", 2, "email", PERSON)
    assert make_token(SIGNER, NAMED.key, PLAN) == TOKEN
    assert make_token(SIGNER, NAMED.key, other) != TOKEN
