"""Carts whose whole story is known, told as events, judged by the real rules of stage 1 and put into ClickHouse twice.

What is true of each is written down as its story is made up, before any rule has seen it.
"""

import json
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cartwake.clock import rfc3339
from cartwake.model import CartOutcome, decode_cart_event, encode
from sinks.clickhouse import ClickHouse
from streams.carts import Cart, fire, fold, waits
from tests.sinks.records import HOUR, NOON, put_all

MINUTE = 60_000
IDLE = HOUR
STEPS = ["contact", "address", "shipping", "payment", "review"]


@dataclass
class Decision:
    """A cart was left at `at`, come back to at `back` and ordered after all; or ordered without having been left."""

    at: int
    was_left: bool
    back: int | None = None
    ordered_at: int | None = None

    @property
    def bought(self) -> bool:
        """Whether it was ordered at all."""
        return self.ordered_at is not None


@dataclass
class Story:
    """What is true of one cart."""

    cart: str
    shop: str
    currency: str
    device: str
    customer: str | None
    lines: dict[str, tuple[int, Decimal]]
    began: int
    reached: int = 0  # place of the last step, 6 when bought
    stage: str = "cart"  # heard last
    merged: bool = False
    decisions: list[Decision] = field(default_factory=list)
    person: str = ""
    evidence: str = ""
    late: bool = False

    @property
    def value(self) -> Decimal:
        """Of what was in it."""
        return sum((quantity * price for quantity, price in self.lines.values()), Decimal(0))


def tell(client: ClickHouse, seed: int, carts: int = 80) -> list[Story]:
    """Make up carts over five days; returns their stories."""
    chance = random.Random(seed)
    stories: list[Story] = []
    said: list[tuple[str, Any]] = []
    for number in range(carts):
        story, events = _story(chance, number)
        outcomes = _judged(story, events)
        said += [("cart-events", json.dumps(x).encode()) for _, x in events]
        said += [("cart-outcomes", encode(x)) for x in outcomes]
        said += [("subscriber-carts", x) for x in _matched(chance, story, outcomes)]
        stories.append(story)
    for _ in range(2):
        put_all(client, said)
    return stories


def _story(chance: random.Random, number: int) -> tuple[Story, list[tuple[int, dict[str, Any]]]]:
    began = NOON - 36 * HOUR + chance.randrange(5 * 24) * HOUR + chance.choice([0, -1, 12 * HOUR])
    skus = chance.sample([f"s{x}" for x in range(6)], chance.randint(1, 4))
    story = Story(
        cart=f"c{number}",
        shop=chance.choice(["main", "main", "other"]),
        currency=chance.choice(["EUR", "USD"]),
        device=chance.choice(["", "desktop", "mobile"]),
        customer=chance.choice([None, f"k{chance.randrange(8)}"]),
        lines={x: (chance.randint(1, 3), Decimal(chance.randint(1, 90)) / 10) for x in skus},
        began=began,
    )
    events: list[tuple[int, dict[str, Any]]] = []

    def say(kind: str, at: int, **more: Any) -> None:
        facts = {"event_id": f"{story.cart}-{len(events)}", "type": kind, "shop_id": story.shop, "cart_id": story.cart}
        facts |= {"occurred_at": rfc3339(at), "currency": story.currency, "customer_id": story.customer} | more
        events.append((at, facts))

    items = [{"sku": x, "name": f"Product {x}", "quantity": q, "price": str(p)} for x, (q, p) in story.lines.items()]
    say("cart.item_added", began, items=items, device_kind="Tablet" if story.device else 7)
    if story.device:  # the newest one counts
        say("cart.viewed", began + 1, device_kind=story.device.upper())
    at = began + MINUTE
    for step in sorted(chance.sample(range(5), chance.randint(0, 3))):
        at += MINUTE
        say("checkout.step", at, step=STEPS[step])
        story.stage, story.reached = STEPS[step], step + 1
    say("cart.viewed", at)
    later = at + IDLE + chance.choice([0, 15 * MINUTE, 15 * MINUTE + 1, 5 * HOUR, 50 * HOUR, 200 * HOUR])
    ending = chance.choice(
        ["once", "once", "left", "left", "back", "saved", "back and bought", "late", "merged", "emptied"]
    )
    if ending in {"once", "merged", "emptied"}:
        kind = {"once": "order.placed", "merged": "cart.merged", "emptied": "cart.cleared"}[ending]
        say(kind, at + MINUTE, order_id="o" + story.cart, into_cart_id="elsewhere" if ending == "merged" else None)
        story.merged = ending == "merged"
        if ending == "once":
            story.decisions.append(Decision(at + MINUTE, was_left=False, ordered_at=at + MINUTE))
    elif ending == "late":  # heard late: it had not been left then, but only afterwards
        say("cart.viewed", at + IDLE - 1)
        story.decisions.append(Decision(at + 2 * IDLE - 1, was_left=True))
    else:
        left = Decision(at + IDLE, was_left=True)
        story.decisions.append(left)
        if ending != "left":
            left.back = later
        if ending.startswith("back"):
            say("cart.viewed", later)
        if ending == "back":
            story.decisions.append(Decision(later + IDLE, was_left=True))
        elif ending != "left":
            left.ordered_at = later if ending == "saved" else later + MINUTE
            say("order.placed", left.ordered_at, order_id="o" + story.cart)
    if any(x.bought for x in story.decisions):
        story.reached = 6
    return story, events


def _judged(story: Story, events: list[tuple[int, dict[str, Any]]]) -> list[CartOutcome]:
    """What stage 1 says; an event between the last activity and its deadline is heard only after the deadline."""
    cart, said = Cart(shop_id=story.shop, cart_id=story.cart), list[CartOutcome]()
    for offset, (at, facts) in enumerate(events):
        event = decode_cart_event(json.dumps(facts).encode())
        if waits(cart) and at == cart.last_activity + IDLE - 1:
            said.append(fire(cart, IDLE))
        said += fold(cart, event, at=at, offset=offset, idle=IDLE) or []
    if waits(cart):
        cart.offset += 1
        said.append(fire(cart, IDLE))
    return said


def _matched(chance: random.Random, story: Story, outcomes: list[CartOutcome]) -> list[dict[str, Any]]:
    """Whose the cart is: for each outcome that says so, a record as stage 2 writes it."""
    if chance.random() < 0.3:
        return []
    story.person = f"p-{chance.randrange(12):024x}"
    story.evidence, story.late = chance.choice(["login", "link", "customer"]), chance.random() < 0.4
    records = []
    for outcome in outcomes:
        if outcome.type not in {"cart.abandoned", "cart.completed", "cart.recovered"}:
            continue
        records.append(
            {
                "record_id": f"r-{outcome.outcome_id}",
                "type": outcome.type,
                "subscriber_id": story.person,
                "shop_id": story.shop,
                "cart_id": story.cart,
                "occurred_at": outcome.occurred_at,
                "evidence": {
                    "how": story.evidence,
                    "words": "was seen",
                    "seen_at": rfc3339(NOON + 300 * HOUR) if story.late else outcome.occurred_at,
                },
                "outcome": json.loads(encode(outcome)),
            }
        )
    return records
