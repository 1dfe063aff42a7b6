"""Each stage between good and unusable records, without a broker: what it lost, and what it let escape.

A chunk has a seed of its own and can be run again: `python -m tests.faults.trials STAGE SEED CHUNK [CHUNK…]`. The first
chunk has every shape of `fuzz.shapes` and junk in every field; all have mutants of good events.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.model import (
    CartOutcome,
    Item,
    decode_outcome,
    decode_subscriber_cart,
    decode_subscriber_event,
    encode,
    person_id,
)
from cartwake.shops import Shops
from streams.cart_stage import CartStage
from streams.cart_stage import Key as CartKey
from streams.carts import Cart
from streams.identity import Device
from streams.identity_stage import IdentityStage
from streams.identity_stage import Key as DeviceKey
from streams.orders import OrderStage
from tests.fakes import FakeContext, FakeRecord
from tests.faults import fuzz, result
from tests.reminders import world

CHUNK: Final = 5_000  # records; good ones come in addition
NOW: Final = world.T0
BATCH: Final = 50
FOREVER: Final = 2**62
GOOD: Final = 25  # carts, devices, orders or people of a chunk


@dataclass
class Tally(result.Tally):
    """What the trials of a stage have found; good events are among `events`."""

    dead: int = 0


#: Topic, value, and whether it must become a dead letter (None: it may be a usable event).
Sent = tuple[str, bytes | None, bool | None]


class Writable:
    """A table that refuses a state at once that could not be written at the next commit."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def put(self, key: Any, state: Any, *more: Any) -> None:
        msgspec.msgpack.encode((key, state))
        self._table.put(key, state, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


class Strict(FakeContext):
    """A context that refuses what the runtime could not write."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.table = Writable(self.table)

    def emit(self, topic: str, key: str, value: bytes) -> None:
        key.encode("utf-8")
        msgspec.json.decode(value)
        super().emit(topic, key, value)

    def dead_letter(self, record: Any, reason: str) -> None:
        assert reason.strip(), "a dead letter without a reason"
        super().dead_letter(record, reason)

    def misplaced(self, record: Any, key: str) -> bool:
        topics.partition_of(key.encode("utf-8", "surrogatepass"), 4)
        return super().misplaced(record, key)


class Trial(Protocol):
    """A stage on one partition, good events for it, and what it makes of them."""

    dead: list[tuple[Any, str]]

    def good(self) -> list[Sent]:
        """Good events, in the order they must come."""
        ...

    def bases(self) -> dict[str, list[bytes]]:
        """By topic, events that mutants are made of; none concerns what `good` is about."""
        ...

    def take(self, records: Sequence[FakeRecord]) -> None:
        """Hand a batch of one topic over."""
        ...

    def finish(self) -> Counter[str]:
        """Let all time pass, write and read the state; what each good event came to."""
        ...

    def expected(self) -> Counter[str]:
        """What `finish` must say."""
        ...


# -- the stages ------------------------------------------------------------------------------------------------
class CartTrial:
    """Stage 1: good carts get a few items each and are bought."""

    topic = topics.CART_EVENTS.name

    def __init__(self) -> None:
        self._context = Strict(inputs=(self.topic,))
        self._stage = CartStage(self._context, Shops())
        self._stage.on_restored()
        self.dead = self._context.dead

    def good(self) -> list[Sent]:
        said = []
        for cart in range(GOOD):
            for n in range(self._adds(cart)):
                said.append(self._event("good", cart, n, "cart.item_added", items=[{"sku": f"s{n}", "price": "1.50"}]))
            said.append(self._event("good", cart, 99, "order.placed", order_id=f"o-{cart}"))
        return [(self.topic, value, False) for value in said]

    def bases(self) -> dict[str, list[bytes]]:
        item = {"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99", "url": "https://shop.example/a"}
        items = [item | {"image": "https://shop.example/a.png", "category": "shirts"}]
        person = {"session_id": "s-4", "device_id": "d-9", "customer_id": "17", "email": "a@example.com"}
        return {
            self.topic: [
                self._event("odd", 1, 1, "cart.item_added", items=items, **person, consent=True),
                self._event("odd", 1, 2, "cart.updated", items=items * 2, cart_url="https://shop.example/c"),
                self._event("odd", 2, 3, "cart.item_removed", items=[{"sku": "A1"}]),
                self._event("odd", 2, 4, "checkout.step", step="payment", consent={"granted": True, "basis": "box"}),
                self._event("odd", 1, 5, "order.placed", order_id="o-9", total="39.98"),
                self._event("odd", 2, 6, "cart.merged", into_cart_id="c-7"),
                self._event("odd", 3, 7, "wishlist.updated", items=items),
            ]
        }

    def take(self, records: Sequence[FakeRecord]) -> None:
        self._context.topic = records[0].topic
        self._stage.on_batch(records, self._context.progress)

    def finish(self) -> Counter[str]:
        restored = self._context.crashed(CartKey, Cart)
        stage = CartStage(restored, Shops())
        stage.on_restored()
        stage.on_progress(FOREVER)
        found: Counter[str] = Counter()
        for _, _, value in [*self._context.emitted, *restored.emitted]:
            outcome = decode_outcome(value)
            if outcome.cart_id.startswith("good"):
                found[f"{outcome.cart_id} {outcome.type}"] += outcome.units or 0
        return found

    def expected(self) -> Counter[str]:
        return Counter({f"good-{cart} cart.completed": self._adds(cart) for cart in range(GOOD)})

    def _adds(self, cart: int) -> int:
        return 2 + cart % 5

    def _event(self, prefix: str, cart: int, number: int, kind: str, **fields: Any) -> bytes:
        event = {
            "event_id": f"{prefix}-{cart}-{number}",
            "type": kind,
            "shop_id": "main",
            "cart_id": f"{prefix}-{cart}",
        }
        return encode(event | {"occurred_at": NOW + number, "currency": "EUR"} | fields)


class IdentityTrial:
    """Stage 2: good devices are identified, and their carts are left."""

    def __init__(self) -> None:
        self._context = Strict(inputs=(topics.CART_OUTCOMES.name, topics.DEVICE_EVENTS.name))
        self._stage = IdentityStage(self._context)
        self._stage.on_restored()
        self.dead = self._context.dead

    def good(self) -> list[Sent]:
        said: list[Sent] = []
        for n in range(GOOD):
            said.append((topics.DEVICE_EVENTS.name, self._seen(f"good-{n}"), False))
            said.append((topics.CART_OUTCOMES.name, self._left(f"good-{n}"), False))
        return said

    def bases(self) -> dict[str, list[bytes]]:
        unlinked = encode(
            {"event_id": "odd-u", "type": "device.unlinked", "device_id": "odd-1", "occurred_at": NOW, "how": "link"}
        )
        return {
            topics.DEVICE_EVENTS.name: [self._seen("odd-1"), self._seen("odd-2", consent=True), unlinked],
            topics.CART_OUTCOMES.name: [
                self._left("odd-1"),
                self._left("odd-2", "cart.recovered", email="b@example.com", order_id="o-1", customer_id="17"),
                self._left("odd-3", "cart.withdrawn", reason="late_order"),
            ],
        }

    def take(self, records: Sequence[FakeRecord]) -> None:
        self._context.topic = records[0].topic
        self._stage.on_batch(records, self._context.progress)

    def finish(self) -> Counter[str]:
        restored = self._context.crashed(DeviceKey, Device)
        IdentityStage(restored).on_restored()
        self._stage.on_progress(FOREVER)
        told = [decode_subscriber_cart(value) for _, _, value in self._context.emitted]
        return Counter(match.cart_id for match in told if match.cart_id.startswith("good"))

    def expected(self) -> Counter[str]:
        return Counter(f"good-{n}" for n in range(GOOD))

    def _seen(self, device: str, **fields: Any) -> bytes:
        event = {"event_id": f"e-{device}", "type": "device.identified", "device_id": device, "occurred_at": NOW}
        person = {"email": f"{device}@example.com", "customer_id": device, "how": "login", "session_id": "s-1"}
        return encode(event | person | fields)

    def _left(self, cart: str, kind: str = "cart.abandoned", **fields: Any) -> bytes:
        outcome = CartOutcome(
            outcome_id=f"o-{cart}-{kind}",
            type="cart.abandoned",
            shop_id="main",
            cart_id=cart,
            revision=1,
            occurred_at=rfc3339(NOW),
            abandonment_id=f"ab-{cart}",
            abandoned_at=rfc3339(NOW),
            value=Decimal("19.99"),
            items=(Item(sku="A", quantity=1, price=Decimal("19.99")),),
            device_id=cart,
            session_id="s-1",
        )
        return encode(msgspec.structs.replace(outcome, **({"type": kind} | fields)))


class OrderTrial:
    """Purchases: good orders are placed by people with an address."""

    topic = topics.ORDER_EVENTS.name

    def __init__(self) -> None:
        self._context = Strict(inputs=(self.topic,))
        self._stage = OrderStage(self._context)
        self._stage.on_restored()
        self.dead = self._context.dead

    def good(self) -> list[Sent]:
        return [(self.topic, self._order(f"good-{n}", email=f"good-{n}@example.com"), False) for n in range(GOOD)]

    def bases(self) -> dict[str, list[bytes]]:
        more = {"customer_id": "17", "subscriber_id": "s-1", "currency": "EUR", "total": "12.50", "text": "Thank you"}
        return {self.topic: [self._order("odd-1", **more), self._order("odd-2", email="b@example.com", cart_id="c-1")]}

    def take(self, records: Sequence[FakeRecord]) -> None:
        self._context.topic = records[0].topic
        self._stage.on_batch(records, self._context.progress)

    def finish(self) -> Counter[str]:
        orders = [decode_subscriber_event(value).order_id or "" for _, _, value in self._context.emitted]
        return Counter(order for order in orders if order.startswith("good"))

    def expected(self) -> Counter[str]:
        return Counter(f"good-{n}" for n in range(GOOD))

    def _order(self, order: str, **fields: Any) -> bytes:
        event = {"event_id": f"e-{order}", "type": "order.placed", "order_id": order, "occurred_at": NOW}
        return encode(event | fields)


class ReminderTrial:
    """Stage 3: good people agree to be written to and leave a cart; which is heard first does not matter."""

    def __init__(self) -> None:
        self._world = world.World()
        self._world.dead_letter = self._dead_letter  # type: ignore[method-assign]  # with the record, not the reason alone
        self._world.progress = NOW
        self.dead: list[tuple[Any, str]] = []

    def good(self) -> list[Sent]:
        said: list[Sent] = []
        for n in range(GOOD):
            email = f"good-{n}@example.com"
            said.append((topics.SUBSCRIBER_EVENTS.name, encode(world.event("consented", NOW, email=email)), False))
            left = world.cart(NOW, email=email, consent=True, cart_id=f"good-{n}", abandonment_id=f"ab-good-{n}")
            said.append((topics.SUBSCRIBER_CARTS.name, encode(left), False))
        return said

    def bases(self) -> dict[str, list[bytes]]:
        odd = "odd@example.com"
        kinds = ("consented", "withdrawn", "purchased", "bounced", "complained", "updated", "erased")
        events = [encode(world.event(kind, NOW, email=odd, name="Odd", locale="de", order_id="o-1")) for kind in kinds]
        events.append(encode(world.event("consented", NOW, email=odd, subscriber_id="shop-7", customer_id="7")))
        asked = {"cart_id": "odd-1", "request_id": "r-1", "requested_by": "staff"}
        events.append(encode(world.event("reminder_requested", NOW, email=odd, **asked)))
        outcomes: tuple[str, ...] = ("abandoned", "reactivated", "withdrawn", "completed", "recovered", "unmatched")
        carts = [
            encode(world.cart(NOW, email=odd, type=f"cart.{kind}", cart_id="odd-1", revision=n, consent=True))
            for n, kind in enumerate(outcomes)
        ]
        return {topics.SUBSCRIBER_EVENTS.name: events, topics.SUBSCRIBER_CARTS.name: carts}

    def take(self, records: Sequence[FakeRecord]) -> None:
        self._world.topic = records[0].topic
        self._world.task.on_batch(list(records), self._world.progress)

    def finish(self) -> Counter[str]:
        asyncio.run(self._work())
        restarted = self._world.crash(state_was_written=True)
        restarted.time(NOW + world.HOUR)
        asyncio.run(self._work())
        return Counter(mail.recipient for mail in self._world.server.mails if mail.recipient.startswith("good"))

    async def _work(self) -> None:
        while effects := self._world.commit():
            for effect in effects:
                self._world.task.on_result(effect, await self._world.task.perform(effect))
        for _, key, value in self._world.emitted:
            key.encode("utf-8")
            msgspec.json.decode(value)

    def expected(self) -> Counter[str]:
        assert person_id("good-0@example.com").startswith("p-")
        return Counter(f"good-{n}@example.com" for n in range(GOOD))

    def _dead_letter(self, record: Any, reason: str) -> None:
        assert reason.strip(), "a dead letter without a reason"
        self.dead.append((record, reason))


TRIALS: Final[dict[str, type[Any]]] = {
    "carts": CartTrial,
    "identity": IdentityTrial,
    "orders": OrderTrial,
    "reminders": ReminderTrial,
}


# -- a chunk ---------------------------------------------------------------------------------------------------
def _unusable(trial: Trial, draw: random.Random, *, every_shape: bool, size: int) -> Iterator[Sent]:
    bases = trial.bases()
    if every_shape:
        for topic, values in bases.items():
            # what our own stages write has other fields, and no bounds
            must_die = None if topic in (topics.CART_OUTCOMES.name, topics.SUBSCRIBER_CARTS.name) else True
            yield from ((topic, value, must_die) for _, value in fuzz.shapes(values[0]))
            for value in values:
                yield from ((topic, odd, None) for odd in fuzz.in_every_field(value))
    names = list(bases)
    for _ in range(size):
        topic = draw.choice(names)
        yield topic, fuzz.mutant(draw, bases[topic]), None


def run(stage: str, seed: int, number: int, size: int = CHUNK) -> Tally:
    """Hand one chunk to a stage and see what came of it."""
    draw = random.Random(f"{seed}/{stage}/{number}")
    trial: Trial = TRIALS[stage]()
    where = f"python -m tests.faults.trials {stage} {seed} {number}"
    mixed = _mixed(draw, list(_unusable(trial, draw, every_shape=number == 0, size=size)), trial.good())
    tally = Tally(events=len(mixed))
    records = [
        FakeRecord(value, offset=n, timestamp=NOW + n, topic=topic, key=_key(draw, value))
        for n, (topic, value, _) in enumerate(mixed)
    ]
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        for topic in dict.fromkeys(record.topic for record in batch):  # a batch is of one topic
            _take(trial, [record for record in batch if record.topic == topic], tally, where)
    letters = Counter(record.offset for record, _ in trial.dead)
    tally.dead = len(letters)
    for offset, (_, value, must_die) in enumerate(mixed):
        if must_die is True and offset not in letters:
            tally.wrong.append(f"no dead letter for {_shown(value)}; {where}")
        if must_die is False and offset in letters:
            tally.wrong.append(f"a dead letter for the good {_shown(value)}; {where}")
    try:
        found = trial.finish()
    except Exception as exc:
        tally.wrong.append(f"at the end {type(exc).__name__}: {str(exc)[:300]}; {where}")
        return tally
    expected = trial.expected()
    tally.lost += (expected - found).total()
    tally.double += (found - expected).total()
    if found != expected:
        tally.wrong.append(f"good events: {dict(expected - found)} missing, {dict(found - expected)} too many; {where}")
    return tally


def _take(trial: Trial, batch: list[FakeRecord], tally: Tally, where: str) -> None:
    try:
        trial.take(batch)
    except Exception:  # no exception may leave a stage: find the record that made it, and go on
        for record in batch:
            try:
                trial.take([record])
            except Exception as exc:
                what = f"{type(exc).__name__}: {str(exc)[:200]} at record {record.offset} of {record.topic}"
                tally.wrong.append(f"{what}, {_shown(record.value)}; {where}")


def _mixed(draw: random.Random, odd: list[Sent], good: list[Sent]) -> list[Sent]:
    """Both, the good ones in their order between the others."""
    places = sorted(draw.randrange(len(odd) + 1) for _ in good)
    mixed: list[Sent] = []
    last = 0
    for place, event in zip(places, good, strict=True):
        mixed += [*odd[last:place], event]
        last = place
    return mixed + odd[last:]


def _key(draw: random.Random, value: bytes | None) -> bytes | None:
    return draw.choice((None, b"", b"\xff\xfe", b"odd-1", draw.randbytes(5)))


def _shown(value: bytes | None) -> str:
    if value is None or len(value) <= 400:
        return repr(value)
    return f"{value[:200]!r}… ({len(value)} bytes)"


def main(arguments: list[str]) -> None:
    """Run the chunks that are named, and print the tally as JSON."""
    stage, seed, *numbers = arguments
    tally = Tally()
    for number in numbers:
        tally.add(run(stage, int(seed), int(number)))
    seen: Counter[str] = Counter()
    few = []
    for line in tally.wrong:  # a bug meets thousands of values: three of each kind will do
        kind = line[:40]
        seen[kind] += 1
        if seen[kind] <= 3:
            few.append(line)
    tally.wrong = few + [f"{n} times in all: {kind}…" for kind, n in seen.items() if n > 3]
    sys.stdout.write(json.dumps(asdict(tally)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
