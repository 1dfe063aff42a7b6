"""What hostile or broken input can't do: outgrow a record, or make time run ahead."""

from typing import Any

import msgspec

from cartwake.clock import rfc3339
from cartwake.model import LATEST, MAX_BYTES, decode_outcome, encode
from cartwake.shops import Shops
from streams.cart_stage import CartStage, Key, key_of
from streams.carts import Cart
from streams.orders import OrderStage
from streams.runtime import Table
from tests.fakes import FakeContext, FakeRecord

NOW = 1_795_428_900_000


def event(number: int, kind: str = "cart.item_added", items: list[Any] | None = None, **more: Any) -> bytes:
    body = {"event_id": f"e-{number}", "type": kind, "cart_id": "c", "occurred_at": NOW + number, "items": items or []}
    return encode(body | more)


def lines(number: int, of: int = 100, name: str = "\x01" * 300) -> list[Any]:
    return [{"sku": f"{number}-{n}", "name": name, "quantity": 1, "price": "1"} for n in range(of)]


def test_cart_that_is_filled_without_end_stays_a_record_that_the_broker_takes() -> None:
    context = FakeContext(table=Table(Key, Cart))
    stage = CartStage(context, Shops())
    values = [event(number, items=lines(number)) for number in range(30)]
    assert sum(map(len, values)) > 20 * MAX_BYTES
    stage.on_batch([FakeRecord(v, offset=n, timestamp=NOW) for n, v in enumerate(values)], 0)
    stage.on_progress(NOW + 3 * 3600 * 1000)
    assert context.dead == []
    ((_, _, said),) = context.emitted
    assert len(said) < 1024 * 1024
    assert len(msgspec.msgpack.encode(context.table.get(key_of("main", "c")))) < 1024 * 1024
    outcome = decode_outcome(said)
    assert outcome.units == len(outcome.items) > 100, "what fits is held"
    assert outcome.last_activity == rfc3339(NOW + 29), "what does not fit is activity all the same"


def test_long_life_of_a_small_cart_is_not_taken_for_a_large_one() -> None:
    context = FakeContext(table=Table(Key, Cart))
    stage = CartStage(context, Shops())
    values = [event(number, items=[{"sku": "a", "name": "x" * 1_000}]) for number in range(2_000)]
    stage.on_batch([FakeRecord(v, offset=n, timestamp=NOW) for n, v in enumerate(values)], 0)
    restarted = context.crashed(Key, Cart)
    assert restarted.table.get(key_of("main", "c")).lines["a"].quantity == 2_000


def test_cart_that_was_too_large_takes_lines_again_when_it_has_been_emptied() -> None:
    context = FakeContext(table=Table(Key, Cart))
    stage = CartStage(context, Shops())
    values = [event(number, items=lines(number)) for number in range(10)]
    values += [event(10, "cart.cleared"), event(11, items=[{"sku": "new"}])]
    stage.on_batch([FakeRecord(v, offset=n, timestamp=NOW) for n, v in enumerate(values)], 0)
    assert list(context.table.get(key_of("main", "c")).lines) == ["new"]


def test_order_from_the_future_is_a_purchase_of_today() -> None:
    context = FakeContext()
    order = {"event_id": "e", "type": "order.placed", "order_id": "o", "occurred_at": LATEST, "email": "a@example.com"}
    OrderStage(context).on_batch([FakeRecord(encode(order), timestamp=NOW)], 0)
    assert msgspec.json.decode(context.emitted[0][2])["occurred_at"] == rfc3339(NOW)
