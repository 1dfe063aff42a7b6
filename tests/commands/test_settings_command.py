"""`cartwake settings`: a shop's settings in the topic that every role follows."""

import json

import pytest

from cartwake.clock import SystemClock
from cartwake.errors import ConfigurationError
from cartwake.settings import Settings
from cartwake.shops import Shops, follow
from tests.commands.conftest import Run

LONG = "w" * 200 + " " + "w" * 200 + " {{ recovery_url }}"


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


@pytest.mark.stack
def test_templates_of_every_channel_are_set_got_and_told_apart(run: Run) -> None:
    mine = {"text": "{{ shop.title }}: {{ recovery_url }} {{ stop }}"}
    said = run("settings", "set", "sms-template:cart.de", json.dumps(mine), "--shop", "own")
    assert (said.exit_code, json.loads(said.stdout), said.stderr) == (0, mine, "set sms-template:cart.de of shop own\n")
    said = run("settings", "set", "push-template:cart.de-AT", '{"title": "Servus"}', "--shop", "own")
    assert json.loads(said.stdout) == {"title": "Servus", "body": ""}
    run("settings", "set", "template:cart", '{"subject": "Yours"}', "--shop", "own")
    values = json.loads(run("settings", "get", "--shop", "own").stdout)
    assert list(values)[4:] == ["template:cart", "sms-template:cart.de", "push-template:cart.de-AT"]
    assert json.loads(run("settings", "get", "sms-template:cart.de", "--shop", "own").stdout) == mine
    assert json.loads(run("settings", "get", "sms-template:cart", "--shop", "own").stdout) == {"text": ""}
    shown = run("preview", "--channel", "sms", "--shop", "own", "--locale", "de").stdout
    assert shown.startswith("Our shop: https://shop.example.com/cart#")


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("sms-template:cart", {"text": LONG}, "The message has 4 segments (gsm-7) at its shortest, and 3 are allowed"),
        ("sms-template:cart", {"text": LONG.replace("w" * 200, "")}, ""),
        ("sms-template:cart.bg", {"text": LONG.replace("w" * 200, "ж" * 60)}, "The message has 5 segments (ucs-2)"),
        ("sms-template:cart", {"text": "{{ gift.code }} {{ recovery_url }}"}, "would be held: The template could not"),
        ("push-template:cart", {"title": "t" * 90, "body": "b"}, "the title is cut at 80 of its 90 characters"),
        ("push-template:thanks", {"body": "b" * 400}, "the body is cut at 360 of its 400 characters"),
        ("push-template:cart", {"title": "{{ name }}"}, ""),
        ("template:cart", {"subject": "{{ name }}"}, ""),
    ],
)
def test_what_would_go_wrong_with_typical_values_is_a_warning(
    run: Run, name: str, value: dict[str, str], warning: str
) -> None:
    said = run("settings", "validate", name, json.dumps(value), kafka_bootstrap="127.0.0.1:1")
    assert said.exit_code == 0
    assert {**json.loads(said.stdout), **value} == json.loads(said.stdout)
    assert said.stderr.startswith("warning: ") == bool(warning)
    assert warning in said.stderr


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
        ("sms-template:cart", '{"text": "a\\n{{ b }}{{ recovery_url }}"}', "text: line 2: `b` is not known"),
        ("push-template:cart", '{"title": "{{ x.y }}"}', "title: line 1: `x` is not known"),
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
