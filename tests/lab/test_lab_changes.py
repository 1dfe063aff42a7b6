"""`--set` of the laboratory: what is understood, what is refused, and in which words."""

import pytest

from cartwake.errors import ConfigurationError
from cartwake.lab.changes import Change, Changed, apply, read
from cartwake.model import Setting
from cartwake.shops import Shops


def shops(**rules: object) -> Shops:
    """Two shops: `main` with these rules, `other` with the defaults."""
    found = Shops()
    found.apply(Setting(shop_id="main", name="reminders", value={"steps": [{}, {"after": "1d"}]} | rules))
    return found


def test_a_path_may_leave_out_the_setting_and_a_value_is_json_or_text() -> None:
    assert read("idle=45m") == Change(("carts", "idle"), "45m")
    assert read("reminders.cap=2") == Change(("reminders", "cap"), 2)
    assert read("steps.2.only.stages=[]") == Change(("reminders", "steps", "2", "only", "stages"), [])
    assert read("quiet_hours=null").value is None
    assert read('steps=[{"template": "a=b"}]').value == [{"template": "a=b"}]


def test_only_what_is_named_changes_and_each_change_is_told() -> None:
    known = shops(cap=3)
    told = apply([read("idle=45m"), read("steps.2.after=2h"), read("quiet_hours.begin=22:00")], known, ["main"])
    main = known.of("main")
    assert main.idle_ms == 45 * 60_000
    assert [step.after for step in main.reminders.steps] == ["0s", "2h"]
    assert main.reminders.cap == 3
    assert main.reminders.quiet_hours
    assert (main.reminders.quiet_hours.begin, main.reminders.quiet_hours.end) == ("22:00", "08:00")
    assert known.of("other") == Shops().of("other")
    assert told == [
        Changed("main", "carts.idle", "2h", "45m"),
        Changed("main", "reminders.steps.2.after", "1d", "2h"),
        Changed("main", "reminders.quiet_hours.begin", "null", "22:00"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("idel=45m", "Did you mean carts.idle"),
        ("reminders.cpa=2", "Did you mean reminders.cap"),
        ("steps.1.aftr=2h", "Did you mean reminders.steps.1.after"),
        ("cap.x=1", "there is no such rule"),
        ("shop.title=x", "There are carts.idle, "),
        ("=1", "there is no such rule"),
        ("cap", "has no value"),
    ],
)
def test_an_unknown_rule_is_refused_with_the_near_names(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--set idle=45m") as refused:
        read(text)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("idle=5m", "idle must be 30m … 30d"),
        ("cap=11", "Expected `int` <= 10"),
        ("cap=two", "Expected `int`, got `str`"),
        ("steps.1.after=soon", "'soon' is no duration"),
        ("steps.3.after=1h", "shop main has no number 3 of these, there are 2, counted from 1"),
        ("steps.0.after=1h", "has no number 0"),
        ("carts=1", "Expected `object`"),
    ],
)
def test_a_wrong_value_is_refused_as_the_setting_would_be(text: str, words: str) -> None:
    known = shops()
    with pytest.raises(ConfigurationError) as refused:
        apply([read(text)], known, ["main"])
    assert words in str(refused.value)
    assert known.of("main") == shops().of("main")
