"""Carts as shoppers fill them, their order disturbed, folded by stage 1 and by the oracle; what differs is counted.

Carts meet only in the progress of their partition, so each is judged by the oracle alone and told by a marker how far
the others had brought it. State that stage 1 drops (rule 8) the oracle never drops: a cart's story is cut there.

Each chunk has a seed of its own and can be run again: `python -m tests.faults.shuffle DISORDER SEED CHUNK [CHUNK…]`.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from cartwake.clock import rfc3339, to_ms
from cartwake.model import CartOutcome, Setting, decode_outcome
from cartwake.shops import Shops
from cartwake.topics import partition_of
from streams.cart_stage import CartStage
from tests import oracle
from tests.fakes import FakeContext, FakeRecord
from tests.faults import result
from tests.faults.shares import spread

CHUNK: Final = 5_000  # events; carts of different chunks never meet
PARTITIONS: Final = 4
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
TEN_YEARS: Final = 3_653 * DAY
START: Final = oracle.START
IDLE: Final = {"main": 2 * HOUR, "side": 30 * MINUTE}
KEEP: Final = 90 * DAY  # rule 8
KEEP_ENDED: Final = 7 * DAY
MOST: Final = 30  # events of a cart
FOREVER: Final = 2**62

_STEPS: Final = ("contact", "address", "shipping", "payment", "review")
_MOVES: Final = (
    *["cart.item_added"] * 8,
    *["cart.viewed"] * 5,
    *["cart.item_removed"] * 3,
    *["checkout.step"] * 4,
    *["cart.updated"] * 2,
    "cart.cleared",
    "wishlist.updated",
)


@dataclass(frozen=True)
class Disorder:
    """What is done to the order of events: shares are of events, that of `early_orders` of carts."""

    copies: int = 1  # of each event: at once, within the hour, or up to seven days later
    late: float = 0  # arrive one minute to seven days late
    jitter_ms: int = 0  # arrive so much earlier or later
    early_orders: float = 0  # the order arrives before the cart, in half of them with a time before it too
    wrong_clocks: float = 0  # dated ten years ahead, or 1970


DISORDERS: Final = {
    "duplicates": Disorder(copies=10),
    "late": Disorder(late=0.3),
    "shuffled": Disorder(jitter_ms=10 * MINUTE),
    "early-orders": Disorder(early_orders=0.5),
    "wrong-clocks": Disorder(wrong_clocks=0.05),
    "all": Disorder(copies=2, late=0.1, jitter_ms=10 * MINUTE, early_orders=0.1, wrong_clocks=0.01),
}


@dataclass
class Tally(result.Tally):
    """What a comparison has found; `lost` and `double` are outcomes missing and too many."""

    carts: int = 0
    outcomes: int = 0
    abandoned: int = 0
    duplicates: int = 0


# -- carts as shoppers fill them -------------------------------------------------------------------------------
def _journey(draw: random.Random, number: str) -> list[dict[str, Any]]:
    """The events of one cart in the order they happen: at most MOST, with pauses around its shop's idle time."""
    shop = draw.choice(("main", "main", "side"))
    idle = IDLE[shop]
    at = START + draw.randrange(12 * HOUR)
    events: list[dict[str, Any]] = []

    def tell(kind: str, **fields: Any) -> None:
        event = {"event_id": f"{number}-{len(events)}", "type": kind, "shop_id": shop, "cart_id": f"c-{number}"}
        events.append(event | {"occurred_at": at, "currency": "EUR"} | fields)

    tell("cart.item_added", items=[_line(draw)])
    for _ in range(min(int(draw.expovariate(1 / 8)), MOST - 4)):
        if draw.random() < 0.1:
            at += draw.choice((idle - 1, idle, idle + 1, idle // 2, int(idle * draw.uniform(1, 4))))
        else:
            at += int(draw.expovariate(1 / 90_000)) * (draw.random() < 0.95)
        kind = draw.choice(_MOVES)
        if kind == "checkout.step":
            tell(kind, step=draw.choice(_STEPS))
        elif kind in {"cart.viewed", "cart.cleared"}:
            tell(kind)
        elif kind == "cart.item_removed":
            tell(kind, items=[{"sku": draw.choice("ABC")} | draw.choice(({}, {"quantity": 1}))])
        else:
            tell(kind, items=[_line(draw) for _ in range(draw.choice((1, 1, 2)))])
    at += draw.choice((MINUTE, MINUTE, idle - 1, idle, 2 * idle))
    end = draw.random()
    if end < 0.4:
        tell("order.placed", order_id=f"o-{number}")
        if end < 0.1:
            at += draw.choice((MINUTE, idle))
            tell("cart.item_added", items=[_line(draw)])
    elif end < 0.45:
        tell("cart.merged", into_cart_id="c-other")
    return events


def _line(draw: random.Random) -> dict[str, Any]:
    line: dict[str, Any] = {"sku": draw.choice("ABCD")}
    if draw.random() < 0.8:
        line["quantity"] = draw.randint(1, 3)
    if draw.random() < 0.9:
        line["price"] = draw.choice(("19.99", "5.00", "0.10", "7.35", "120"))
    return line


# -- their order disturbed -------------------------------------------------------------------------------------
def _disturb(draw: random.Random, journey: list[dict[str, Any]], how: Disorder) -> Iterator[tuple[int, dict[str, Any]]]:
    """The events with the times they arrive at, in no order."""
    first = journey[0]["occurred_at"]
    early = draw.random() < how.early_orders
    for event in journey:
        arrival = event["occurred_at"] + draw.randint(0, 2_000)
        arrival += draw.randint(-how.jitter_ms, how.jitter_ms)
        if draw.random() < how.late:
            arrival += int(MINUTE * (7 * DAY / MINUTE) ** draw.random())
        if early and event["type"] == "order.placed":
            arrival = first - draw.randint(1, 10 * MINUTE)
            if draw.random() < 0.5:
                event["occurred_at"] = first - draw.randint(1, MINUTE)
        if draw.random() < how.wrong_clocks:
            event["occurred_at"] = draw.choice((event["occurred_at"] + TEN_YEARS, 0, draw.randrange(1_000)))
        yield arrival, event
        for _ in range(how.copies - 1):
            yield arrival + int(draw.choice((0, draw.random() * HOUR, draw.random() * 7 * DAY))), event


def _chunk(how: Disorder, draw: random.Random, *, mode: oracle.Mode, size: int) -> list[oracle.Arrival]:
    """About `size` arrivals in the order the broker has them."""
    told: list[tuple[int, dict[str, Any]]] = []
    number = 0
    while len(told) < size:
        told += _disturb(draw, _journey(draw, f"{number:x}"), how)
        number += 1
    told.sort(key=lambda pair: pair[0])
    if mode == "event" and draw.random() < 0.5:  # a replay: all of it reaches the broker long after it happened
        told = [(START + 30 * DAY + place, event) for place, (_, event) in enumerate(told)]
    return [
        {"partition": partition_of(event["cart_id"].encode(), PARTITIONS), "arrival": arrival, "event": event}
        for arrival, event in told
    ]


# -- what stage 1 says -----------------------------------------------------------------------------------------
def _shops() -> Shops:
    shops = Shops()
    for shop, idle in IDLE.items():
        shops.apply(Setting(shop_id=shop, name="carts", value={"idle": f"{idle // MINUTE}m"}))
    return shops


def _folded(
    arrivals: Sequence[oracle.Arrival], untils: dict[int, int], draw: random.Random, *, mode: oracle.Mode
) -> tuple[dict[oracle.CartKey, list[oracle.Outcome]], int, list[str]]:
    """Outcomes by cart, duplicates, and reasons of dead letters."""
    shops = _shops()
    outcomes: dict[oracle.CartKey, list[oracle.Outcome]] = {}
    duplicates, dead = 0, []
    for partition, until in untils.items():
        context = FakeContext(partition=partition, event_time=mode == "event")
        stage = CartStage(context, shops)
        stage.on_restored()
        records = [
            FakeRecord(_encoded(arrival["event"], draw), offset=offset, timestamp=arrival["arrival"])
            for offset, arrival in enumerate(a for a in arrivals if a["partition"] == partition)
        ]
        while records:
            size = draw.randint(1, 500)
            batch, records = records[:size], records[size:]
            stage.on_batch(batch, context.progress)
        stage.on_progress(until)
        for _, _, value in context.emitted:
            outcome = _plain(decode_outcome(value))
            outcomes.setdefault((outcome.shop_id, outcome.cart_id), []).append(outcome)
        duplicates += context.counters["duplicates"]
        dead += [reason for _, reason in context.dead]
    return outcomes, duplicates, dead


def _encoded(event: dict[str, Any], draw: random.Random) -> bytes:
    """The event as JSON, its time now in milliseconds, now in RFC 3339."""
    if draw.random() < 0.3:
        event = event | {"occurred_at": rfc3339(event["occurred_at"])}
    return msgspec.json.encode(event)


def _plain(outcome: CartOutcome) -> oracle.Outcome:
    return oracle.Outcome(
        type=outcome.type.removeprefix("cart."),
        shop_id=outcome.shop_id,
        cart_id=outcome.cart_id,
        episode=outcome.episode,
        abandoned_at=outcome.abandoned_at and to_ms(msgspec.convert(outcome.abandoned_at, datetime)),  # type: ignore[arg-type]
        reason=outcome.reason,
        items={item.sku: item.quantity or 0 for item in outcome.items},
        value=outcome.value or Decimal(0),
        stage=outcome.stage or "",
        order_id=outcome.order_id,
    )


# -- what the oracle says --------------------------------------------------------------------------------------
@dataclass
class _Story:
    """What came of one cart: its arrivals, each with the progress of its partition just before it."""

    key: oracle.CartKey
    arrivals: list[oracle.Arrival] = field(default_factory=list)
    progress: list[int] = field(default_factory=list)


def _stories(
    arrivals: Sequence[oracle.Arrival], *, mode: oracle.Mode
) -> tuple[dict[oracle.CartKey, _Story], dict[int, int]]:
    """The stories, and how far each partition came."""
    stories: dict[oracle.CartKey, _Story] = {}
    progress: dict[int, int] = {}
    for arrival in arrivals:
        event, partition = arrival["event"], arrival["partition"]
        key = (event["shop_id"], event["cart_id"])
        if mode == "live":
            progress[partition] = arrival["arrival"]
        story = stories.setdefault(key, _Story(key))
        story.arrivals.append(arrival)
        story.progress.append(progress.get(partition, 0))
        if mode == "event":
            progress[partition] = max(progress.get(partition, 0), _time(arrival))
    return stories, progress


def _time(arrival: oracle.Arrival) -> int:
    """When it happened, after rule 9."""
    at, came = int(arrival["event"]["occurred_at"]), int(arrival["arrival"])
    return came if at > came + oracle.AHEAD else at


def _judge(story: _Story, *, until: int, mode: oracle.Mode) -> tuple[list[oracle.Outcome], int]:
    """Outcomes and duplicates of one cart, begun anew wherever its state was dropped."""
    outcomes: list[oracle.Outcome] = []
    duplicates, start = 0, 0
    while start < len(story.arrivals):
        cut = _dropped(story, start, mode=mode)
        result = _run(story, start, cut, until=until if cut == len(story.arrivals) else story.progress[cut], mode=mode)
        outcomes += result.outcomes.get(story.key, [])
        duplicates += result.duplicates
        start = cut
    return outcomes, duplicates


def _run(story: _Story, start: int, end: int, *, until: int, mode: oracle.Mode) -> oracle.Result:
    told: list[oracle.Arrival] = []
    known = 0
    for place in range(start, end):
        arrival, progress = story.arrivals[place], story.progress[place]
        if mode == "event" and progress > known:
            marker = {"event_id": "progress", "type": "wishlist.updated", "cart_id": "-", "occurred_at": progress}
            told.append(arrival | {"event": marker})
        told.append(arrival)
        known = max(known, progress, _time(arrival))
    return oracle.run(told, idle=IDLE[story.key[0]], until=until, mode=mode)


def _dropped(story: _Story, start: int, *, mode: oracle.Mode) -> int:
    """The first place after `start` before which the state was dropped (rule 8), else the end."""
    last = -1
    seen: set[str] = set()
    for place in range(start, len(story.arrivals)):
        progress = story.progress[place]
        if last >= 0 and progress >= last + KEEP_ENDED:
            before = _run(story, start, place, until=progress, mode=mode)
            kinds = [outcome.type for outcome in before.outcomes.get(story.key, [])]
            merged = any(a["event"]["type"] == "cart.merged" for a in story.arrivals[start:place])
            is_empty = story.key not in before.waiting and not _is_open(kinds)
            keep = KEEP_ENDED if is_empty and (merged or "completed" in kinds) else KEEP
            if story.key not in before.waiting and progress >= last + keep:
                return place
        event = story.arrivals[place]["event"]
        if event["type"] != "wishlist.updated" and event["event_id"] not in seen:
            seen.add(event["event_id"])
            last = max(last, _time(story.arrivals[place]))
    return len(story.arrivals)


def _is_open(kinds: list[str]) -> bool:
    """Whether an abandonment was told and nothing after it."""
    if "abandoned" not in kinds:
        return False
    after = kinds[len(kinds) - kinds[::-1].index("abandoned") :]
    return not {"reactivated", "withdrawn", "completed"} & set(after)


# -- both, compared --------------------------------------------------------------------------------------------
def compare(name: str, seed: int, number: int, size: int = CHUNK) -> Tally:
    """Fold one chunk and judge it: two live, the next two on event time."""
    draw = random.Random(f"{seed}/{name}/{number}")
    mode: oracle.Mode = "event" if number % 4 > 1 else "live"
    arrivals = _chunk(DISORDERS[name], draw, mode=mode, size=size)
    stories, progress = _stories(arrivals, mode=mode)
    untils = {partition: draw.choice((at, at + IDLE["main"], FOREVER)) for partition, at in progress.items()}
    where = f"python -m tests.faults.shuffle {name} {seed} {number} ({mode})"
    try:
        said, duplicates, dead = _folded(arrivals, untils, draw, mode=mode)
    except Exception as exc:  # stage 1 must not raise, whatever comes
        return Tally(len(arrivals), lost=len(arrivals), wrong=[f"{type(exc).__name__}: {exc}; {where}"])
    tally = Tally(len(arrivals), carts=len(stories), duplicates=duplicates)
    tally.wrong += [f"dead letter: {reason}; {where}" for reason in dead[:3]]
    for key, story in stories.items():
        until = untils[story.arrivals[0]["partition"]]
        expected, repeats = _judge(story, until=until, mode=mode)
        duplicates -= repeats
        found = said.pop(key, [])
        tally.outcomes += len(found)
        tally.abandoned += sum(outcome.type == "abandoned" for outcome in found)
        ours, theirs = _decided(found), _decided(expected)
        if ours != theirs:
            missing, more = Counter(map(str, theirs)), Counter(map(str, ours))
            tally.lost += (missing - more).total()
            tally.double += (more - missing).total()
            tally.wrong.append(f"cart {key}: {_first_difference(ours, theirs)}; {where}")
    if said:
        tally.wrong.append(f"{len(said)} carts nobody sent: {list(said)[:3]}; {where}")
    if duplicates:
        tally.wrong.append(f"{duplicates:+} duplicates counted; {where}")
    return tally


def _decided(outcomes: Iterable[oracle.Outcome]) -> list[tuple[Any, ...]]:
    return [oracle.decided(outcome) for outcome in outcomes]


def _first_difference(ours: list[Any], theirs: list[Any]) -> str:
    for place in range(max(len(ours), len(theirs))):
        said, expected = (side[place] if place < len(side) else None for side in (ours, theirs))
        if said != expected:
            return f"outcome {place} is {said}, not {expected}"
    return "no difference"


def run(name: str, seed: int, events: int) -> tuple[Tally, float]:
    """Compare so many events, in processes of their own; also the seconds it took."""
    began = time.monotonic()
    size = min(CHUNK, events // 4)  # both modes, in both processes
    found, failed = spread("tests.faults.shuffle", [name, str(seed), f"--size={size}"], range(-(-events // size)))
    tally = Tally(wrong=failed)
    for part in found:
        tally.add(Tally(**part))
    return tally, time.monotonic() - began


def main(arguments: list[str]) -> None:
    """Compare the chunks that are named, and print the tally as JSON."""
    sizes = [int(argument.removeprefix("--size=")) for argument in arguments if argument.startswith("--size=")]
    name, seed, *numbers = [argument for argument in arguments if not argument.startswith("--")]
    tally = Tally()
    for number in numbers:
        tally.add(compare(name, int(seed), int(number), *sizes))
    sys.stdout.write(json.dumps(asdict(tally)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
