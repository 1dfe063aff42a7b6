"""What the lab's messages are sent with: each is made as a real one would be, noted, and goes nowhere.

No channel, gateway, secret or code of the shop is used. A message that can't be made ends its plan as it would live.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from cartwake.durations import duration_ms
from cartwake.rules import Offer
from cartwake.settings import Settings
from cartwake.shops import Shop, Shops
from cartwake.stage import Context
from reminders import channels, person
from reminders.channels.sms import renderer as sms_renderer
from reminders.codes import Codes
from reminders.letter import Letter
from reminders.links import Links
from reminders.offers import Wish
from reminders.outbox import Medium
from reminders.outcomes import Sent
from reminders.person import Gift
from reminders.push.message import PushRenderer
from reminders.sms.callbacks import Callbacks
from reminders.subscribers import Reminders

#: Signs links that nobody gets.
_NOBODYS: Final = "of the laboratory, and of no use elsewhere"


@dataclass(frozen=True, slots=True)
class Noted:
    """A message that was made, without its texts."""

    message_id: str
    shown: dict[str, str] = field(default_factory=dict)


class Recorder:
    """Takes every message, and sends none."""

    async def send(self, message: Noted, /) -> Sent:
        """It counts as sent."""
        return Sent("Recorded by the laboratory; nothing was sent.")


class EnoughCodes(Codes):
    """A pool that is never empty and takes no code from the shop's."""

    def take(self, shop_id: str, offer: Offer, plan_id: str, now: int) -> Gift | None:
        """A code that stands for one."""
        return _gift(plan_id, now + duration_ms(offer.valid), offer.text, offer.pool)

    def put_back(self, shop_id: str, gift: Gift) -> None:
        """It came from nowhere."""


class EnoughOffers:
    """A shop that always has a code, and is never asked for one."""

    async def ask(self, wish: Wish, now: int, /) -> Gift:
        """A code that stands for one."""
        return _gift(wish.wanted.plan_id, now + wish.valid_ms, wish.text, None)

    async def give_back(self, wish: Wish, code: str, now: int, /) -> None:
        """It came from nowhere."""


def recording(settings: Settings, shops: Shops) -> Callable[[Context[person.Key, person.State]], Reminders]:
    """Stage 3 with the channels that are set up here, each of which only notes."""
    apart = msgspec.structs.replace(settings, secret=_NOBODYS)
    links, callbacks = Links(apart.collector_url, _NOBODYS), Callbacks(apart.collector_url, _NOBODYS)
    renderers: dict[str, Callable[[Letter, Shop], Any]] = {
        "email": channels.renderer(apart, links),
        "push": PushRenderer(links=links),
    }
    if apart.sms_preset != "none":
        renderers["sms"] = sms_renderer(apart, links, callbacks)
    recorder = Recorder()
    media: Mapping[str, Medium] = {name: Medium(_noted(make), recorder) for name, make in renderers.items()}
    return lambda context: Reminders(
        context, shops=shops, media=media, links=links, offers=EnoughOffers(), codes=EnoughCodes
    )


def _noted(make: Callable[[Letter, Shop], Any]) -> Callable[[Letter, Shop], Noted]:
    return lambda letter, shop: Noted(make(letter, shop).message_id)


def _gift(plan_id: str, until: int, text: str, pool: str | None) -> Gift:
    return Gift(code=f"LAB-{plan_id[:12].upper()}", until=until, text=text, pool=pool)
