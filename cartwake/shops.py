"""What a shop has set, from the `settings` topic: every role follows it, there is no other store.

A record's key is `shop_id/name`; `name` is one of `shop`, `carts`, `reminders`, `alarms`, or the name of a template of
the shop's own: `template:cart.de` of mails, `sms-template:cart.de` of text messages, `push-template:cart.de` of pushes
(`template:cart`: in every language; `template:cart.de-AT`: in that of one country). A shop without a record has the
defaults below. A wrong record is refused when it is set, and ignored with a warning when it is read.
"""

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from cartwake import following
from cartwake.alarms import AlarmRules
from cartwake.companions import NAME as COMPANIONS
from cartwake.companions import Companions
from cartwake.durations import duration, duration_ms
from cartwake.errors import ConfigurationError
from cartwake.model import Setting, decode_setting, encode
from cartwake.publish import Publisher
from cartwake.rules import EXAMPLE, MailTemplate, PushTemplate, ReminderRules, SmsTemplate, check, check_zone
from cartwake.settings import Settings
from cartwake.topics import SETTINGS

log = logging.getLogger(__name__)

LEAST_IDLE: Final = timedelta(minutes=30)
MOST_IDLE: Final = timedelta(days=30)
IDLE_MS: Final = 2 * 3600 * 1000


class ShopProfile(Struct, frozen=True, forbid_unknown_fields=True):
    """`shop`: how the shop presents itself in a mail."""

    title: Annotated[str, Meta(min_length=1, max_length=100)] = "Our shop"
    url: Annotated[str, Meta(max_length=500)] = "https://shop.example.com"
    sender: Annotated[str, Meta(max_length=320)] = ""  # empty: the setting mail_from
    locale: Annotated[str, Meta(max_length=35)] = "en"
    postal_address: Annotated[str, Meta(max_length=500)] = ""
    opens: bool = False  # a picture of one pixel says whether a mail is opened
    time_zone: Annotated[str, Meta(max_length=64)] = ""  # of people whose own is not known; empty: UTC
    phone_region: Annotated[str, Meta(pattern="^([A-Z]{2})?$")] = ""  # of numbers without a country code


class CartRules(Struct, frozen=True, forbid_unknown_fields=True):
    """`carts`: when a cart counts as left. Under 30 minutes only where `trial` says that it is a try-out."""

    idle: str = "2h"
    trial: bool = False


class Shop(Struct, frozen=True):
    """All that is set for one shop. Templates are by `<name>.<language>`, or by `<name>` for every language."""

    shop_id: str
    profile: ShopProfile = ShopProfile()
    carts: CartRules = CartRules()
    reminders: ReminderRules = ReminderRules()
    alarms: AlarmRules = AlarmRules()
    idle_ms: int = IDLE_MS
    templates: dict[str, MailTemplate] = {}
    sms_templates: dict[str, SmsTemplate] = {}
    push_templates: dict[str, PushTemplate] = {}


Template = MailTemplate | SmsTemplate | PushTemplate
Value = ShopProfile | CartRules | ReminderRules | AlarmRules | Template

_KINDS: Final[dict[str, tuple[str, type[Struct]]]] = {
    "shop": ("profile", ShopProfile),
    "carts": ("carts", CartRules),
    "reminders": ("reminders", ReminderRules),
    "alarms": ("alarms", AlarmRules),
}
#: Templates by what their setting's name begins with: the field of `Shop` they are in, and their kind.
TEMPLATES: Final[dict[str, tuple[str, type[Struct]]]] = {
    "template": ("templates", MailTemplate),
    "sms-template": ("sms_templates", SmsTemplate),
    "push-template": ("push_templates", PushTemplate),
}
_TEMPLATE: Final = re.compile(
    rf"({'|'.join(TEMPLATES)}):[a-z0-9][a-z0-9-]{{0,39}}(\.[a-z]{{2,3}}(-([A-Z]{{2}}|[0-9]{{3}}))?)?"
)
_EXAMPLES: Final[dict[type[Struct], str]] = {
    ReminderRules: EXAMPLE,
    AlarmRules: '{"admins": ["shop@example.com"], "pause_reminders": true}',
    MailTemplate: '{"subject": "{{ name|default(\'You\') }}, your cart is still here"}',
    SmsTemplate: '{"text": "{{ shop.title }}: still yours: {{ item.name }} {{ recovery_url }} {{ stop }}"}',
    PushTemplate: '{"title": "Still yours", "body": "{{ item.name }} is in your cart."}',
}


def _kind(name: str) -> type[Struct] | None:
    if name in _KINDS:
        return _KINDS[name][1]
    return TEMPLATES[name.partition(":")[0]][1] if _TEMPLATE.fullmatch(name) else None


