"""What an independent client finds: kafka-python, and no code of the pipeline but the type of a stored cart.

lost     an outcome that the oracle expects and that is on no partition
double   an outcome that must not be there, or one that is there under two ids; the same id again is a repeat
behind   a cart whose stored state is older than the offset that was committed (I5)
other    a cart whose final state is not that of an undisturbed run (I6)
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, UnknownTopicOrPartitionError

from cartwake import topics
from tests import oracle
from tests.faults.load import Load, effect

PATIENCE_S: Final = 180.0
#: Brokers are killed here: ask again soon.
_BRISK: Final[dict[str, Any]] = {
    "reconnect_backoff_max_ms": 300, "request_timeout_ms": 3_000, "bootstrap_timeout_ms": 5_000,
    "metadata_max_age_ms": 2_000,
}  # fmt: skip
CHANGELOG: Final = "{group}-carts-changelog"


class Follower:
    """Reads a topic from its beginning, as far as it has come, and goes on from there the next time."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer: Any = KafkaConsumer(
            bootstrap_servers=bootstrap.split(","),
            reconnect_backoff_max_ms=500,
            metadata_max_age_ms=5_000,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_bytes=8 * 1024 * 1024,
            max_poll_records=5_000,
        )
        numbers: set[int] = patiently(self._partitions_of(topic))
        self._places = [TopicPartition(topic, number) for number in sorted(numbers)]
        self._consumer.assign(self._places)
        self._consumer.seek_to_beginning()

    def _partitions_of(self, topic: str) -> Callable[[], set[int]]:
        def ask() -> set[int]:
            if numbers := self._consumer.partitions_for_topic(topic):
                return set(numbers)
            raise UnknownTopicOrPartitionError(topic)  # a topic just made is not known at once

        return ask

    def fresh(self) -> Iterator[Any]:
        """Records up to what is there now."""
        ends = patiently(lambda: self._consumer.end_offsets(self._places))
        until = time.monotonic() + PATIENCE_S
        left = {place for place in self._places if self._consumer.position(place) < ends[place]}
        while left:
            for records in self._consumer.poll(timeout_ms=500).values():
                until = time.monotonic() + PATIENCE_S
                yield from records
            if time.monotonic() > until:
                raise TimeoutError(f"{left} could not be read to the end")
            left = {place for place in left if self._consumer.position(place) < ends[place]}

    def ends(self) -> dict[int, int]:
        """The next offset of each partition."""
        found = patiently(lambda: self._consumer.end_offsets(self._places))
        return {place.partition: end for place, end in found.items()}

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


class Commits:
    """What a group has committed on a topic."""

    def __init__(self, bootstrap: str, group: str, topic: str) -> None:
        self._bootstrap, self._group, self._topic = bootstrap, group, topic
        self._admin: Any = None

    def now(self) -> dict[int, int]:
        """The committed offset of each partition that has one; raises what the broker says."""
        try:
            if self._admin is None:
                self._admin = KafkaAdminClient(bootstrap_servers=self._bootstrap.split(","), **_BRISK)
            found = self._admin.list_group_offsets(self._group)[self._group]
        except (KafkaError, OSError):
            self.close()
            raise
        return {at.partition: n.offset for at, n in found.items() if at.topic == self._topic and n.offset >= 0}

    def close(self) -> None:
        """Let go of the broker."""
        admin, self._admin = self._admin, None
        if admin is not None:
            with contextlib.suppress(KafkaError, OSError):
                admin.close()


