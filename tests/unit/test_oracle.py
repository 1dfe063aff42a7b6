"""The oracle itself, against examples worked out by hand from the rules. Idle is 100 ms, so times stay small."""

import math
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings

from tests import oracle
from tests.oracle import Arrival, Mode, Result

IDLE = 100
_numbers = count()


def event(type_: str, occurred_at: int, *, arrival: int | None = None, **fields: Any) -> Arrival:
    """An event of cart c-1 on partition 0 that arrives when it occurs, unless told otherwise."""
    partition = fields.pop("partition", 0)
    body = {"event_id": f"e-{next(_numbers)}", "shop_id": "main", "cart_id": "c-1", **fields}
    body |= {"type": type_, "occurred_at": occurred_at}
    return {"partition": partition, "arrival": occurred_at if arrival is None else arrival, "event": body}


def add(occurred_at: int, sku: str = "A", quantity: int | None = 1, price: str | None = "2.50", **f: Any) -> Arrival:
    return event("cart.item_added", occurred_at, items=[{"sku": sku, "quantity": quantity, "price": price}], **f)


def remove(occurred_at: int, sku: str = "A", quantity: int | None = None, **fields: Any) -> Arrival:
    return event("cart.item_removed", occurred_at, items=[{"sku": sku, "quantity": quantity}], **fields)


def replace(occurred_at: int, *skus: str, **fields: Any) -> Arrival:
    return event("cart.updated", occurred_at, items=[{"sku": sku} for sku in skus], **fields)


def view(occurred_at: int, **fields: Any) -> Arrival:
    return event("cart.viewed", occurred_at, **fields)


def step(occurred_at: int, name: str, **fields: Any) -> Arrival:
    return event("checkout.step", occurred_at, step=name, **fields)


def order(occurred_at: int, order_id: str = "o-1", **fields: Any) -> Arrival:
    return event("order.placed", occurred_at, order_id=order_id, **fields)


def judge(*arrivals: Arrival, until: float = math.inf, mode: Mode = "live") -> Result:
    return oracle.run(arrivals, idle=IDLE, until=until, mode=mode)


def told(result: Result, cart: tuple[str, str] = ("main", "c-1")) -> list[str]:
    """Write outcomes as `type episode@abandoned_at reason`."""
    return [f"{o.type} {o.episode}@{o.abandoned_at} {o.reason or ''}".strip() for o in result.outcomes.get(cart, [])]


def contents(*arrivals: Arrival) -> dict[str, int]:
    """What the cart holds when it is abandoned for the last time."""
    said = judge(*arrivals).outcomes.get(("main", "c-1"), [])
    return [o.items for o in said if o.type == "abandoned"][-1] if said else {}


def test_outcome_is_the_plain_tuple_of_its_fields() -> None:
    result = judge(
        add(1000, "A", 2, "2.50"), add(1010, "B", None, None), step(1020, "address"), step(1015, "review", arrival=1020)
    )
    lines = {"A": 2, "B": 1}
    assert result.outcomes == {
        ("main", "c-1"): [("abandoned", "main", "c-1", 1, 1120, None, lines, Decimal("5.00"), "address", None)]
    }
    assert (result.duplicates, result.clamped, result.waiting) == (0, 0, {})


@pytest.mark.parametrize(
    ("until", "outcomes"), [(1099, []), (1100, ["abandoned 1@1100"]), (1101, ["abandoned 1@1100"])]
)
def test_cart_is_abandoned_exactly_at_its_deadline(until: int, outcomes: list[str]) -> None:
    assert told(judge(add(1000), until=until)) == outcomes


def test_live_progress_fires_the_carts_of_the_same_partition_only() -> None:
    other = {"cart_id": "c-2", "partition": 1}
    assert told(judge(add(1000), view(5000, **other), until=5000)) == ["abandoned 1@1100"]  # by the end alone
    late_truth = [add(1000), view(1100, cart_id="c-2"), view(1050, arrival=1100)]
    assert told(judge(*late_truth, until=1100)) == ["abandoned 1@1100", "withdrawn 1@1100 late_activity"]
    elsewhere = [add(1000), view(5000, **other), view(1050, arrival=1090)]
    assert told(judge(*elsewhere, until=5000)) == ["abandoned 1@1150"]


