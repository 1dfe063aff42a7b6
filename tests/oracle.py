"""An oracle of the cart rules (design, section 3): slow, obvious, written without a look at what it checks.

Nothing is carried forward. A cart is two lists, what it has `seen` and what was `said` about it, and every
question (what is in it, when was it last active, is an abandonment open) is answered by reading both from the
start.

`run` judges a list of arrivals; `arrivals` and `scenarios` are hypothesis strategies crowding the boundaries.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from hypothesis import strategies as st

Mode = Literal["live", "event"]
Arrival = dict[str, Any]  # {"partition": int, "arrival": ms, "event": {...}}
CartKey = tuple[str, str]  # shop_id, cart_id

REMEMBERED: Final = 64
AHEAD: Final = 5 * 60_000

ENDINGS: Final = frozenset({"order.placed", "cart.merged"})  # no activity; they empty whatever their time
REPLACEMENTS: Final = frozenset({"cart.updated", "cart.cleared"}) | ENDINGS
FILLINGS: Final = frozenset({"cart.item_added", "cart.item_removed", "cart.updated"})  # only their items count
CHANGES: Final = FILLINGS | REPLACEMENTS
TYPES: Final = frozenset({"cart.viewed", "checkout.step", "wishlist.updated"}) | CHANGES


class Outcome(NamedTuple):
    """What is said about a cart; equal to the plain tuple of its fields.

    The rules leave some fields open, see `decided`. Here, abandoned, reactivated and withdrawn carry the cart
    as it was when it was abandoned; completed and recovered carry what was bought, the cart before its order.
    """

    type: str
    shop_id: str
    cart_id: str
    episode: int
    abandoned_at: int | None
    reason: str | None
    items: dict[str, int]
    value: Decimal
    stage: str
    order_id: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """Outcomes of each cart that has any, in order; `waiting` has the deadline of each cart not yet due."""

    outcomes: dict[CartKey, list[Outcome]]
    duplicates: int
    clamped: int
    waiting: dict[CartKey, int]


_SNAPSHOT: Final = {"items", "value", "stage"}
_OPEN_FIELDS: Final[dict[str, set[str]]] = {
    "abandoned": set(),
    "reactivated": _SNAPSHOT,
    "withdrawn": _SNAPSHOT | {"order_id"},
    "completed": {"episode", "abandoned_at", "stage"},
    "recovered": {"stage"},
}


def decided(outcome: Sequence[Any]) -> tuple[Any, ...]:
    """Return the outcome with `...` in each field the rules leave open, to compare only what they fix."""
    full = Outcome(*outcome)
    left_open = _OPEN_FIELDS[full.type]
    return tuple(... if name in left_open else value for name, value in zip(full._fields, full, strict=True))


def run(arrivals: Sequence[Arrival], *, idle: int, until: float, mode: Mode = "live") -> Result:
    """Judge arrivals read in this order; `idle` and the final progress `until` are ms (`math.inf` fires all).

    Raise ValueError on input no broker delivers: an unknown type, a partition whose time runs back, a cart on
    two partitions, and, when live, an `until` before the last arrival.
    """
    _check(arrivals, until=until, mode=mode)
    carts: dict[CartKey, _Cart] = {}
    duplicates = clamped = 0

    for place, record in enumerate(arrivals):
        neighbours = [cart for cart in carts.values() if cart.partition == record["partition"]]
        if mode == "live":
            _fire_due(neighbours, idle=idle, progress=record["arrival"])

        event = _seen(record)
        if event.type != "wishlist.updated":
            key = _key(record)
            cart = carts.setdefault(key, _Cart(*key, partition=record["partition"]))
            if event.event_id in _remembered_ids(cart):
                duplicates += 1
            else:
                clamped += _is_ahead(record)
                _receive(cart, event, idle=idle)

        if mode == "event":
            read = [r for r in arrivals[: place + 1] if r["partition"] == record["partition"]]
            neighbours = [cart for cart in carts.values() if cart.partition == record["partition"]]
            _fire_due(neighbours, idle=idle, progress=max(_seen(r).occurred_at for r in read))

    _fire_due(list(carts.values()), idle=idle, progress=until)
    deadlines = {key: _deadline(cart, idle=idle) for key, cart in carts.items()}
    return Result(
        outcomes={key: [said.outcome for said in cart.said] for key, cart in carts.items() if cart.said},
        duplicates=duplicates,
        clamped=clamped,
        waiting={key: deadline for key, deadline in deadlines.items() if deadline is not None},
    )


# -- what a cart is ------------------------------------------------------------------------------------------


class _Seen(NamedTuple):
    event_id: str
    type: str
    occurred_at: int  # clamped
    items: tuple[Mapping[str, Any], ...]
    step: str | None
    order_id: str | None


class _Said(NamedTuple):
    after: int  # how many events the cart had seen
    outcome: Outcome


@dataclass(slots=True)
class _Cart:
    shop_id: str
    cart_id: str
    partition: int
    seen: list[_Seen] = field(default_factory=list)
    said: list[_Said] = field(default_factory=list)


class _Line(NamedTuple):
    quantity: int
    price: Decimal | None


class _Abandonment(NamedTuple):
    outcome: Outcome
    fate: frozenset[str]  # types of what was said after it

    @property
    def is_open(self) -> bool:
        return not self.fate & {"reactivated", "withdrawn", "completed"}

    @property
    def can_still_be_judged(self) -> bool:
        return not self.fate & {"withdrawn", "completed"}


# -- questions, each answered from the whole history ---------------------------------------------------------


def _remembered_ids(cart: _Cart) -> list[str]:
    latest_first = dict.fromkeys(event.event_id for event in reversed(cart.seen))
    return list(latest_first)[:REMEMBERED]


def _last_activity(cart: _Cart) -> int:
    return max(event.occurred_at for event in cart.seen if event.type not in ENDINGS)


def _applied(seen: Sequence[_Seen]) -> list[_Seen]:
    """Return the events that changed the contents when they arrived."""
    applied: list[_Seen] = []
    for event in seen:
        replaced_at = max((e.occurred_at for e in applied if e.type in REPLACEMENTS), default=-math.inf)
        changed_at = max((e.occurred_at for e in applied), default=-math.inf)
        refused = (
            event.type not in CHANGES
            or (event.type not in ENDINGS and event.occurred_at < replaced_at)
            or (event.type == "cart.updated" and event.occurred_at < changed_at)
            or (event.type == "cart.item_removed" and all(_line(i["sku"], applied) is None for i in event.items))
        )
        if not refused:
            applied.append(event)
    return applied


def _line(sku: str, applied: Sequence[_Seen]) -> _Line | None:
    """Follow one sku through the applied changes."""
    line: _Line | None = None
    for event in applied:
        if event.type in REPLACEMENTS:
            line = None
        for item in event.items if event.type in FILLINGS else ():
            if item["sku"] != sku:
                continue
            had = line or _Line(0, None)
            quantity = item.get("quantity")
            price = item.get("price")
            if event.type == "cart.item_removed":
                line = _Line(0 if quantity is None else had.quantity - quantity, had.price)
            else:
                line = _Line(
                    had.quantity + (1 if quantity is None else quantity),
                    had.price if price is None else Decimal(str(price)),
                )
            if line.quantity <= 0:
                line = None
    return line


def _contents(cart: _Cart) -> dict[str, _Line]:
    applied = _applied(cart.seen)
    skus = sorted({item["sku"] for event in applied for item in event.items})
    lines = {sku: _line(sku, applied) for sku in skus}
    return {sku: line for sku, line in lines.items() if line is not None}


def _stage(cart: _Cart) -> str:
    # a step from before the purchase that arrives after it belongs to what was bought
    bought = max((said.after for said in cart.said if said.outcome.type == "completed"), default=0)
    bought_at = cart.seen[bought - 1].occurred_at if bought else 0
    steps = [
        (event.occurred_at, place, event.step)
        for place, event in enumerate(cart.seen)
        if place >= bought and event.occurred_at >= bought_at and event.type == "checkout.step" and event.step
    ]
    return max(steps)[2] if steps else "cart"


def _latest_abandonment(cart: _Cart) -> _Abandonment | None:
    said = [entry.outcome for entry in cart.said]
    places = [place for place, outcome in enumerate(said) if outcome.type == "abandoned"]
    if not places:
        return None
    return _Abandonment(said[places[-1]], frozenset(outcome.type for outcome in said[places[-1] + 1 :]))


def _deadline(cart: _Cart, *, idle: int) -> int | None:
    latest = _latest_abandonment(cart)
    if not _contents(cart) or (latest and latest.is_open):
        return None
    return _last_activity(cart) + idle


# -- what happens --------------------------------------------------------------------------------------------


def _fire_due(carts: Sequence[_Cart], *, idle: int, progress: float) -> None:
    for cart in carts:
        deadline = _deadline(cart, idle=idle)
        if deadline is not None and deadline <= progress:
            _abandon(cart, deadline)


def _abandon(cart: _Cart, deadline: int) -> None:
    episode = 1 + sum(said.outcome.type == "abandoned" for said in cart.said)
    _say(cart, _describe(cart, "abandoned", episode=episode, abandoned_at=deadline))


def _receive(cart: _Cart, event: _Seen, *, idle: int) -> None:
    deadline = _deadline(cart, idle=idle)
    if deadline is not None and event.occurred_at >= deadline:
        _abandon(cart, deadline)
    latest = _latest_abandonment(cart)
    if event.type == "order.placed":
        _order(cart, event, latest)
    elif event.type == "cart.merged":
        _merge(cart, event, latest)
    else:
        _activity(cart, event, latest, idle=idle)


def _activity(cart: _Cart, event: _Seen, latest: _Abandonment | None, *, idle: int) -> None:
    cart.seen.append(event)
    if latest is None or not latest.can_still_be_judged:
        return
    about = latest.outcome
    assert about.abandoned_at is not None
    basis = about.abandoned_at - idle
    if event.occurred_at >= about.abandoned_at:
        if latest.is_open:
            _say(cart, about._replace(type="reactivated"))
    elif event.occurred_at > basis or (latest.is_open and not _contents(cart)):
        _say(cart, about._replace(type="withdrawn", reason="late_activity"))


def _merge(cart: _Cart, event: _Seen, latest: _Abandonment | None) -> None:
    cart.seen.append(event)
    if latest is None or not latest.is_open:
        return
    about = latest.outcome
    assert about.abandoned_at is not None
    if event.occurred_at < about.abandoned_at:
        _say(cart, about._replace(type="withdrawn", reason="late_activity"))
    else:
        _say(cart, about._replace(type="reactivated", reason="merged"))


def _order(cart: _Cart, event: _Seen, latest: _Abandonment | None) -> None:
    bought = _contents(cart)
    about = latest.outcome if latest else None
    completed = _describe(
        cart,
        "completed",
        episode=about.episode if about else 0,
        abandoned_at=about.abandoned_at if about else None,
        order_id=event.order_id,
    )
    cart.seen.append(event)
    if not bought:
        return
    judged = about if latest and latest.can_still_be_judged else None
    if judged is None:
        _say(cart, completed)
        return
    assert judged.abandoned_at is not None
    if event.occurred_at < judged.abandoned_at:
        _say(cart, judged._replace(type="withdrawn", reason="late_order", order_id=event.order_id))
        _say(cart, completed)
    else:
        _say(cart, completed)
        _say(cart, completed._replace(type="recovered"))


def _describe(
    cart: _Cart, type_: str, *, episode: int, abandoned_at: int | None, order_id: str | None = None
) -> Outcome:
    lines = _contents(cart)
    return Outcome(
        type=type_,
        shop_id=cart.shop_id,
        cart_id=cart.cart_id,
        episode=episode,
        abandoned_at=abandoned_at,
        reason=None,
        items={sku: line.quantity for sku, line in lines.items()},
        value=sum((line.quantity * (line.price or Decimal(0)) for line in lines.values()), Decimal(0)),
        stage=_stage(cart),
        order_id=order_id,
    )


def _say(cart: _Cart, outcome: Outcome) -> None:
    cart.said.append(_Said(len(cart.seen), outcome))


# -- reading arrivals ----------------------------------------------------------------------------------------


def _key(record: Arrival) -> CartKey:
    return record["event"].get("shop_id") or "main", record["event"]["cart_id"]


def _is_ahead(record: Arrival) -> bool:
    return bool(record["event"]["occurred_at"] > record["arrival"] + AHEAD)


def _seen(record: Arrival) -> _Seen:
    event = record["event"]
    return _Seen(
        event_id=event["event_id"],
        type=event["type"],
        occurred_at=record["arrival"] if _is_ahead(record) else event["occurred_at"],
        items=tuple(event.get("items") or ()),
        step=event.get("step"),
        order_id=event.get("order_id"),
    )


def _check(arrivals: Sequence[Arrival], *, until: float, mode: Mode) -> None:
    last: dict[int, int] = {}
    homes: dict[CartKey, int] = {}
    for record in arrivals:
        partition, arrival = record["partition"], record["arrival"]
        if record["event"]["type"] not in TYPES:
            raise ValueError(f"no cart event: {record['event']['type']}")
        if arrival < last.get(partition, arrival):
            raise ValueError(f"arrivals of partition {partition} run back to {arrival}")
        is_cart = record["event"]["type"] != "wishlist.updated"
        if is_cart and homes.setdefault(_key(record), partition) != partition:
            raise ValueError(f"cart {_key(record)} is on two partitions")
        last[partition] = arrival
    if mode == "live" and until < max(last.values(), default=until):
        raise ValueError(f"progress cannot end at {until}, before the last arrival")


# -- strategies ----------------------------------------------------------------------------------------------

IDLE: Final = 30 * 60_000
START: Final = 1_800_000_000_000
CARTS: Final[tuple[CartKey, ...]] = (("main", "c-1"), ("main", "c-2"), ("side", "c-1"))
STEPS: Final = ("contact", "address", "shipping", "payment", "review")

# Weighted by repetition: most carts must be filled before anything can happen to them.
_MOVES: Final = (
    *["cart.item_added"] * 6,
    *["cart.item_removed"] * 3,
    *["cart.updated"] * 3,
    *["cart.viewed"] * 3,
    *["order.placed"] * 2,
    *["checkout.step"] * 3,
    *["cart.merged"] * 2,
    "cart.cleared",
    "wishlist.updated",
)


class _Beside(NamedTuple):
    """A time relative to an earlier event of the same cart."""

    back: int
    offset: int


class _Repeat(NamedTuple):
    """An event id seen `back` events ago, of any cart; or that whole event again."""

    back: int
    whole: bool


class _Move(NamedTuple):
    """One step of a story, told relative to what came before it, so that shrinking keeps it meaningful."""

    cart: int
    type: str
    items: list[dict[str, Any]]
    step: str
    order: int
    arrives: int | _Beside
    occurs: int | _Beside  # a bare number is added to the arrival
    repeat: _Repeat | None


# Few draws a move keep hypothesis fast: what could be drawn in parts is listed as a whole.
_ITEMS: Final[list[list[dict[str, Any]]]] = [
    [{"sku": "A", "quantity": 1, "price": "19.99"}],
    [{"sku": "A", "quantity": 2, "price": "5.00"}],
    [{"sku": "A", "quantity": 3}],
    [{"sku": "A", "quantity": 1, "price": None}],
    [{"sku": "A"}],
    [{"sku": "B", "quantity": 1, "price": "0.10"}],
    [{"sku": "B", "quantity": 3, "price": "0.10"}],
    [{"sku": "B", "price": "7.35"}],
    [{"sku": "B"}],
    [{"sku": "A"}, {"sku": "B"}],
    [{"sku": "A", "quantity": 1, "price": "19.99"}, {"sku": "B", "quantity": 2}],
    [{"sku": "B", "quantity": 2, "price": "1"}, {"sku": "A"}],
    [{"sku": "C"}],
    [{"sku": "C"}, {"sku": "A", "quantity": 1}],
    [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1, "price": "3.30"}, {"sku": "C", "price": "0.01"}],
]


def _moves(idle: int) -> st.SearchStrategy[_Move]:
    around = [base + jitter for base in (0, idle, 2 * idle) for jitter in (-1, 0, 1)]
    offsets = [*around, -idle, -1000, 1000, idle // 2, idle - 60_000, idle - 1000]
    beside = [_Beside(back, offset) for back in range(4) for offset in offsets]
    waits = [0, 1, 2, 1000, idle // 2, idle - 60_000, idle - 1, idle, idle + 1, 2 * idle]
    late = [-delay for delay in (1, 2, 1000, idle // 2, idle - 1, idle, idle + 1, 2 * idle)]
    ahead = [1, 2, 59_999, 60_000, 60_001, AHEAD - 1, AHEAD, AHEAD + 1, 2 * idle]
    repeats = [_Repeat(back, whole) for back in range(1, 5) for whole in (True, False)]
    return st.builds(
        _Move,
        cart=st.integers(0, len(CARTS) - 1),
        type=st.sampled_from(_MOVES),
        items=st.sampled_from(_ITEMS),
        step=st.sampled_from(STEPS),
        order=st.integers(1, 3),
        arrives=st.sampled_from([*waits * 4, *beside]),
        occurs=st.sampled_from([*[0] * 60, *late * 4, *ahead * 2, *beside * 2]),
        repeat=st.sampled_from([*[None] * 72, *repeats]),
    )


@st.composite
def arrivals(draw: st.DrawFn, *, idle: int = IDLE, max_size: int = 40) -> list[Arrival]:
    """Draw arrivals of 1-3 carts on 1-2 partitions: all types, late, repeated, ahead, on the boundary."""
    carts = draw(st.sampled_from([CARTS[:1], CARTS[:2], CARTS[1:], CARTS]))
    homes = {"c-1": 0, "c-2": draw(st.integers(0, 1))}
    at_least = draw(st.sampled_from([1, max_size // 8, max_size // 4, max_size // 2, max_size]))
    moves = draw(st.lists(_moves(idle), min_size=max(1, at_least), max_size=max_size))
    told: list[Arrival] = []
    for move in moves:
        shop_id, cart_id = carts[move.cart % len(carts)]
        told.append(_tell(told, move, shop_id, cart_id, homes[cart_id]))
    return told


def _tell(told: list[Arrival], move: _Move, shop_id: str, cart_id: str, partition: int) -> Arrival:
    clock = max((r["arrival"] for r in told if r["partition"] == partition), default=START)
    own = [r["event"]["occurred_at"] for r in told if _key(r) == (shop_id, cart_id)] or [START]

    def beside(when: _Beside) -> int:
        return int(own[-1 - when.back % len(own)]) + when.offset

    arrival = max(clock, beside(move.arrives)) if isinstance(move.arrives, _Beside) else clock + move.arrives
    occurred_at = beside(move.occurs) if isinstance(move.occurs, _Beside) else arrival + move.occurs
    event: dict[str, Any] = {
        "event_id": f"e-{len(told)}",
        "type": move.type,
        "shop_id": shop_id,
        "cart_id": cart_id,
        "occurred_at": occurred_at,
        "currency": "EUR",
    }
    if move.type in {"cart.updated", "wishlist.updated"}:
        event["items"] = move.items[move.order // 3 :]  # now and then the whole cart is empty
    elif move.type in FILLINGS or move.order == 3:  # and now and then an event carries items that say nothing
        event["items"] = move.items
    if move.type == "checkout.step":
        event["step"] = move.step
    elif move.type == "order.placed":
        event["order_id"] = f"o-{move.order}"
    elif move.type == "cart.merged":
        event["into_cart_id"] = "c-9"
    if move.repeat and told:
        first = told[-min(move.repeat.back, len(told))]
        if move.repeat.whole:
            event, partition = first["event"], first["partition"]
            arrival = max(arrival, *(r["arrival"] for r in told if r["partition"] == partition))
        else:
            event["event_id"] = first["event"]["event_id"]
    return {"partition": partition, "arrival": arrival, "event": event}


@st.composite
def scenarios(draw: st.DrawFn, *, idle: int = IDLE, max_size: int = 40) -> dict[str, Any]:
    """Draw the arguments of `run`: arrivals, idle, a mode, and an end around or long after the last arrival."""
    told = draw(arrivals(idle=idle, max_size=max_size))
    last = max(record["arrival"] for record in told)
    until = draw(st.sampled_from([last, last + 1, last + idle - 1, last + idle, last + idle + 1, math.inf]))
    return {"arrivals": told, "idle": idle, "until": until, "mode": draw(st.sampled_from(["live", "event"]))}