@dataclass
class Finding:
    """What has been read so far, as figures."""

    lost: int = 0
    double: int = 0
    repeats: int = 0
    outcomes: int = 0
    examples: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Checker:
    """Looks at the topics of one run."""

    def __init__(self, bootstrap: str, prefix: str, group: str, load: Load) -> None:
        self._bootstrap, self._prefix, self._group = bootstrap, prefix, group
        self._load = load
        self._places = [{said: n for n, said in enumerate(plot)} for plot in load.expected]
        self._found: dict[str, dict[int, str]] = defaultdict(dict)  # cart: place in its plot: outcome id
        self._unwanted: dict[str, str] = {}  # outcome id: what it says
        self._again = self._twice = self._read = 0
        self.input = Follower(bootstrap, prefix + topics.CART_EVENTS.name)
        self._outcomes = Follower(bootstrap, prefix + topics.CART_OUTCOMES.name)
        self._letters = Follower(bootstrap, prefix + topics.DEAD_LETTERS.name)
        self._changelog: Follower | None = None
        self._events: dict[str, tuple[int, list[int]]] = {}  # cart: partition, offsets of what is no repeat
        self._seen: set[bytes] = set()
        self._carts: dict[str, Stored] = {}
        self.commits = Commits(bootstrap, group, prefix + topics.CART_EVENTS.name)

    # -- reading -----------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take in what is new on the outcomes."""
        for record in self._outcomes.fresh():
            if record.value is None:
                continue
            said = msgspec.json.decode(record.value)
            cart, outcome_id = said["cart_id"], said["outcome_id"]
            told = _effect(said)
            place = self._places[self._load.plot_of(cart)].get(told)
            self._read += 1
            if place is None:
                self._unwanted[outcome_id] = f"{cart}: {told}"
            elif (before := self._found[cart].setdefault(place, outcome_id)) != outcome_id:
                self._twice += 1
                self._unwanted[outcome_id] = f"{cart}: {told} is {before} as well"
            else:
                self._again += 1

    def find(self) -> Finding:
        """What the outcomes amount to; the input has been read by `behind` or is read now."""
        self.read()
        self._read_input()
        wanted = {cart: self._load.expected[self._load.plot_of(cart)] for cart in self._events}
        missing = [
            f"{cart}: {told}"
            for cart, effects in wanted.items()
            for place, told in enumerate(effects)
            if place not in self._found.get(cart, ())
        ]
        distinct = sum(len(places) for places in self._found.values())
        letters = sum(1 for _ in self._letters.fresh())
        return Finding(
            lost=len(missing),
            double=len(self._unwanted),
            repeats=self._again - distinct,
            outcomes=distinct,
            examples=[f"lost {one}" for one in missing[:3]]
            + [f"double {one}" for one in [*self._unwanted.values()][:3]],
            wrong=[f"{letters} dead letters"] if letters else [],
        )

    def behind(self) -> list[str]:
        """Carts that are stored older than what is committed (I5); may be asked at any moment of a run."""
        committed = patiently(self.commits.now)  # before the changelog: what is written later only makes it newer
        ends = self.input.ends()
        self._read_input()
        self._read_carts()
        wrong = [f"committed {n}/{at}, past the end {ends[n]}" for n, at in committed.items() if at > ends[n]]
        for cart, (number, offsets) in self._events.items():
            needed = max((offset for offset in offsets[-16:] if offset < committed.get(number, 0)), default=-1)
            stored = self._carts.get(cart)
            if needed >= 0 and (stored is None or stored.offset < needed):
                has = stored.offset if stored else "nothing"
                wrong.append(f"committed {number}/{committed[number]}, but {cart} has {has} instead of {needed}")
        return wrong

    def carts(self) -> dict[str, "Stored"]:
        """The newest state of each cart on the changelog."""
        self._read_carts()
        return self._carts

    def close(self) -> None:
        """Let go of the broker."""
        for follower in (self.input, self._outcomes, self._letters, self._changelog, self.commits):
            if follower is not None:
                with contextlib.suppress(KafkaError, OSError):
                    follower.close()

    def _read_input(self) -> None:
        for record in self.input.fresh():
            event_id = record.value[: record.value.index(b",")]
            if event_id not in self._seen:
                self._seen.add(event_id)
                self._events.setdefault(record.key.decode(), (record.partition, []))[1].append(record.offset)

    def _read_carts(self) -> None:
        if self._changelog is None:
            self._changelog = Follower(self._bootstrap, CHANGELOG.format(group=self._group))
        for record in self._changelog.fresh():
            stored = stored_cart(record.key, record.value)
            if stored is not None:
                self._carts[stored.cart] = stored


# -- meanings --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Stored:
    """A cart of the changelog: its offset, and what must not depend on faults."""

    cart: str
    offset: int
    meaning: tuple[Any, ...]


def stored_cart(key: bytes, value: bytes | None) -> Stored | None:
    """A record of the changelog; the one place that knows its form. None for what is no cart."""
    from streams.carts import Cart  # noqa: PLC0415 - the project's own type, for this alone

    if not value or key.startswith(b"\0"):  # who opened the changelog writes such a record
        return None
    cart = msgspec.msgpack.decode(value, type=Cart)
    left = cart.abandonment
    lines = sorted((sku, item.quantity, item.price) for sku, item in cart.lines.items())
    meaning = (
        lines, cart.last_activity, cart.created_at, cart.changed_at, cart.replaced_at, cart.episode,
        left and (left.at, left.basis, left.open), cart.stage, cart.held, cart.currency, len(cart.seen),
    )  # fmt: skip
    return Stored(cart.cart_id, cart.offset, meaning)


def _effect(said: dict[str, Any]) -> tuple[Any, ...]:
    """What an outcome says, in the oracle's words, as far as the rules decide it."""
    abandoned_at = said.get("abandoned_at")
    return effect(
        oracle.Outcome(
            type=said["type"].removeprefix("cart."),
            shop_id=said["shop_id"],
            cart_id="",
            episode=said.get("episode", 0),
            abandoned_at=_ms(abandoned_at) if abandoned_at else None,
            reason=said.get("reason"),
            items={item["sku"]: item.get("quantity") for item in said.get("items", ())},
            value=Decimal(str(said.get("value", "0"))),
            stage=said.get("stage", "cart"),
            order_id=said.get("order_id"),
        )
    )


def _ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def patiently(ask: Any) -> Any:
    """Ask until the broker answers; raises what it said last after a minute."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except (KafkaError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