def test_event_progress_moves_after_the_record_and_ignores_arrival() -> None:
    slow_broker = [add(1000, arrival=9000), view(1099, arrival=9500), view(1150, arrival=9500, cart_id="c-2")]
    assert told(judge(*slow_broker, until=0, mode="event")) == []
    passed = [*slow_broker, view(1199, arrival=9500, cart_id="c-2")]
    assert told(judge(*passed, until=0, mode="event")) == ["abandoned 1@1199"]
    assert told(judge(*passed, view(1180, arrival=9500), until=0, mode="event")) == [
        "abandoned 1@1199",
        "withdrawn 1@1199 late_activity",
    ]


def test_own_event_at_its_deadline_fires_before_progress_does() -> None:
    early = 1050  # the broker's clock is behind the shop's
    assert told(judge(add(1000), view(1099, arrival=early), until=early)) == []
    assert told(judge(add(1000), view(1100, arrival=early), until=early)) == ["abandoned 1@1100", "reactivated 1@1100"]
    assert told(judge(add(1000), order(1100, arrival=early), until=early)) == [
        "abandoned 1@1100",
        "completed 1@1100",
        "recovered 1@1100",
    ]
    merged = event("cart.merged", 1100, arrival=early)
    assert told(judge(add(1000), merged)) == ["abandoned 1@1100", "reactivated 1@1100 merged"]


def test_each_gap_is_abandoned_once() -> None:
    result = judge(add(1000), view(1500), view(1510), view(2000), until=2099)
    assert told(result) == [
        "abandoned 1@1100",
        "reactivated 1@1100",
        "abandoned 2@1610",
        "reactivated 2@1610",
    ]
    assert result.waiting == {("main", "c-1"): 2100}


def test_contents_follow_adds_and_removes() -> None:
    assert contents(add(1, "A", 2), add(2, "A", None), remove(3, "A", 1)) == {"A": 2}
    assert contents(add(1, "A", 2), add(2, "B"), remove(3, "A")) == {"B": 1}
    assert contents(add(1, "A", 2), add(2, "B"), remove(3, "A", 5), add(4, "A")) == {"A": 1, "B": 1}
    assert contents(add(1, "A"), remove(2, "B")) == {"A": 1}
    assert contents(add(1, "A"), replace(2, "B", "C")) == {"B": 1, "C": 1}
    assert contents(add(1, "A"), event("cart.cleared", 2)) == {}


def test_last_price_wins_and_a_line_that_was_gone_has_none() -> None:
    def value(*arrivals: Arrival) -> Decimal:
        return judge(*arrivals).outcomes["main", "c-1"][0].value

    assert value(add(1, price="2.50"), add(2, price="3.10")) == Decimal("6.20")
    assert value(add(1, price="2.50"), add(2, price=None)) == Decimal("5.00")
    assert value(add(1, price="2.50"), remove(2), add(3, price=None)) == 0


def test_what_is_older_than_the_last_replacement_changes_no_contents() -> None:
    assert contents(replace(10, "A"), add(9, "B", arrival=10)) == {"A": 1}
    assert contents(replace(10, "A"), add(10, "B")) == {"A": 1, "B": 1}
    assert contents(replace(10, "A"), remove(9, "A", arrival=10)) == {"A": 1}
    assert contents(replace(10, "A"), event("cart.cleared", 9, arrival=10)) == {"A": 1}
    assert contents(replace(10, "A"), add(20, "B"), event("cart.cleared", 15, arrival=20)) == {}
    assert contents(event("cart.merged", 10), add(9, "B", arrival=10)) == {}
    assert contents(order(10), add(9, "B", arrival=10)) == {}  # an order on an empty cart bars it too


