"""`cartwake settings`: a shop's settings in the topic that every role follows."""

import json

import pytest

from cartwake.clock import SystemClock
from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from cartwake.shops import Shops, follow
from tests.commands.conftest import Run


@pytest.mark.stack
def test_what_is_set_is_got_and_followed(run: Run, settings: Settings) -> None:
    assert json.loads(run("settings", "get").stdout)["carts"] == {"idle": "2h", "trial": False}
    said = run("settings", "set", "carts", '{"idle": "45m"}', "--shop", "berlin")
    assert (said.exit_code, json.loads(said.stdout)["idle"]) == (0, "45m")
    assert json.loads(run("settings", "get", "carts", "--shop", "berlin").stdout)["idle"] == "45m"
    assert json.loads(run("settings", "get", "carts").stdout)["idle"] == "2h"
    shops = Shops()
    follow(settings, shops)()
    assert shops.of("berlin").idle_ms == 45 * 60_000


def test_validate_shows_the_defaults_and_writes_nothing(run: Run) -> None:
    said = run("settings", "validate", "reminders", "-", stdin='{"holdout": 10}', kafka_bootstrap="127.0.0.1:1")
    shown = json.loads(said.stdout)
    assert (shown["holdout"], shown["enabled"], shown["steps"], shown["expiry"]) == (10, True, [], "3d")


@pytest.mark.stack
def test_switching_reminders_on_says_since_when_and_a_later_change_keeps_it(run: Run, settings: Settings) -> None:
    before = SystemClock().now_ms()
    first = json.loads(run("settings", "set", "reminders", '{"steps": [{}]}').stdout)["enabled_at"]
    assert before <= first <= SystemClock().now_ms()
    second = json.loads(run("settings", "set", "reminders", '{"steps": [{"after": "1h"}]}').stdout)
    assert second["enabled_at"] == first


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("carts", '{"idle": "5m"}', "30m"),
        ("carts", '{"idel": "45m"}', "idel"),
        ("carts", "{", "is no JSON"),
        ("cart", "{}", "there are shop, carts, reminders"),
        ("reminders", '{"steps": [{"after": "soon"}]}', "steps[0]: 'soon' is no duration"),
    ],
)
@pytest.mark.parametrize("act", ["set", "validate"])
def test_wrong_settings_are_refused_before_anything_is_asked(
    run: Run, act: str, name: str, value: str, said: str
) -> None:
    refused = run("settings", act, name, value, kafka_bootstrap="127.0.0.1:1")
    assert isinstance(refused.exception, ConfigurationError)
    assert said in str(refused.exception)
