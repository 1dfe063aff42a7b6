"""`cartwake settings get|set|validate`: what a shop has set, in the `settings` topic that every role follows."""

import sys
from typing import Any

import click

from cartwake import settings as settings_file
from cartwake.errors import ConfigurationError

_SHOP = click.option("--shop", default="main", show_default=True, help="the shop")


@click.group("settings")
def command() -> None:
    """Read and change what a shop has set: `shop`, `carts`, `reminders` and templates of mails (`template:cart.de`).

    Every role takes a change up at once.
    """


@command.command("get")
@click.argument("name", required=False)
@_SHOP
def get(name: str | None, shop: str) -> None:
    """Show what holds for a shop, defaults included: all of it, or NAME (shop, carts, reminders, template:cart.de)."""
    from cartwake.rules import MailTemplate
    from cartwake.shops import Shops, follow, parse
    from local.stack import embedded

    if name is not None:
        parse(name, {})  # an unknown name is said before anything is started
    shops = Shops()
    with embedded(settings_file.load(), kafka=True, say=_say) as settings:
        follow(settings, shops)()
    found = shops.of(shop)
    values: dict[str, Any] = {"shop": found.profile, "carts": found.carts, "reminders": found.reminders}
    values |= {f"template:{key}": template for key, template in sorted(found.templates.items())}
    _write(values if name is None else values.get(name, MailTemplate()))


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
        if isinstance(rules, ReminderRules):
            shops = Shops()
            follow(settings, shops)()
            rules = switched_on(shops.of(shop).reminders, rules, SystemClock().now_ms())
        with Publisher(settings) as publisher:
            set_for(publisher, shop, name, _builtins(rules))
    _write(rules)
    _say(f"set {name} of shop {shop}")


@command.command("validate")
@click.argument("name")
@click.argument("value")
def validate(name: str, value: str) -> None:
    """Check VALUE for NAME as `set` does, and show it with its defaults; nothing is written."""
    from cartwake.shops import checked

    _write(checked(name, _json(value)))


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
