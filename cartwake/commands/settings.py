"""`cartwake settings get|set|validate`: what a shop has set, in the `settings` topic that every role follows."""

import sys
from typing import TYPE_CHECKING, Any

import click

from cartwake import settings as settings_file
from cartwake.errors import ConfigurationError

if TYPE_CHECKING:
    from cartwake.settings import Settings
    from cartwake.shops import Shops

_SHOP = click.option("--shop", default="main", show_default=True, help="the shop")


@click.group("settings")
def command() -> None:
    """Read and change what a shop has set: `shop`, `carts`, `reminders` and templates.

    Those of mails are `template:cart.de`, of text messages `sms-template:cart.de`, of pushes `push-template:cart.de`.

    Every role takes a change up at once.
    """


@command.command("get")
@click.argument("name", required=False)
@_SHOP
def get(name: str | None, shop: str) -> None:
    """Show what holds for a shop, defaults included: all of it, or NAME (shop, carts, template:cart.de …)."""
    from cartwake.shops import TEMPLATES, Shops, follow, parse
    from local.stack import embedded

    default = None if name is None else parse(name, {})  # an unknown name is said before anything is started
    shops = Shops()
    with embedded(settings_file.load(), kafka=True, say=_say) as settings:
        follow(settings, shops)()
    found = shops.of(shop)
    values: dict[str, Any] = {
        "shop": found.profile,
        "carts": found.carts,
        "reminders": found.reminders,
        "alarms": found.alarms,
    }
    for prefix, (field, _) in TEMPLATES.items():
        values |= {f"{prefix}:{key}": template for key, template in sorted(getattr(found, field).items())}
    _write(values if name is None else values.get(name, default))


@command.command("set")
@click.argument("name")
@click.argument("value")
@_SHOP
def set_(name: str, value: str, shop: str) -> None:
    """Set NAME to VALUE, a JSON object; `-` reads it from standard input. What it leaves out gets its default.

    Example: cartwake settings set carts '{"idle": "45m"}'
    """
    from cartwake.broker import ensure_topics
    from cartwake.clock import SystemClock
    from cartwake.publish import Publisher
    from cartwake.rules import ReminderRules, switched_on
    from cartwake.shops import Shops, checked, follow, set_for
    from local.stack import embedded

    rules = checked(name, _json(value))
    with embedded(settings_file.load(), kafka=True, say=_say) as settings:
        ensure_topics(settings, say=_say, patience=5)
        shops = Shops()
        follow(settings, shops)()
        if isinstance(rules, ReminderRules):
            rules = switched_on(shops.of(shop).reminders, rules, SystemClock().now_ms())
        with Publisher(settings) as publisher:
            set_for(publisher, shop, name, _builtins(rules))
    _write(rules)
    _say(f"set {name} of shop {shop}")
    _warn(shops, shop, name, rules, settings)


@command.command("validate")
@click.argument("name")
@click.argument("value")
def validate(name: str, value: str) -> None:
    """Check VALUE for NAME as `set` does, and show it with its defaults; nothing is written."""
    from cartwake.shops import Shops, checked

    rules = checked(name, _json(value))
    _write(rules)
    _warn(Shops(), "main", name, rules, settings_file.load())


def _warn(shops: "Shops", shop: str, name: str, rules: Any, settings: "Settings") -> None:
    """Say what is right as a template and would still go wrong with values as they are: its length above all."""
    from cartwake.clock import SystemClock
    from cartwake.model import Setting
    from cartwake.rules import PushTemplate, SmsTemplate

    if not isinstance(rules, SmsTemplate | PushTemplate):
        return
    from reminders.short_preview import warnings_of

    shops.apply(Setting(shop_id=shop, name=name, value=_builtins(rules)))
    for words in warnings_of(settings, shops.of(shop), name, now=SystemClock().now_ms()):
        _say(f"warning: {words}")


def _json(text: str) -> Any:
    import msgspec

    if text == "-":
        text = sys.stdin.read()
    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise ConfigurationError(f'{text[:60]!r} is no JSON: {exc}. Example: \'{{"idle": "45m"}}\'') from exc


def _builtins(rules: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(rules)


def _write(values: Any) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(values), indent=2).decode() + "\n")
    sys.stdout.flush()


def _say(words: str) -> None:
    click.echo(words, err=True)