def test_replacement_older_than_the_newest_change_changes_no_contents() -> None:
    assert contents(add(10, "A"), replace(9, "B", arrival=10)) == {"A": 1}
    assert contents(add(10, "A"), replace(10, "B")) == {"B": 1}
    assert contents(add(5, "A", 2), remove(10, "A", 1), replace(9, "B", arrival=10)) == {"A": 1}
    assert contents(add(5, "A"), remove(10, "Z"), replace(9, "B", arrival=10)) == {"B": 1}  # removed nothing


def test_late_event_does_not_move_last_activity_back() -> None:
    assert told(judge(add(1000), view(950, arrival=1000))) == ["abandoned 1@1100"]


def test_late_activity_that_would_have_prevented_it_withdraws() -> None:
    late = [add(1000), view(1001, arrival=1300)]
    assert told(judge(*late, until=1300)) == [
        "abandoned 1@1100",
        "withdrawn 1@1100 late_activity",
        "abandoned 2@1101",  # already due, so the next progress step fires it
    ]
    not_after_basis = [add(1000), view(1000, arrival=1300)]
    assert told(judge(*not_after_basis)) == ["abandoned 1@1100"]
    reactivated = [add(1000), view(1200), view(1099, arrival=1200)]
    assert told(judge(*reactivated, until=1200)) == [
        "abandoned 1@1100",
        "reactivated 1@1100",
        "withdrawn 1@1100 late_activity",
    ]


def test_late_activity_that_empties_the_cart_withdraws_an_open_abandonment_only() -> None:
    filled = [add(910), view(1000)]
    assert told(judge(*filled, remove(950, arrival=1300))) == ["abandoned 1@1100", "withdrawn 1@1100 late_activity"]
    back = [*filled, view(1100), remove(950, arrival=1150)]
    assert told(judge(*back)) == ["abandoned 1@1100", "reactivated 1@1100"]


def test_order_completes_and_recovers_once() -> None:
    result = judge(add(1000, "A", 2), order(1150), add(1160, "B"), order(1170, "o-2"), order(1180, "o-3"), until=1180)
    assert [(o.type, o.episode, o.order_id, o.items) for o in result.outcomes["main", "c-1"]] == [
        ("abandoned", 1, None, {"A": 2}),
        ("completed", 1, "o-1", {"A": 2}),
        ("recovered", 1, "o-1", {"A": 2}),
        ("completed", 1, "o-2", {"B": 1}),
    ]
    assert told(judge(add(1000), order(1010))) == ["completed 0@None"]
    assert told(judge(add(1000), view(1120), order(1130)))[1:] == [
        "reactivated 1@1100",
        "completed 1@1100",
        "recovered 1@1100",
    ]


@pytest.mark.parametrize("returned", [[], [view(1120)]])
def test_late_order_withdraws_instead_of_recovering(returned: list[Arrival]) -> None:
    assert told(judge(add(1000), *returned, order(1099, arrival=1200)))[-2:] == [
        "withdrawn 1@1100 late_order",
        "completed 1@1100",
    ]
    assert told(judge(add(1000), *returned, order(1100, arrival=1200)))[-2:] == ["completed 1@1100", "recovered 1@1100"]


def test_stage_is_the_latest_step_since_the_last_completion() -> None:
    def stages(*arrivals: Arrival) -> list[str]:
        return [o.stage for o in judge(*arrivals).outcomes["main", "c-1"] if o.type == "abandoned"]

    assert stages(add(1000), step(1000, "review"), step(1000, "contact")) == ["contact"]
    bought = [step(1000, "review"), add(1000), order(1010)]
    assert stages(*bought, add(1020)) == ["cart"]
    assert stages(*bought, step(1005, "address", arrival=1020), add(1020)) == ["cart"]
    assert stages(step(1000, "review"), order(1010), add(1020)) == ["review"]  # nothing was bought


