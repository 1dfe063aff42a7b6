"""kill -9 of the streams process in the middle of 20,000 events, three times: nothing lost, nobody written to twice.

What must come out is said by the oracle, from the events and the broker's times as an independent client reads them.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from datetime import datetime

import msgspec
import pytest

from cartwake import topics
from cartwake.clock import rfc3339, to_ms
from cartwake.model import encode
from cartwake.shops import set_for
from tests import oracle
from tests.e2e.conftest import Pipeline
from tests.patience import until

pytestmark = pytest.mark.stack

EVENTS, CARTS, KILLS = 20_000, 500, 3
QUARTER = EVENTS // (KILLS + 1)
IDLE_S = 10
SEED = 20261123

#: type, cart, episode, deadline, and for an abandonment the units that were in the cart
Said = tuple[str, str, int, int | None, int]


def test_three_kills_lose_nothing_and_write_to_nobody_twice(pipeline: Pipeline) -> None:
    set_for(pipeline.publisher, "main", "carts", {"idle": f"{IDLE_S}s", "trial": True})
    draw = random.Random(SEED)
    keep = threading.Thread(target=pipeline.supervisor.wait, daemon=True)
    keep.start()

    for quarter in range(KILLS + 1):
        first = quarter * QUARTER
        feeder = threading.Thread(target=_feed, args=(pipeline, first), daemon=True)
        feeder.start()
        if quarter < KILLS:
            until(lambda first=first: pipeline.committed("streams", "cart-events") > first, f"quarter {quarter}")
            time.sleep(draw.random())
            os.kill(pipeline.supervisor.pids()["streams"], signal.SIGKILL)
        feeder.join(60)
        end = first + QUARTER
        until(lambda end=end: pipeline.committed("streams", "cart-events") >= end, f"quarter {quarter} is read")

    expected = _expected(pipeline)
    until(lambda: len(_said(pipeline)) >= len(expected), "every outcome")
    assert _said(pipeline) == expected
    assert len(expected) >= CARTS * 4 // 5

    left = {cart for cart, kind in _last(expected).items() if kind == "abandoned"}
    until(lambda: len(pipeline.mails()) >= len(left), "every mail")
    time.sleep(2)  # one too many would come now
    to = Counter(mail["To"] for mail in pipeline.mails())
    assert max(to.values()) == 1
    assert {f"{cart}@example.com" for cart in left} <= to.keys()
    sent = [m["abandonment_id"] for m in pipeline.records("messages") if m["type"] == "message.sent"]
    assert len(set(sent)) == len(to)

    def each_once() -> bool:
        (row,) = pipeline.rows("SELECT count() AS n, uniqExact(event_id) AS ids FROM cart_events")
        return (row["n"], row["ids"]) == (EVENTS, EVENTS)

    until(each_once, "each event once in ClickHouse")
    pipeline.supervisor.ask_to_stop()
    keep.join(60)


def _feed(pipeline: Pipeline, first: int) -> None:
    """A quarter of the events in some two seconds, cart by cart; the last event of every fifth cart is its order."""
    for n in range(first, first + QUARTER):
        cart = f"c-{n % CARTS}"
        now = rfc3339(time.time_ns() // 1_000_000)
        event = {
            "event_id": f"e-{n}", "cart_id": cart, "occurred_at": now, "currency": "EUR",
            "email": f"{cart}@example.com", "consent": True, "cart_url": f"https://shop.example.com/{cart}",
        }  # fmt: skip
        if n >= EVENTS - CARTS and n % 5 == 0:
            event |= {"type": "order.placed", "order_id": f"o-{n}"}
        else:
            event |= {"type": "cart.item_added", "items": [{"sku": f"s-{n % 7}", "price": "1.50", "quantity": 1}]}
        pipeline.publisher.send(topics.CART_EVENTS, cart, encode(event))
        if n % 100 == 0:
            time.sleep(0.04)
    pipeline.publisher.flush()


def _expected(pipeline: Pipeline) -> set[Said]:
    """Each cart by itself: nothing is late here, so what comes out does not depend on the other carts."""
    arrivals: dict[str, list[oracle.Arrival]] = {}
    for record in pipeline.raw("cart-events"):
        event = msgspec.json.decode(record.value)
        event |= {"shop_id": "main", "occurred_at": _ms(event["occurred_at"])}
        arrival = {"partition": record.partition, "arrival": record.timestamp, "event": event}
        arrivals.setdefault(event["cart_id"], []).append(arrival)
    expected = set()
    for told in arrivals.values():
        result = oracle.run(told, idle=IDLE_S * 1000, until=told[-1]["arrival"] + 3_600_000)
        expected |= {
            (o.type, o.cart_id, o.episode, o.abandoned_at, sum(o.items.values()) if o.type == "abandoned" else 0)
            for said in result.outcomes.values()
            for o in said
            if o.type != "completed"
        }
    return expected


def _ms(moment: str) -> int:
    return to_ms(msgspec.convert(moment, datetime))


def _said(pipeline: Pipeline) -> set[Said]:
    """Distinct outcomes; a record that was sent again after a crash has the same id."""
    outcomes = {o["outcome_id"]: o for o in pipeline.records("cart-outcomes")}
    return {
        (
            o["type"].removeprefix("cart."),
            o["cart_id"],
            o.get("episode", 0),
            _ms(o["abandoned_at"]) if "abandoned_at" in o else None,
            o["units"] if o["type"] == "cart.abandoned" else 0,
        )
        for o in outcomes.values()
        if o["type"] != "cart.completed"
    }


def _last(expected: set[Said]) -> dict[str, str]:
    """How each cart's newest episode ended."""
    rank = {"abandoned": 0, "reactivated": 1, "withdrawn": 1, "recovered": 2}
    ordered = sorted(expected, key=lambda o: (o[1], o[2], rank[o[0]]))
    return {cart: kind for kind, cart, *_ in ordered}
