"""A cart as it is now is what stage 1 would know of it, and says why it is empty."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from cartwake.cart import CurrentCart
from cartwake.current_cart import CurrentCarts, current
from cartwake.errors import ConfigurationError, SinkUnavailable
from cartwake.settings import Settings
from cartwake.shops import Shops
from sinks.clickhouse import ClickHouse
from sinks.current import Kept
from tests import oracle

T0 = oracle.START


def kept(*events: dict[str, Any]) -> list[Kept]:
    """Events of the cart c-1, a second apart, as they came."""
    made = []
    for n, event in enumerate(events):
        full = {"event_id": f"e-{n}", "cart_id": "c-1", "occurred_at": T0 + n * 1000, "currency": "EUR"} | event
        made.append(Kept(json.dumps(full).encode(), T0 + n * 1000))
    return made


def now(*events: dict[str, Any]) -> CurrentCart:
    found = current("main", "c-1", kept(*events), idle=oracle.IDLE)
    assert found is not None
    return found


ADD = {"type": "cart.item_added", "items": [{"sku": "A", "price": "2.50", "quantity": 2}]}
ORDER = {"type": "order.placed", "order_id": "o-1"}
MERGED = {"type": "cart.merged", "into_cart_id": "c-2"}
VIEWED = {"type": "cart.viewed"}
EMPTIED = {"type": "cart.item_removed", "items": [{"sku": "A"}]}


def test_a_cart_says_what_is_in_it_and_what_that_comes_to() -> None:
    found = now(ADD, {"type": "checkout.step", "step": "payment", "email": "ana@example.com", "cart_url": "https://x"})
    assert [(item.sku, item.quantity) for item in found.items] == [("A", 2)]
    assert (str(found.value), found.units, found.currency, found.stage) == ("5.00", 2, "EUR", "payment")
    assert (found.over, found.cart_url, found.changed_at) == (None, "https://x", T0)
    assert "ana" not in repr(found)


@pytest.mark.parametrize(
    ("events", "over"),
    [
        ([ADD], None), ([ADD, ORDER], "bought"), ([ADD, ORDER, VIEWED], "bought"), ([ADD, ORDER, ADD], None),
        ([ADD, MERGED], "merged"), ([ADD, MERGED, VIEWED], "merged"), ([ADD, EMPTIED], "emptied"),
        ([ADD, {"type": "cart.cleared"}], "emptied"), ([ADD, {"type": "cart.updated", "items": []}], "emptied"),
        ([ADD, ORDER, ADD, EMPTIED], "emptied"), ([ADD, EMPTIED, ORDER], "emptied"), ([VIEWED], "emptied"),
        ([ADD, MERGED, ORDER], "merged"),
    ],
)  # fmt: skip
def test_an_empty_cart_says_why(events: list[dict[str, Any]], over: str | None) -> None:
    assert now(*events).over == over


def test_the_same_order_read_twice_does_not_buy_what_came_after_it() -> None:
    again = ORDER | {"event_id": "o"}
    assert now(ADD, again, ADD, again).over is None


def test_a_merge_read_twice_does_not_move_a_cart_that_was_filled_again() -> None:
    again = MERGED | {"event_id": "m"}
    assert now(ADD, again, ADD, EMPTIED, again).over == "emptied"


def test_a_clock_that_is_ahead_does_not_shut_out_what_comes_after_it() -> None:
    ahead = ADD | {"occurred_at": T0 + 3_600_000}
    assert now(ahead, {"type": "cart.updated", "items": [{"sku": "B"}]}).items[0].sku == "B"


def test_an_event_that_arrived_late_counts_at_its_own_time() -> None:
    late = ADD | {"occurred_at": T0 - 60_000}
    assert [item.sku for item in now({"type": "cart.updated", "items": [{"sku": "B"}]}, late).items] == ["B"]


def test_what_nobody_could_read_another_cart_and_a_wishlist_change_nothing() -> None:
    odd = [Kept(raw, T0) for raw in (b"", b"{", b"\xff", b"[]", b'{"type": "cart.viewed"}', b"[" * 100_000)]
    other = kept(ADD | {"cart_id": "c-9"}, ADD | {"shop_id": "side"}, ADD | {"type": "wishlist.updated"})
    assert current("main", "c-1", odd + other, idle=oracle.IDLE) is None
    found = current("main", "c-1", odd + kept(ADD) + other, idle=oracle.IDLE)
    assert found is not None
    assert found.units == 2


@settings(max_examples=300, deadline=None)
@given(oracle.scenarios())
def test_a_cart_holds_what_an_order_would_buy_now(scenario: dict[str, Any]) -> None:
    arrivals = scenario["arrivals"]
    carts = {}
    for record in arrivals:
        if record["event"]["type"] != "wishlist.updated":
            carts[record["event"].get("shop_id") or "main", record["event"]["cart_id"]] = record["partition"]
    last = max((record["arrival"] for record in arrivals), default=T0)
    for (shop_id, cart_id), partition in carts.items():
        order = {
            "event_id": "the last one", "type": "order.placed", "order_id": "the last one", "shop_id": shop_id,
            "cart_id": cart_id, "occurred_at": last,
        }  # fmt: skip
        buying = [*arrivals, {"partition": partition, "arrival": last, "event": order}]
        said = oracle.run(buying, idle=scenario["idle"], until=last).outcomes.get((shop_id, cart_id), [])
        bought = [x.items for x in said if x.type == "completed" and x.order_id == "the last one"]
        own = [
            r for r in arrivals if (r["event"].get("shop_id") or "main", r["event"]["cart_id"]) == (shop_id, cart_id)
        ]
        raw = [Kept(json.dumps(r["event"], default=str).encode(), r["arrival"]) for r in own]
        found = current(shop_id, cart_id, raw, idle=scenario["idle"])
        assert found is not None
        assert {item.sku: item.quantity for item in found.items} == (bought[0] if bought else {})
        assert (found.over is None) == bool(bought)


# -- a ClickHouse that is away -------------------------------------------------------------------------------
def carts(open_: Callable[[], ClickHouse], times: list[float]) -> CurrentCarts:
    return CurrentCarts(Settings(), Shops(), open_=open_, now=lambda: times[0])


@pytest.mark.parametrize("problem", [SinkUnavailable("away"), ConfigurationError("no such table")])
def test_a_store_that_is_away_is_left_alone_for_five_seconds(problem: Exception) -> None:
    asked, times = [], [100.0]

    def open_() -> ClickHouse:
        asked.append(times[0])
        raise problem

    reader = carts(open_, times)
    for moment in (100.0, 104.9, 105.0, 109.0):
        times[0] = moment
        with pytest.raises(SinkUnavailable):
            reader.read("main", "c-1")
    assert asked == [100.0, 105.0]


def test_without_an_address_of_a_store_a_cart_can_not_be_read_and_nothing_else_breaks() -> None:
    with pytest.raises(SinkUnavailable):
        CurrentCarts(Settings(clickhouse_dsn=""), Shops()).read("main", "c-1")
