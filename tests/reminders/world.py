"""What stands around stage 3 in its tests: a runtime in miniature, a mail server that obeys, builders."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from cartwake import topics
from cartwake.alarms import Alarms
from cartwake.clock import rfc3339
from cartwake.errors import MailUnavailable
from cartwake.model import (
    CartOutcome,
    Consent,
    Evidence,
    Item,
    Message,
    OfferCode,
    Setting,
    SubscriberCart,
    SubscriberEvent,
    decode_message,
    encode,
    person_id,
)
from cartwake.shops import Shops
from reminders.links import Links
from reminders.outbox import Mail, Medium
from reminders.outcomes import Failed, Sent, Uncertain
from reminders.person import Key, State
from reminders.render import Renderer
from reminders.subscribers import Reminders
from streams.runtime.table import Table

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T0 = 1_795_428_900_000  # 2026-11-23T10:15:00Z
ANA = "ana@example.com"
LINKS = Links("https://t.shop.example.com", "secret of the tests")


_TOPICS = {
    SubscriberCart: topics.SUBSCRIBER_CARTS,
    SubscriberEvent: topics.SUBSCRIBER_EVENTS,
    OfferCode: topics.OFFER_CODES,
}


# -- builders ------------------------------------------------------------------------------------------------
def outcome(**changes: Any) -> CartOutcome:
    kind = changes.get("type", "cart.abandoned")
    values: dict[str, Any] = {
        "outcome_id": "o-1",
        "type": kind,
        "shop_id": "main",
        "cart_id": "c-1",
        "revision": 1,
        "occurred_at": rfc3339(T0),
        "abandonment_id": "ab-1",
        "abandoned_at": rfc3339(T0),
        "last_activity": rfc3339(T0 - 2 * HOUR),
        "currency": "EUR",
        "items": (Item(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.99")),),
        "cart_url": "https://shop.example.com/cart/c-1",
        "stage": "shipping",
    }
    return CartOutcome(**(values | changes))


def cart(at: int = T0, *, email: str | None = ANA, consent: bool | None = None, **changes: Any) -> SubscriberCart:
    """A record of `subscriber-carts` that happened `at`."""
    subscriber_id = changes.pop("subscriber_id", None) or person_id(email or ANA)
    kind = changes.get("type", "cart.abandoned")
    if kind == "cart.unmatched":
        changes["type"] = "cart.abandoned"  # what is taken back
    said = outcome(**({"occurred_at": rfc3339(at)} | changes))
    if said.type == "cart.abandoned" and "abandoned_at" not in changes:
        said = msgspec.structs.replace(said, abandoned_at=rfc3339(at))
    return SubscriberCart(
        record_id=f"r-{said.cart_id}-{said.revision}-{kind}",
        type=kind,
        subscriber_id=subscriber_id,
        shop_id=said.shop_id,
        cart_id=said.cart_id,
        occurred_at=rfc3339(at),
        evidence=Evidence(how="checkout", words="typed at checkout"),
        outcome=said,
        email=email,
        consent=None if consent is None else Consent(granted=consent),
    )


def event(kind: str, at: int = T0, *, email: str | None = ANA, **changes: Any) -> SubscriberEvent:
    """A record of `subscriber-events` that happened `at`."""
    values: dict[str, Any] = {
        "event_id": f"e-{kind}-{at}",
        "type": "subscriber." + kind,
        "occurred_at": at,
        "subscriber_id": person_id(email or ANA),
        "email": email,
    }
    return SubscriberEvent(**(values | changes))


# -- the runtime ---------------------------------------------------------------------------------------------
@dataclass
class FakeRecord:
    topic: str
    offset: int
    value: bytes | None
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class KeptTable(Table[Key, State]):
    """The runtime's table, with what its changelog holds in `kept`."""

    def __init__(self, kept: dict[bytes, bytes]) -> None:
        super().__init__(Key, State)
        self._kept = kept

    def restore(self) -> None:
        """Take back what is on the broker."""
        self.load_all(iter(self._kept.items()))
        self.index()

    def write(self) -> None:
        """What changed is on the broker."""
        for raw, packed in self.take_dirty():
            if packed is None:
                self._kept.pop(raw, None)
            else:
                self._kept[raw] = packed

    @property
    def states(self) -> dict[Key, State]:
        """All of them, as they would come back."""
        return {key: msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State) for key, state in self.items()}


@dataclass
class Server:
    """A mail server that answers as told and keeps what it took."""

    answers: list[Sent | Failed | Uncertain | MailUnavailable] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    asked: int = 0
    before: Callable[[], None] = lambda: None

    async def send(self, mail: Mail) -> Sent | Failed | Uncertain:
        self.asked += 1
        self.before()
        answer = self.answers.pop(0) if self.answers else Sent("250 queued")
        if isinstance(answer, MailUnavailable):
            raise answer
        if not isinstance(answer, Failed):
            self.mails.append(mail)
        return answer


