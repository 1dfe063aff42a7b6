"""Rules of reminders are checked as a whole when they are set."""

from typing import Any

import msgspec
import pytest

from cartwake.errors import ConfigurationError
from cartwake.rules import EXAMPLE, ReminderRules, Step, switched_on
from cartwake.shops import parse


def test_the_example_of_every_error_is_right() -> None:
    rules = parse("reminders", msgspec.json.decode(EXAMPLE))
    assert isinstance(rules, ReminderRules)
    assert len(rules.steps) == 2


def test_rules_with_their_defaults_written_out_are_rules() -> None:
    steps = [{"offer": {"pool": "welcome"}, "variants": [{"name": "a", "share": 100}]}]
    rules = parse("reminders", {"steps": steps, "quiet_hours": {}})
    assert parse("reminders", msgspec.to_builtins(rules)) == rules, "this is what lies on the topic"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"steps": [{"channel": "fax"}]}, "fax"),
        ({"steps": [{"after": "-1h"}]}, "steps[0]: '-1h'"),
        ({"steps": [{}] * 21}, "length <= 20"),
        ({"steps": [{"only": {"value_from": "9", "value_to": "8"}}]}, "from 9 to 8 is empty"),
        ({"steps": [{"only": {"currencies": ["EURO"]}}]}, "'EURO' is no ISO 4217 code"),
        ({"steps": [{"only": {"value_from": "-1"}}]}, "value_from"),
        ({"steps": [{"only": {"value_from": "NaN"}}]}, "value_from"),
        ({"steps": [{"only": {"stages": ["till"]}}]}, "till"),
        ({"steps": [{"variants": [{"name": "a", "share": 30}]}]}, "add up to 100"),
        ({"steps": [{"variants": [{"name": "a", "share": 50}, {"name": "a", "share": 50}]}]}, "same name"),
        ({"steps": [{"offer": {}}]}, "either a pool or a callback"),
        (
            {"steps": [{"offer": {"pool": "a", "callback": "https://example.com/o"}}]},
            "either a pool or a callback",
        ),
        ({"steps": [{"offer": {"callback": "ftp://shop.example.com"}}]}, "callback"),
        ({"steps": [{"template": "../../etc/passwd"}]}, "template"),
        ({"quiet_hours": {"begin": "24:00"}}, "begin"),
        ({"quiet_hours": {"begin": "08:00"}}, "begin and end are the same"),
        ({"blocked": ["example.com"]}, "neither an address nor a host"),
        ({"holdout": 91}, "holdout"),
        ({"cap": 0}, "cap"),
        ({"uncertain": "guess"}, "guess"),
        ({"step": []}, "step"),
    ],
)
def test_wrong_rules_are_refused_by_name(value: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        parse("reminders", value)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "Europe/Berlin\0", "x" * 64])
def test_a_time_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="time_zone"):
        parse("shop", {"time_zone": name})
    assert parse("shop", {"time_zone": "Europe/Bucharest"})


def test_rules_begin_to_hold_when_they_are_switched_on_and_not_when_they_are_changed() -> None:
    off, on = ReminderRules(), ReminderRules(steps=(Step(),))
    assert switched_on(off, off, 7) == off
    first = switched_on(off, on, 7)
    assert first.enabled_at == 7
    assert switched_on(first, ReminderRules(steps=(Step(after="1h"),)), 9).enabled_at == 7
    paused = msgspec.structs.replace(first, enabled=False)
    assert switched_on(paused, on, 11).enabled_at == 11
