"""A cart read back from ClickHouse: the order of the topic, repeats, and what is too much."""

import json
from typing import Any

import pytest

import sql
from cartwake.current_cart import CurrentCarts
from cartwake.errors import Rejected, SinkUnavailable
from cartwake.settings import Settings
from cartwake.shops import Shops
from sinks.clickhouse import ClickHouse
from sinks.current import MOST_EVENTS, events_of
from tests.sinks.records import NOW, Kept, event, put, rows

pytestmark = pytest.mark.stack


class On(Kept):
    """A record on a partition, arrived at a time."""

    def __init__(self, said: dict[str, Any], offset: int, *, partition: int = 0, arrived: int = NOW) -> None:
        super().__init__(json.dumps(said).encode(), at=offset)
        object.__setattr__(self, "where", (partition, arrived))

    def partition(self) -> int:
        return int(self.where[0])  # type: ignore[attr-defined]

    def timestamp(self) -> tuple[int, int]:
        return 2, int(self.where[1])  # type: ignore[attr-defined]


def add(number: int, sku: str = "A1", **changes: Any) -> dict[str, Any]:
    return event(number, items=[{"sku": sku, "quantity": number}], **changes)


def reader(settings: Settings, client: ClickHouse) -> CurrentCarts:
    return CurrentCarts(settings, Shops(), open_=lambda: client)


def test_a_cart_is_read_in_the_order_of_its_offsets_although_the_brokers_clock_went_back(client: ClickHouse) -> None:
    put(client, "cart-events", On(add(1), 10), On(add(2), 11, arrived=NOW - 5_000), On(add(3), 12))
    found = events_of(client, "main", "c1")
    assert [json.loads(kept.raw)["event_id"] for kept in found] == ["e1", "e2", "e3"]
    assert [kept.received_at for kept in found] == [NOW, NOW - 5_000, NOW]


def test_a_record_that_was_forwarded_comes_by_its_time_of_arrival(client: ClickHouse) -> None:
    put(client, "cart-events", On(add(1), 900, partition=1), On(add(2, event_id="b"), 3, partition=2, arrived=NOW + 1))
    assert [b'"e1"' in kept.raw for kept in events_of(client, "main", "c1")] == [True, False]


def test_what_was_inserted_twice_is_in_the_cart_once(settings: Settings, client: ClickHouse) -> None:
    for token in ("first", "again"):
        put(client, "cart-events", On(add(2), 20), token=token)
    assert client.query("SELECT count() AS n FROM cart_events_log")[0]["n"] == 2
    found = reader(settings, client).read("main", "c1")
    assert found is not None
    assert found.units == 2


def test_a_cart_of_another_shop_or_name_is_not_read(settings: Settings, client: ClickHouse) -> None:
    put(client, "cart-events", On(add(2, shop_id="side"), 1), On(add(3, cart_id="c1 "), 2))
    assert events_of(client, "main", "c1") == []
    assert reader(settings, client).read("main", "c1") is None
    assert reader(settings, client).read("main", "c1' OR '1'='1") is None
    assert reader(settings, client).read("main", "{shop:String}\\") is None


def test_a_robots_cart_is_not_read_to_its_end(settings: Settings, client: ClickHouse) -> None:
    body = rows("cart-events", (On(add(1, event_id=f"x{n}"), n) for n in range(MOST_EVENTS + 500)))
    client.insert(sql.read("ingest/cart_events.sql"), body, token="robot")
    assert len(events_of(client, "main", "c1")) == MOST_EVENTS + 1
    with pytest.raises(Rejected, match="more than"):
        reader(settings, client).read("main", "c1")


def test_a_database_that_is_not_made_yet_is_one_that_is_away(settings: Settings, empty: ClickHouse) -> None:
    with pytest.raises(SinkUnavailable):
        reader(settings, empty).read("main", "c1")