class World:
    """One partition of stage 3 with its log, table and mail server. `crash` loses what was not committed."""

    def __init__(self, *, server: Server | None = None, delay: str = "0s", **rules: Any) -> None:
        """The shop has one step, a mail after `delay`; `rules` change that."""
        self.server = server or Server()
        self.shops = Shops()
        rules = {"steps": [{"after": delay}]} | rules
        self.shops.apply(Setting(shop_id="main", name="reminders", value=rules))
        self.alarms = Alarms()
        self.partition = 0
        self.topic = ""
        self.progress = 0
        self.log: list[FakeRecord] = []
        self.taken = 0
        self.committed = 0
        self.durable: dict[bytes, bytes] = {}
        self.emitted: list[tuple[str, str, bytes]] = []
        self.effects: list[Any] = []
        self.dead: list[str] = []
        self.counters: dict[str, int] = {}
        self._start()

    def _start(self) -> None:
        self.table = KeptTable(self.durable)
        self.effects = []
        renderer = Renderer(links=LINKS, mail_from="Shop <carts@shop.example.com>")
        media = {"email": Medium(renderer, self.server)}
        self.task = Reminders(self, shops=self.shops, media=media, links=LINKS, alarms=self.alarms)
        self.table.restore()
        self.task.on_restored()

    # what the task uses
    def emit(self, topic: str, key: str, value: bytes) -> None:
        self.emitted.append((topic, key, value))

    def effect(self, effect: Any) -> None:
        self.effects.append(effect)

    def dead_letter(self, record: Any, reason: str) -> None:
        self.dead.append(reason)

    def misplaced(self, record: Any, key: str) -> bool:
        return False

    def count(self, name: str, n: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + n

    def arrived(self, timestamp: int) -> int:
        return self.progress

    def saw(self, event_time: int) -> int:
        return self.progress

    # what happens
    def hear(self, *records: SubscriberCart | SubscriberEvent | OfferCode, at: int | None = None) -> "World":
        """Records arrive; time stands at `at` (as it was, when it is left out)."""
        for record in records:
            topic = _TOPICS[type(record)]
            self.log.append(FakeRecord("cartwake." + topic.name, len(self.log), encode(record)))
        return self.read(at)

    def read(self, at: int | None = None) -> "World":
        """Take what waits in the log."""
        self.progress = max(self.progress, self.progress if at is None else at)
        while self.taken < len(self.log):
            self.taken += 1
            record = self.log[self.taken - 1]
            self.topic = record.topic.removeprefix("cartwake.")
            self.task.on_batch([record], self.progress)
        return self

    def time(self, at: int) -> "World":
        """Time comes to `at`."""
        self.progress = max(self.progress, at)
        self.task.on_progress(self.progress)
        return self

    def commit(self) -> list[Any]:
        """Outputs, state and offsets are on the broker; returns the effects that may now run."""
        self.table.write()
        self.committed = self.taken
        effects, self.effects = self.effects, []
        return effects

    def work(self) -> "World":
        """Commit and carry out until nothing is left to do."""
        while effects := self.commit():
            for effect in effects:
                self.task.on_result(effect, asyncio.run(self.task.perform(effect)))
        return self

    def loop_back(self) -> "World":
        """What the stage wrote to its own inputs arrives there."""
        told, self._looped = getattr(self, "_looped", 0), len(self.emitted)
        for topic, _, value in self.emitted[told:]:
            if topic != topics.MESSAGES.name:
                self.log.append(FakeRecord("cartwake." + topic, len(self.log), value))
        return self.read()

    def crash(self, *, state_was_written: bool = False) -> "World":
        """The process dies; the changelog may be ahead of the committed offsets."""
        if state_was_written:
            self.table.write()
        self.taken = self.committed
        self._start()
        return self

    # what came of it
    @property
    def messages(self) -> list[Message]:
        """What `messages` holds, each message_id once, as a reader sees it."""
        found = {}
        for topic, _, value in self.emitted:
            if topic == topics.MESSAGES.name:
                message = decode_message(value)
                assert found.setdefault(message.message_id, message) == message, "one id, two contents"
        return list(found.values())

    @property
    def ends(self) -> list[Message]:
        """How plans ended."""
        return [m for m in self.messages if m.type not in ("message.planned", "message.held")]

    @property
    def held(self) -> list[str | None]:
        """Why plans waited, as said."""
        return [m.reason for m in self.messages if m.type == "message.held"]

    @property
    def said(self) -> list[str]:
        """How plans ended, in short: `suppressed:no_consent`."""
        return [m.type.removeprefix("message.") + (f":{m.reason}" if m.reason else "") for m in self.ends]