def test_merged_cart_is_over() -> None:
    assert told(judge(add(1000), event("cart.merged", 1010))) == []
    late = event("cart.merged", 1099, arrival=1200)
    assert told(judge(add(1000), late)) == ["abandoned 1@1100", "withdrawn 1@1100 late_activity"]
    after = event("cart.merged", 1100, arrival=1200)
    assert told(judge(add(1000), after)) == ["abandoned 1@1100", "reactivated 1@1100 merged"]


def test_duplicate_is_ignored_wholly_but_moves_progress() -> None:
    first = add(1000, event_id="same")
    again = add(1090, event_id="same", quantity=7)
    result = judge(first, again, add(1090, event_id="same", cart_id="c-2"), until=1100)
    assert told(result) == ["abandoned 1@1100"]
    assert result.outcomes["main", "c-1"][0].items == {"A": 1}
    assert result.duplicates == 1  # another cart may use the same id
    assert told(judge(first, view(1150, event_id="same"), until=1150)) == ["abandoned 1@1100"]


@pytest.mark.parametrize(("between", "duplicates"), [(63, 1), (64, 0)])
def test_cart_remembers_64_ids(between: int, duplicates: int) -> None:
    views = [view(1000) for _ in range(between)]
    assert judge(add(1000, event_id="first"), *views, view(1000, event_id="first")).duplicates == duplicates


def test_time_more_than_five_minutes_ahead_of_arrival_is_clamped() -> None:
    ahead = 5 * 60_000
    allowed = judge(add(1000 + ahead, arrival=1000))
    assert (told(allowed), allowed.clamped) == ([f"abandoned 1@{1100 + ahead}"], 0)
    clamped = judge(add(1001 + ahead, arrival=1000))
    assert (told(clamped), clamped.clamped) == (["abandoned 1@1100"], 1)
    replayed = judge(add(900), view(1001 + ahead, arrival=999, cart_id="c-2"), until=0, mode="event")
    assert told(replayed) == []  # progress is 999, the clamped time


def test_wishlist_is_no_cart() -> None:
    result = judge(
        add(1000, event_id="a"), event("wishlist.updated", 1050, event_id="a", items=[{"sku": "B"}]), until=1100
    )
    assert told(result) == ["abandoned 1@1100"]
    assert result.duplicates == 0


def test_carts_of_two_shops_are_two_carts() -> None:
    result = judge(add(1000), add(1010, "B", shop_id="side"))
    assert told(result) == ["abandoned 1@1100"]
    assert told(result, ("side", "c-1")) == ["abandoned 1@1110"]


def test_input_no_broker_delivers_is_refused() -> None:
    with pytest.raises(ValueError, match="run back"):
        judge(view(10), view(9))
    with pytest.raises(ValueError, match="two partitions"):
        judge(view(10), view(10, partition=1))
    with pytest.raises(ValueError, match="no cart event"):
        judge(event("device.identified", 10))
    with pytest.raises(ValueError, match="before the last arrival"):
        judge(view(10), until=9)


@settings(max_examples=100, deadline=None)
@given(oracle.scenarios())
def test_every_episode_is_told_in_an_order_that_makes_sense(scenario: dict[str, Any]) -> None:
    for said in oracle.run(**scenario).outcomes.values():
        episodes = [o.episode for o in said if o.type == "abandoned"]
        assert episodes == list(range(1, len(episodes) + 1))
        for episode in episodes:
            own = [o.type for o in said if o.episode == episode and o.type != "completed"]
            assert own[0] == "abandoned"
            assert len(own) == len(set(own))
            assert not {"withdrawn", "recovered"} <= set(own)
            assert "reactivated" not in own[2:]


@settings(max_examples=100, deadline=None)
@given(oracle.scenarios())
def test_whole_events_read_again_at_once_change_nothing(scenario: dict[str, Any]) -> None:
    """Only live: a duplicate is a progress step, and then a step at the same time finds nothing due."""
    once = oracle.run(**scenario | {"mode": "live"})
    twice = [record for record in scenario["arrivals"] for _ in range(2)]
    again = oracle.run(**scenario | {"mode": "live", "arrivals": twice})
    assert again.outcomes == once.outcomes
