"""The rules of one cart against the oracle, in any order, with duplicates, late events and restarts."""

import math
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from cartwake.clock import to_ms
from cartwake.model import CartOutcome, decode_outcome
from cartwake.shops import Shops
from streams.cart_stage import CartStage, Key
from streams.carts import Cart
from streams.runtime import Table
from tests import oracle
from tests.fakes import FakeContext, FakeRecord


class FixedIdle(Shops):
    """Shops with one idle time."""

    def __init__(self, idle: int) -> None:
        super().__init__()
        self._idle = idle

    def idle_ms(self, shop_id: str) -> int:
        return self._idle


def _ms(moment: str | None) -> int | None:
    return None if moment is None else to_ms(msgspec.convert(moment, datetime))


def _plain(outcome: CartOutcome) -> oracle.Outcome:
    return oracle.Outcome(
        type=outcome.type.removeprefix("cart."),
        shop_id=outcome.shop_id,
        cart_id=outcome.cart_id,
        episode=outcome.episode,
        abandoned_at=_ms(outcome.abandoned_at),
        reason=outcome.reason,
        items={item.sku: item.quantity or 0 for item in outcome.items},
        value=outcome.value or Decimal(0),
        stage=outcome.stage or "",
        order_id=outcome.order_id,
    )


def _run(scenario: dict[str, Any], restarts: frozenset[int] = frozenset()) -> tuple[dict[Any, list[Any]], list[Any]]:
    """Outcomes by cart and the contexts; a restart before record n is a new stage on the committed state."""
    event_time = scenario["mode"] == "event"
    shops = FixedIdle(scenario["idle"])
    contexts: dict[int, FakeContext] = {}
    stages: dict[int, CartStage] = {}
    spoken: list[FakeContext] = []
    for number, arrival in enumerate(scenario["arrivals"]):
        partition = arrival["partition"]
        if partition not in contexts:
            contexts[partition] = FakeContext(partition=partition, event_time=event_time, table=Table(Key, Cart))
            stages[partition] = CartStage(contexts[partition], shops)
            spoken.append(contexts[partition])
        elif number in restarts:
            contexts[partition] = contexts[partition].crashed(Key, Cart)
            stages[partition] = CartStage(contexts[partition], shops)
            contexts[partition].table.index()
            stages[partition].on_restored()
            spoken.append(contexts[partition])
        record = FakeRecord(msgspec.json.encode(arrival["event"]), offset=number, timestamp=arrival["arrival"])
        stages[partition].on_batch([record], 0)
    until = scenario["until"]
    for stage in stages.values():
        stage.on_progress(2**62 if until == math.inf else int(until))
    outcomes: dict[Any, list[Any]] = {}
    for context in spoken:
        assert context.dead == []
        for _, _, value in context.emitted:
            outcome = _plain(decode_outcome(value))
            outcomes.setdefault((outcome.shop_id, outcome.cart_id), []).append(outcome)
    return outcomes, spoken


def _decided(outcomes: dict[Any, list[Any]]) -> dict[Any, list[Any]]:
    return {key: [oracle.decided(outcome) for outcome in found] for key, found in outcomes.items()}


@settings(max_examples=400, deadline=None)
@given(oracle.scenarios(), st.frozensets(st.integers(1, 40)))
def test_outcomes_are_those_of_the_oracle_in_any_order_and_across_restarts(
    scenario: dict[str, Any], restarts: frozenset[int]
) -> None:
    expected = oracle.run(**scenario)
    outcomes, contexts = _run(scenario, restarts)
    assert _decided(outcomes) == _decided(expected.outcomes)
    assert sum(context.counters["duplicates"] for context in contexts) == expected.duplicates


@settings(max_examples=100, deadline=None)
@given(oracle.scenarios())
def test_a_batch_read_again_after_a_crash_says_nothing_new(scenario: dict[str, Any]) -> None:
    shops = FixedIdle(scenario["idle"])
    context = FakeContext(event_time=scenario["mode"] == "event", table=Table(Key, Cart))
    stage = CartStage(context, shops)
    records = [
        FakeRecord(msgspec.json.encode(a["event"]), offset=n, timestamp=a["arrival"])
        for n, a in enumerate(scenario["arrivals"])
        if a["partition"] == 0
    ]
    stage.on_batch(records, 0)
    once = list(context.emitted)
    stage.on_batch(records, 0)
    assert context.emitted == once
