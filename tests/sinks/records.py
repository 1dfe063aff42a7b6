"""Builders of records with one interesting argument, and a way to put them into tables without Kafka."""

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cartwake.clock import rfc3339
from cartwake.topics import DEAD_LETTERS
from sinks import rollup
from sinks.clickhouse import ClickHouse, Parameters
from sinks.columns import Rows, block, gather
from sinks.figures import renew
from sinks.rollup import Rollup
from sinks.sink import statements

NOW = int(time.time() * 1000)
NOON = 1_795_435_200_000  # 2026-11-23T12:00Z
HOUR = 3_600_000
_offsets = itertools.count()


@dataclass(frozen=True)
class Kept:
    """A record as Kafka would give it."""

    data: bytes | None
    name: bytes | None = b"k"
    said: Sequence[tuple[str, bytes]] = ()
    at: int = 0
    arrived: int = NOW

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 2, self.arrived

    def key(self) -> bytes | None:
        return self.name

    def value(self) -> bytes | None:
        return self.data

    def headers(self) -> Sequence[tuple[str, bytes]] | None:
        return self.said or None


class Rolled(ClickHouse):
    """As ClickHouse is with a sink beside it: who asks finds the abandonments computed."""

    waiting: list[tuple[str, int, int]]

    def query(self, statement: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """Compute what waits, and ask."""
        waiting, self.waiting = getattr(self, "waiting", []), []
        for topic in dict.fromkeys(topic for topic, *_ in waiting):
            bounds = [(first, last) for name, first, last in waiting if name == topic]
            Rollup(self).compute((topic, 0), min(bounds)[0], max(last for _, last in bounds))
        return super().query(statement, parameters)

    def table(self, statement: str, parameters: Parameters | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Compute what waits, and ask."""
        self.query("SELECT 1")
        return super().table(statement, parameters)


def rows(topic: str, records: Iterable[Kept | bytes | dict[str, Any]]) -> bytes:
    """The body of an insert, offsets counted on."""
    found: dict[int, Rows] = {}
    for record in records:
        if isinstance(record, dict):
            record = json.dumps(record).encode()  # noqa: PLW2901
        if isinstance(record, bytes):
            record = Kept(record, at=next(_offsets))  # noqa: PLW2901
        gather(topic)(found.setdefault(record.partition(), Rows()), [record])
    return b"".join(block(topic, *x) for x in found.items())


def put(client: ClickHouse, topic: str, *records: Kept | bytes | dict[str, Any], token: str | None = None) -> None:
    """Insert records into the tables of `topic`, as the sink does."""
    first = next(_offsets)
    body, token = rows(topic, records), token or f"t{first}"
    for statement in statements(topic):
        client.insert(statement, body, token=token)
    if topic in rollup.TOPICS:
        named = [record.at for record in records if isinstance(record, Kept)]
        new = (topic, min([first, *named]), max([next(_offsets), *(at + 1 for at in named)]))
        if isinstance(client, Rolled):
            client.waiting = [*getattr(client, "waiting", []), new]
        else:
            Rollup(client).compute((topic, 0), *new[1:])


def made_anew(client: ClickHouse) -> None:
    """Let twenty minutes pass: what waits is computed, and the figures are made of it."""
    client.query("SELECT 1")
    renew(client)


def put_all(client: ClickHouse, said: Iterable[tuple[str, Any]], at_once: int = 40) -> None:
    """Insert many records, each with its topic, so many of a topic at once: each insert takes 60 ms."""
    waiting = defaultdict[str, list[Any]](list)
    for topic, record in said:
        waiting[topic].append(record)
    for topic, records in waiting.items():
        for first in range(0, len(records), at_once):
            put(client, topic, *records[first : first + at_once])


def rounded_up(ms: int) -> int:
    """A lag as `arrivals` has it: rounded up to two digits."""
    digits = 10 ** max(len(str(abs(ms))) - 2, 0)
    return -(-ms // digits) * digits


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A cart event, `number` minutes after noon."""
    return {
        "event_id": f"e{number}",
        "type": "cart.item_added",
        "shop_id": "main",
        "cart_id": "c1",
        "device_id": "d1",
        "occurred_at": rfc3339(NOON + number * 60_000),
        "currency": "EUR",
        "items": [{"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99"}],
    } | changes


def outcome(kind: str = "abandoned", revision: int = 1, number: int = 1, **changes: Any) -> dict[str, Any]:
    """An outcome of the cart `c<number>`, left `number` hours after noon; abandonment `a<number>`."""
    at = NOON + number * HOUR
    facts = {
        "outcome_id": f"o-{number}-{revision}-{kind}",
        "type": f"cart.{kind}",
        "shop_id": "main",
        "cart_id": f"c{number}",
        "revision": revision,
        "episode": 1,
        "abandonment_id": f"a{number}",
        "occurred_at": rfc3339(at + revision * 60_000),
        "abandoned_at": rfc3339(at),
    }
    if kind == "abandoned":
        facts |= {
            "last_activity": rfc3339(at - 2 * HOUR),
            "created_at": rfc3339(at - 3 * HOUR),
            "stage": "payment",
            "currency": "EUR",
            "value": "39.98",
            "units": 2,
            "items": [{"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99"}],
            "cart_url": f"https://shop.example/cart/c{number}",
            "device_id": "d1",
        }
    return facts | changes


def match(subscriber: str = "p-ana", number: int = 1, minute: int = 1, **changes: Any) -> dict[str, Any]:
    """The abandonment of the cart `c<number>`, matched to `subscriber` some minutes after noon."""
    inner = outcome(number=number)
    return {
        "record_id": f"r-{number}-{subscriber}-{minute}",
        "type": "cart.abandoned",
        "subscriber_id": subscriber,
        "shop_id": "main",
        "cart_id": f"c{number}",
        "occurred_at": rfc3339(NOON + minute * 60_000),
        "evidence": {"how": "login", "words": f"{subscriber} logged in", "device_id": "d1"},
        "outcome": inner,
        "email": f"{subscriber}@example.com",
    } | changes


def message(kind: str, minute: int = 1, plan: str = "plan1", number: int = 1, **changes: Any) -> dict[str, Any]:
    """A step of a plan about the abandonment `a<number>`."""
    return {
        "message_id": f"{plan}-{kind}-{minute}",
        "type": f"message.{kind}",
        "plan_id": plan,
        "shop_id": "main",
        "subscriber_id": "p-ana",
        "occurred_at": rfc3339(NOON + minute * 60_000),
        "cart_id": f"c{number}",
        "abandonment_id": f"a{number}",
    } | changes


def dead_letter(value: bytes, *, offset: int = 7, reason: str = "not JSON") -> Kept:
    """A record of dead-letters as the stages write it."""
    said = {"reason": reason, "topic": "cart-events", "partition": "3", "offset": str(offset), "stage": "carts"}
    return Kept(value, said=[(k, v.encode()) for k, v in said.items()], at=next(_offsets))


DEAD = DEAD_LETTERS.name
