"""Keys, tokens and rates of web push."""

import logging
import stat
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import ConfigurationError, InvalidEvent
from cartwake.model import person_id
from cartwake.settings import Settings, load
from reminders.push.keys import keys_of
from reminders.push.rates import MOST_KEYS, Rate
from reminders.push.tokens import VALID_MS, Tokens
from tests.reminders.push_service import claims, raw
from tests.reminders.world import ANA, T0

PRIVATE = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"  # of the example of RFC 8291
PUBLIC = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
TOKENS = Tokens("a secret of the tests")
KEY = ("main", person_id(ANA))


# -- keys ----------------------------------------------------------------------------------------------------------
def test_keys_are_made_once_and_stay(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first = keys_of(settings)
    assert first.public == keys_of(settings).public
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert first.public != keys_of(Settings(data_dir=tmp_path / "other")).public


def test_roles_with_the_same_secret_have_the_same_keys_without_a_shared_folder(tmp_path: Path) -> None:
    one, other = (keys_of(Settings(secret="s" * 20, data_dir=tmp_path / name)) for name in "ab")
    assert one.public == other.public
    assert list(tmp_path.iterdir()) == []
    assert len(raw(one.public)) == 65


def test_a_given_key_is_used_whatever_the_secret() -> None:
    assert keys_of(Settings(push_private_key=PRIVATE, secret="s" * 20)).public == PUBLIC
    assert keys_of(Settings(push_private_key=PRIVATE, secret="t" * 20)).public == PUBLIC


@pytest.mark.parametrize("raw_key", [b"\0" * 32, b"\xff" * 32])
def test_a_key_that_is_none_is_told_without_showing_it(raw_key: bytes, caplog: pytest.LogCaptureFixture) -> None:
    text = urlsafe_b64encode(raw_key).decode().rstrip("=")
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError, match="push_private_key") as told:
        keys_of(Settings(push_private_key=text))
    assert text not in str(told.value) + caplog.text
    assert told.value.__suppress_context__


def test_a_key_of_another_length_is_refused_with_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CARTWAKE_PUSH_PRIVATE_KEY") as told:
        load({"CARTWAKE_PUSH_PRIVATE_KEY": PRIVATE[:-1]}, tmp_path / "none")
    assert PRIVATE[:-1] not in str(told.value)


def test_the_contact_is_the_setting_else_the_sender_of_mails() -> None:
    def contact(**changes: str) -> object:
        keys = keys_of(Settings(secret="s" * 20, **changes))  # type: ignore[arg-type]
        return claims(keys.authorization("https://push.example.com", T0 // 1000))[0]["sub"]

    assert contact(mail_from="Shop <carts@shop.example.com>") == "mailto:carts@shop.example.com"
    assert contact(push_contact="https://shop.example.com/contact") == "https://shop.example.com/contact"


# -- tokens --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("purpose", ["subscribe", "renew"])
def test_a_token_says_whose_and_what_for_until_exactly_its_end(purpose: str) -> None:
    token = TOKENS.make(KEY, purpose, now=T0)  # type: ignore[arg-type]
    end = T0 + VALID_MS[purpose]  # type: ignore[index]
    grant = TOKENS.read(token, now=end - 1)
    assert (grant.key, grant.purpose) == (KEY, purpose)
    with pytest.raises(InvalidEvent, match="old"):
        TOKENS.read(token, now=end)


def test_the_first_part_of_a_token_is_the_person_the_same_every_time() -> None:
    tokens = [TOKENS.make(KEY, "subscribe", now=T0), TOKENS.make(KEY, "renew", now=T0 + 5)]
    assert len({token.partition(".")[0] for token in tokens}) == 1
    assert TOKENS.make(("main", "c-2"), "renew", now=T0).partition(".")[0] != tokens[0].partition(".")[0]


def test_no_token_can_be_made_or_changed_without_the_secret() -> None:
    token = TOKENS.make(KEY, "subscribe", now=T0)
    who, purpose, end, mac = token.split(".")
    other = TOKENS.make(("main", person_id("eve@example.com")), "subscribe", now=T0).split(".")
    for wrong in (
        Tokens("another secret").make(KEY, "subscribe", now=T0),
        f"{who}.renew.{end}.{mac}",
        f"{who}.{purpose}.{int(end) + 1}.{mac}",
        f"{who}.{purpose}.0{end}.{mac}",
        f"{other[0]}.{purpose}.{end}.{mac}",
        token[:-1],
        token + "A",
        token + "\n",
        "",
        "...",
        "x" * 10_000,
    ):
        with pytest.raises(InvalidEvent, match="not one of ours"):
            TOKENS.read(wrong, now=T0)


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_any_id_comes_back_as_it_was(shop_id: str, subscriber_id: str) -> None:
    key = (shop_id.replace("\0", ""), subscriber_id.replace("\0", ""))
    if all(text.encode("utf-8", "ignore").decode() == text for text in key):
        assert TOKENS.read(TOKENS.make(key, "renew", now=T0), now=T0).key == key


# -- rates ---------------------------------------------------------------------------------------------------------
def test_so_many_at_once_and_then_one_at_a_time() -> None:
    rate = Rate(3, 1_000)
    assert [rate.wait("a", T0) for _ in range(4)] == [0, 0, 0, 1_000]
    assert rate.wait("b", T0) == 0
    assert rate.wait("a", T0 + 999) == 1
    assert rate.wait("a", T0 + 1_000) == 0
    assert rate.wait("a", T0 + 1_000) == 1_000
    assert [rate.wait("a", T0 + 9_000) for _ in range(4)] == [0, 0, 0, 1_000]


def test_only_so_many_are_remembered() -> None:
    rate = Rate(1, 1_000)
    for n in range(MOST_KEYS + 500):
        rate.wait(str(n), T0)
    assert len(rate._free_at) == MOST_KEYS
