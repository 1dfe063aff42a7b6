"""What a shop sets: checked when it is set, harmless when it is wrong, followed from the topic."""

import logging
import time
from datetime import timedelta
from typing import Any

import pytest

from cartwake.broker import ensure_topics
from cartwake.errors import ConfigurationError
from cartwake.model import Setting, encode
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import CartRules, ReminderRules, ShopProfile, Shops, _take_in, duration, follow, parse, set_for
from cartwake.topics import SETTINGS


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("45m", timedelta(minutes=45)),
        ("2 h", timedelta(hours=2)),
        ("30d", timedelta(30)),
    ],
)
def test_duration_is_a_number_and_a_unit(text: str, meant: timedelta) -> None:
    assert duration(text) == meant


@pytest.mark.parametrize(
    "text", ["", "2", "h", "-2h", "2.5h", "2h30m", "2w", "2h\n", "\u0663h", "3651d", "99999999999d", "9" * 5_000 + "s"]
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Examples"):
        duration(text)


def test_shop_without_a_record_has_the_defaults() -> None:
    shop = Shops().of("new")
    assert (shop.idle_ms, shop.reminders.steps, shop.reminders.expiry) == (2 * 3600_000, (), "3d")
    assert (shop.profile, shop.carts, shop.reminders) == (ShopProfile(), CartRules(), ReminderRules())


@pytest.mark.parametrize(
    ("idle", "trial", "fine"),
    [
        ("1799s", False, False),
        ("30m", False, True),
        ("30d", False, True),
        ("721h", False, False),
        ("1s", True, True),
        ("0s", True, False),
        ("31d", True, False),
    ],
)
def test_idle_time_is_half_an_hour_to_thirty_days_and_shorter_only_on_trial(idle: str, trial: bool, fine: bool) -> None:
    value = {"idle": idle, "trial": trial}
    if fine:
        assert parse("carts", value) == CartRules(idle=idle, trial=trial)
    else:
        with pytest.raises(ConfigurationError, match=r"setting carts: idle .*Example"):
            parse("carts", value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("cart", {}, "there are shop, carts, reminders"),
        ("carts", {"idle": 7200}, "idle"),
        ("carts", {"idel": "2h"}, "idel"),
        ("carts", {"idle": "99999999999d", "trial": True}, "99999999999d"),
        ("carts", None, "Example"),
        ("carts", [], "Example"),
        ("reminders", {"steps": [{"after": "soon"}]}, "soon"),
        ("reminders", {"expiry": "-1d"}, "-1d"),
        ("reminders", {"enabled": "yes"}, "enabled"),
        ("shop", {"title": ""}, "title"),
        ("shop", {"title": "x" * 101}, "title"),
    ],
)
def test_wrong_value_is_refused_by_name_with_an_example(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse(name, value)
    assert said in str(refused.value)
    assert f"setting {name}" in str(refused.value) or "is not known" in str(refused.value)


def record(name: str, value: Any, shop_id: str = "main") -> bytes:
    return encode(Setting(shop_id=shop_id, name=name, value=value))


def test_each_change_is_noticed_and_touches_only_its_shop() -> None:
    shops = Shops()
    shops.apply(Setting(shop_id="a", name="carts", value={"idle": "45m"}))
    shops.apply(Setting(shop_id="a", name="reminders", value={"steps": [{"after": "1h"}]}))
    assert (shops.of("a").idle_ms, shops.of("a").reminders.steps[0].after, shops.of("b").idle_ms) == (
        2_700_000,
        "1h",
        7_200_000,
    )
    assert shops.version == 2
    assert [shop.shop_id for shop in shops] == ["a"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"\xff",
        record("carts", {"idle": "never"}),
        record("carts", {"idle": "99999999999999d", "trial": True}),
        record("nonsense", {}),
        b'{"shop_id":"main","name":"carts","value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_wrong_record_is_ignored_with_a_warning(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    shops = Shops()
    shops.apply(Setting(shop_id="main", name="carts", value={"idle": "45m"}))
    with caplog.at_level(logging.WARNING):
        _take_in(b"main/carts", value, shops, None)
    assert shops.of("main").idle_ms == 2_700_000
    assert "ignored" in caplog.text


def test_deleted_record_gives_the_defaults_back() -> None:
    shops, changed = Shops(), []
    for name, value in [("carts", {"idle": "45m"}), ("reminders", {"steps": [{"after": "1h"}]})]:
        _take_in(f"a/b/{name}".encode(), record(name, value, "a/b"), shops, changed.append)
    _take_in(b"a/b/carts", None, shops, changed.append)
    assert (shops.of("a/b").idle_ms, shops.of("a/b").reminders.steps[0].after) == (7_200_000, "1h")
    assert changed == ["a/b"] * 3
    for key in (None, b"", b"carts", b"\xff/carts", b"nobody/carts", b"a/b/nonsense"):
        _take_in(key, None, shops, None)


@pytest.mark.stack
def test_what_is_set_is_followed_by_whoever_started_before_and_after(kafka_bootstrap: str, tmp_path: Any) -> None:
    settings = Settings(kafka_bootstrap=kafka_bootstrap, topic_prefix=f"shops{tmp_path.name}.", data_dir=tmp_path)
    ensure_topics(settings)
    early, late = Shops(), Shops()
    stop_early = follow(settings, early)
    try:
        with Publisher(settings) as publisher:
            with pytest.raises(ConfigurationError):
                set_for(publisher, "main", "carts", {"idle": "1s"})
            set_for(publisher, "main", "carts", {"idle": "40m"})
            publisher.send(SETTINGS, "main/carts", b'{"a": wrong record}')
            set_for(publisher, "main", "shop", {"title": "Blue"})
        end = time.monotonic() + 60
        while early.of("main").profile.title != "Blue":
            assert time.monotonic() < end
            time.sleep(0.05)
        follow(settings, late)()
        assert early.of("main") == late.of("main")
        assert late.of("main").idle_ms == 2_400_000
    finally:
        stop_early()
