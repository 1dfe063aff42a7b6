"""`reminders` and `…template:…`: a shop's rules for writing to people, and its own words, checked when they are set.

A step is one message about one abandonment; its place in `steps` is its number, counted from 1. A shop without steps
writes to nobody. Amounts are decimal numbers in the cart's own currency; times of day are the person's.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct
from msgspec.structs import replace

from cartwake.durations import duration
from cartwake.errors import ConfigurationError, InvalidEvent
from cartwake.model import Channel
from cartwake.money import check_amount, check_currency

Stage = Literal["cart", "contact", "address", "shipping", "payment", "review"]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Share = Annotated[int, Meta(ge=0, le=100)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]

#: The template that is chosen by the checkout step the cart was left at: `cart`, `shipping` or `payment`.
BY_STAGE: Final = "by-stage"
MOST_STEPS: Final = 20
EXAMPLE: Final = '{"steps": [{"after": "1h"}, {"after": "1d", "only": {"value_from": "30"}}]}'


class Audience(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a step is for. `subscribers` agreed by themselves, not at checkout; `groups` are the shop's own."""

    who: Literal["everyone", "subscribers", "logged-in", "guests"] = "everyone"
    groups: tuple[Word, ...] = ()  # in at least one of these
    not_groups: tuple[Word, ...] = ()  # in none of these


class Conditions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a cart must be like for a step; all that is given must hold."""

    value_from: Decimal | None = None
    value_to: Decimal | None = None
    items_from: Count | None = None
    items_to: Count | None = None
    currencies: tuple[Word, ...] = ()
    stages: tuple[Stage, ...] = ()
    categories: tuple[Word, ...] = ()  # at least one line of one of these
    skus: tuple[Word, ...] = ()  # at least one of these
    shoppers: Literal["all", "new", "returning"] = "all"  # returning: has bought before


class Offer(Struct, frozen=True, forbid_unknown_fields=True):
    """A code for the person alone, from the pool `pool` (see `cartwake offers`) or from the shop by `callback`.

    `text` says in the mail what it is good for; `empty` what happens when there is none.
    """

    pool: Name | None = None
    callback: Annotated[str, Meta(max_length=2_000, pattern=r"^https://")] | None = None
    text: Annotated[str, Meta(max_length=200)] = ""
    valid: str = "7d"
    empty: Literal["hold", "without"] = "hold"


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """One of several forms of a step. Shares of a step's variants add up to 100."""

    name: Name
    share: Share
    template: Name = BY_STAGE


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One message: `after` the abandonment, by `channel`, to `audience`, about carts that meet `only`."""

    after: str = "0s"
    channel: Channel = "email"
    template: Name = BY_STAGE
    audience: Audience = Audience()
    only: Conditions = Conditions()
    offer: Offer | None = None
    products: bool = False  # up to four that were bought with those in the cart
    variants: tuple[Variant, ...] = ()


class QuietHours(Struct, frozen=True, forbid_unknown_fields=True):
    """No message between these times of day, in the person's time zone, else the shop's."""

    begin: Clock = "21:00"
    end: Clock = "08:00"


class ReminderRules(Struct, frozen=True, forbid_unknown_fields=True):
    """All rules of a shop. `cap` is messages per person and channel in 24 hours; `expiry` counts from a step's time.

    `enabled_at` is when reminders were switched on (set by whoever sets them): carts left before are not written to.
    """

    enabled: bool = True
    steps: Annotated[tuple[Step, ...], Meta(max_length=MOST_STEPS)] = ()
    quiet_hours: QuietHours | None = None
    cap: Annotated[int, Meta(ge=1, le=10)] = 1
    expiry: str = "3d"
    holdout: Annotated[int, Meta(ge=0, le=90)] = 0  # percent of episodes nobody is written to about
    blocked: tuple[Word, ...] = ()  # addresses, or hosts as @example.com
    uncertain: Literal["hold", "resend"] = "hold"
    hold_when_orders_stop: bool = True
    attribution: str = "5d"
    enabled_at: int | None = None  # epoch milliseconds


class MailTemplate(Struct, frozen=True, forbid_unknown_fields=True):
    """`template:<name>.<language>`: a mail in the shop's own words or design. An empty part is the built-in one."""

    subject: Annotated[str, Meta(max_length=1_000)] = ""
    html: Annotated[str, Meta(max_length=64_000)] = ""
    text: Annotated[str, Meta(max_length=32_000)] = ""


class SmsTemplate(Struct, frozen=True, forbid_unknown_fields=True):
    """`sms-template:<name>.<language>`: a text message in the shop's own words. An empty one is the built-in one."""

    text: Annotated[str, Meta(max_length=4_000)] = ""


class PushTemplate(Struct, frozen=True, forbid_unknown_fields=True):
    """`push-template:<name>.<language>`: a push message in the shop's own words. An empty part is the built-in one."""

    title: Annotated[str, Meta(max_length=1_000)] = ""
    body: Annotated[str, Meta(max_length=4_000)] = ""


def check(rules: ReminderRules) -> None:
    """Raise ConfigurationError unless the rules make sense together."""
    duration(rules.expiry), duration(rules.attribution)
    for number, step in enumerate(rules.steps, 1):
        try:
            _check_step(step)
        except ConfigurationError as exc:
            raise ConfigurationError(f"steps[{number - 1}]: {exc}") from exc
    for entry in rules.blocked:
        if not re.fullmatch(r"[^@\s]*@[^@\s]+", entry):
            raise ConfigurationError(f"blocked: {entry!r} is neither an address nor a host. Example: @example.com")
    if (quiet := rules.quiet_hours) is not None and quiet.begin == quiet.end:
        raise ConfigurationError("quiet_hours: begin and end are the same. To write to nobody: enabled = false")


def switched_on(before: ReminderRules, rules: ReminderRules, now: int) -> ReminderRules:
    """`rules` with the time they begin to hold: now, where nobody was written to `before`."""
    if rules.enabled_at is not None or not (rules.enabled and rules.steps):
        return rules
    was_on = before.enabled and before.steps
    return replace(rules, enabled_at=before.enabled_at if was_on else now)


def _check_step(step: Step) -> None:
    duration(step.after)
    if step.variants and sum(variant.share for variant in step.variants) != 100:
        raise ConfigurationError("the shares of variants must add up to 100")
    if len({variant.name for variant in step.variants}) != len(step.variants):
        raise ConfigurationError("two variants have the same name")
    try:
        check_amount(step.only.value_from, "value_from")
        check_amount(step.only.value_to, "value_to")
        for code in step.only.currencies:
            check_currency(code)
    except InvalidEvent as exc:
        raise ConfigurationError(f"only.{exc}") from exc
    for low, high in (
        (step.only.value_from, step.only.value_to), (step.only.items_from, step.only.items_to),
    ):  # fmt: skip
        if low is not None and high is not None and low > high:
            raise ConfigurationError(f"only: from {low} to {high} is empty")
    if step.offer is not None:
        duration(step.offer.valid)
        if (step.offer.pool is None) == (step.offer.callback is None):
            raise ConfigurationError("offer: name either a pool or a callback")


def check_zone(name: str) -> None:
    """Raise ConfigurationError unless `name` is empty or a time zone (IANA)."""
    if name and zone(name) is None:
        raise ConfigurationError(f"time_zone: {name!r} is not known. Example: Europe/Berlin")


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo | None:
    """The time zone of that name (IANA), or None."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None
