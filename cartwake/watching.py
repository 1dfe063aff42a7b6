"""The job `alarms`: looks at the checkout of every shop, says on `alerts` what is wrong, and tells its admins.

in   alerts (what was said before), settings, ClickHouse
out  alerts, shop_id; mails to the shops' admins

What is said follows from what is on the topic, which is waited for, so a crash loses nothing: an alarm that was said is
known after it, one that was not is found again. A mail is recorded once the relay has it; between the two a crash sends
it once more, under the same Message-ID.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from cartwake.alarms import Alarm, Alarms, decide, mailed, to_mail
from cartwake.clock import to_ms
from cartwake.flow import Counts, Watcher
from cartwake.model import Alert, encode
from cartwake.publish import Records
from cartwake.rules import zone
from cartwake.shops import Shop, Shops
from cartwake.topics import ALERTS

log = logging.getLogger(__name__)

_LATELY_MS: Final = timedelta(days=8) // timedelta(milliseconds=1)


class Store(Counts, Protocol):
    """Counts of every shop."""

    def shops(self, *, since: int) -> Iterable[str]:
        """The shops that had a checkout or an order since then."""
        ...


#: Sends the mail about a record of an alarm to an address: whether it left (None: try again later), and the answer.
Tell = Callable[[Alarm, Alert, str, Shop], Coroutine[Any, Any, tuple[bool | None, str]]]


@dataclass(slots=True)
class Figures:
    """What the job has done since it started."""

    looks: int = 0
    behind: int = 0
    mails: int = 0
    mails_failed: int = 0
    looked_at: float = 0.0


@dataclass(slots=True)
class Watch:
    """Looks at all shops. `arrived` says whether ClickHouse has what Kafka had at that moment."""

    store: Store
    shops: Shops
    alarms: Alarms
    records: Records
    tell: Tell
    arrived: Callable[[], bool]
    figures: Figures = field(default_factory=Figures)
    _watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self._watcher = Watcher(self.store)

    def look(self, now: int) -> list[Alert]:
        """Look at every shop once, as of `now`; returns what was said. Raises Unavailable."""
        said: list[Alert] = []
        if self.arrived():
            for shop_id in sorted({*self.store.shops(since=now - _LATELY_MS), *self._with_an_open_one()}):
                alert = self._judge(shop_id, now)
                if alert is not None:
                    said.append(self._say(alert))
            self.figures.looks += 1
            self.figures.looked_at = now / 1000
        else:
            self.figures.behind += 1
            log.warning("nothing is judged: the sink has not yet written what is in Kafka, and it might look broken")
        for alarm in list(self.alarms):
            shop = self.shops.of(alarm.shop_id)
            for about, to in list(to_mail(alarm, shop.alarms, now)):
                said += self._mail(alarm, about, to, shop, now)
        return said

    def _with_an_open_one(self) -> list[str]:
        return [alarm.shop_id for alarm in self.alarms if alarm.open]

    def _judge(self, shop_id: str, now: int) -> Alert | None:
        shop, last = self.shops.of(shop_id), self.alarms.last(shop_id)
        if not shop.alarms.enabled and (last is None or not last.open):
            return None
        where = zone(shop.profile.time_zone) or UTC if shop.profile.time_zone else UTC
        looks = self._watcher.looks(shop_id, now=now, where=where, idle=shop.idle_ms)
        return decide(last, looks, shop.alarms, shop_id=shop_id, now=now, idle=shop.idle_ms)

    def _mail(self, alarm: Alarm, about: Alert, to: str, shop: Shop, now: int) -> list[Alert]:
        sent, words = asyncio.run(self.tell(alarm, about, to, shop))
        if sent is None:
            log.warning("the mail about an alarm of shop %s is tried again: %s", shop.shop_id, words)
            return []
        self.figures.mails += sent
        self.figures.mails_failed += not sent
        return [self._say(mailed(about, to, sent=sent, words=words, now=now))]

    def _say(self, alert: Alert) -> Alert:
        self.records.send_and_wait(ALERTS, alert.shop_id, encode(alert))
        self.alarms.apply(alert, to_ms(datetime.fromisoformat(alert.occurred_at)))
        log.warning("shop %s: %s: %s", alert.shop_id, alert.type, alert.words)
        return alert