def parse(name: str, value: Any) -> Value:
    """The checked form of a setting's value; raises ConfigurationError that names the setting and an example."""
    kind = _kind(name)
    if kind is None:
        known = ", ".join([*_KINDS, *(f"{prefix}:cart.en" for prefix in TEMPLATES)])
        raise ConfigurationError(f"setting {name!r} is not known; there are {known}")
    try:
        rules: Any = msgspec.convert(value, kind)
        if isinstance(rules, CartRules):
            idle = duration(rules.idle)
            least = timedelta(seconds=1) if rules.trial else LEAST_IDLE
            if not least <= idle <= MOST_IDLE:
                raise ConfigurationError(f"idle must be {'1s' if rules.trial else '30m'} … 30d")
        if isinstance(rules, ReminderRules):
            check(rules)
        if isinstance(rules, ShopProfile):
            check_zone(rules.time_zone)
    except (msgspec.ValidationError, ConfigurationError) as exc:
        example = _EXAMPLES.get(kind) or encode(kind()).decode()
        raise ConfigurationError(f"setting {name}: {exc}. Example: {example}") from exc
    return rules  # type: ignore[no-any-return]  # one of them, as _kind says


def checked(name: str, value: Any) -> Value:
    """As `parse`, and a template is tried out as well: for whoever sets one, not for the many who read it."""
    rules = parse(name, value)
    if isinstance(rules, Template):
        from cartwake import short_templates, templating  # noqa: PLC0415 - only who sets a template needs Jinja2

        try:
            if isinstance(rules, MailTemplate):
                templating.check(rules)
            else:
                short_templates.check(name.partition(":")[2].partition(".")[0], rules)
        except ConfigurationError as exc:
            raise ConfigurationError(f"setting {name}: {exc}") from exc
    return rules


class Shops:
    """What every shop has set, as far as it has been read."""

    def __init__(self) -> None:
        self._shops: dict[str, Shop] = {}
        self._companions: dict[str, Companions] = {}
        self.version = 0  # grows with every change

    def of(self, shop_id: str) -> Shop:
        """The shop's settings, or the defaults."""
        return self._shops.get(shop_id) or Shop(shop_id)

    def companions(self, shop_id: str) -> Companions:
        """What the shop's customers buy together, as last published."""
        return self._companions.get(shop_id, Companions())

    def idle_ms(self, shop_id: str) -> int:
        """How long a cart of the shop lies untouched until it counts as left, in milliseconds."""
        shop = self._shops.get(shop_id)
        return IDLE_MS if shop is None else shop.idle_ms

    def __iter__(self) -> Any:
        return iter(list(self._shops.values()))

    def apply(self, setting: Setting) -> None:
        """Take one record in; raises ConfigurationError when its value is wrong."""
        if setting.name == COMPANIONS:
            try:
                self._companions[setting.shop_id] = msgspec.convert(setting.value, Companions)
            except msgspec.ValidationError as exc:
                raise ConfigurationError(f"setting companions: {exc}") from exc
            return
        rules = parse(setting.name, setting.value)
        changes: dict[str, Any] = {}
        if isinstance(rules, Template):
            field, templates = self._templates(setting.shop_id, setting.name, rules)
            changes[field] = templates
        else:
            changes[_KINDS[setting.name][0]] = rules
        if isinstance(rules, CartRules):
            changes["idle_ms"] = duration_ms(rules.idle)
        self._shops[setting.shop_id] = msgspec.structs.replace(self.of(setting.shop_id), **changes)
        self.version += 1

    def reset(self, shop_id: str, name: str) -> None:
        """Take a deleted record in: the setting has its defaults again."""
        if name == COMPANIONS:
            self._companions.pop(shop_id, None)
            return
        kind = _kind(name)
        if kind is not None and shop_id in self._shops:
            self.apply(Setting(shop_id=shop_id, name=name, value=msgspec.to_builtins(kind())))

    def _templates(self, shop_id: str, name: str, template: Template) -> tuple[str, dict[str, Template]]:
        """The field of the shop's templates, and them with this one in place; one with nothing in it is none."""
        prefix, _, key = name.partition(":")
        field = TEMPLATES[prefix][0]
        others = {k: v for k, v in getattr(self.of(shop_id), field).items() if k != key}
        return field, others if template == type(template)() else others | {key: template}


def set_for(publisher: Publisher, shop_id: str, name: str, value: Any) -> None:
    """Check a setting and write it to the topic; raises ConfigurationError or KafkaUnavailable."""
    rules = checked(name, value)
    publisher.send_and_wait(
        SETTINGS,
        f"{shop_id}/{name}",
        encode(Setting(shop_id=shop_id, name=name, value=msgspec.to_builtins(rules))),
    )


def follow(settings: Settings, shops: Shops, on_change: Callable[[str], None] | None = None) -> Callable[[], None]:
    """Read the topic to its end, then keep following it in a thread; returns what stops that.

    Raises KafkaUnavailable when the topic can't be read within 30 seconds.
    """
    return following.follow(
        settings, SETTINGS, lambda key, value: _take_in(key, value, shops, on_change), called="settings topic"
    )


def _take_in(key: bytes | None, value: bytes | None, shops: Shops, on_change: Callable[[str], None] | None) -> None:
    try:
        if value is None:
            shop_id, _, name = (key or b"").decode().rpartition("/")
            shops.reset(shop_id, name)
        else:
            setting = decode_setting(value)
            shop_id = setting.shop_id
            shops.apply(setting)
    except (msgspec.DecodeError, ConfigurationError, RecursionError, ValueError) as exc:
        log.warning("setting %r is wrong and has been ignored: %s", key, exc)
        return
    if on_change is not None:
        on_change(shop_id)
