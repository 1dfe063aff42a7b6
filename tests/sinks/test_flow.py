"""What happened at a checkout, counted in ClickHouse: as another counter does, also after repeated inserts."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

import sql
from bench.checkouts import DAY, HOUR, MINUTE, Cart, Memory, World
from cartwake.clock import rfc3339
from cartwake.flow import BOUGHT_WINDOWS, ORDER_WINDOWS, PACES
from sinks.clickhouse import ClickHouse
from sinks.flow import Flow
from sinks.migrate import fill, statements
from tests.sinks.records import Kept, put

pytestmark = pytest.mark.stack
IDLE = 2 * HOUR


def events(carts: Sequence[Cart], shop: str = "main") -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"{shop}-{number}-{step}", "type": "order.placed" if step == "order" else "checkout.step",
            "shop_id": shop, "cart_id": f"c{number}", "occurred_at": rfc3339(at),
            **({"order_id": f"o{number}"} if step == "order" else {"step": step}),
        }
        for number, cart in enumerate(carts) for at, step in cart.moments
    ]  # fmt: skip


def left(number: int, at: int, kind: str = "abandoned", **changes: Any) -> dict[str, Any]:
    return {
        "outcome_id": f"o{number}-{kind}", "type": f"cart.{kind}", "shop_id": "main", "cart_id": f"c{number}",
        "revision": 1, "episode": 1, "abandonment_id": f"a{number}", "occurred_at": rfc3339(at),
        "abandoned_at": rfc3339(at),
    } | changes  # fmt: skip


def test_counts_are_those_of_another_counter_however_often_a_batch_is_inserted(client: ClickHouse) -> None:
    carts = World(120, 2 / 7, seed=4).carts()
    assert len(carts) > 1000
    for _ in range(2):  # with another token, as after a crash that lost the first
        put(client, "cart-events", *events(carts))
    put(client, "cart-events", *events(World(50, 1 / 7, seed=5).carts(), "other"))
    ended = [(n, cart.moments[-1]) for n, cart in enumerate(carts) if cart.moments[-1][1] != "order"]
    for _ in range(2):
        put(client, "cart-outcomes", *[left(n, at + IDLE) for n, (at, _) in ended])
    flow, memory = Flow(client), Memory(carts)
    first = carts[0].moments[0][0] // DAY * DAY
    rows = client.query("SELECT count() AS n FROM checkout_steps_log WHERE shop_id = 'main'")
    assert rows[0]["n"] == 2 * sum(len(cart.moments) for cart in carts)
    for until in range(first + 3 * HOUR, first + 2 * DAY - 3 * HOUR, 5 * HOUR):
        for pace in PACES:
            starts = [until - minutes * MINUTE for minutes in reversed(pace.windows)]
            assert flow.passing("main", starts=starts, until=until, within=pace.within) == memory.passing(
                "main", starts=starts, until=until, within=pace.within
            )
        starts = [until - minutes * MINUTE for minutes in reversed(BOUGHT_WINDOWS)]
        assert flow.bought("main", starts=starts, until=until, idle=IDLE) == memory.bought(
            "main", starts=starts, until=until, idle=IDLE
        )
        starts = [until - minutes * MINUTE for minutes in reversed(ORDER_WINDOWS)]
        assert flow.orders("main", starts=starts, until=until) == memory.orders("main", starts=starts, until=until)
    assert flow.shops(since=first) == ["main", "other"]


def test_what_was_withdrawn_had_not_been_left(client: ClickHouse) -> None:
    noon = 1_795_435_200_000
    put(client, "cart-outcomes", left(1, noon + IDLE), left(2, noon + IDLE), left(2, noon + IDLE, "withdrawn"))
    put(client, "cart-events", *events([Cart([(noon + MINUTE, "contact"), (noon + 2 * MINUTE, "order")])]))
    assert Flow(client).bought("main", starts=[noon - HOUR, noon], until=noon + HOUR, idle=IDLE) == [(2, 1), (2, 1)]
    assert Flow(client).bought("main", starts=[noon + HOUR], until=noon + 2 * HOUR, idle=IDLE) == [(0, 0)]


def test_events_that_come_late_are_counted_then_and_their_lateness_is_known(client: ClickHouse) -> None:
    noon = 1_795_435_200_000
    flow = Flow(client)
    assert flow.newest("main", noon + HOUR) == (0, 0)
    assert flow.orders("main", starts=[noon], until=noon + HOUR) == [0]

    def arrives(number: int, step: str, at: int, arrived: int) -> None:
        (event,) = events([Cart([(at, step)])])
        value = json.dumps(event | {"event_id": f"e{number}"}).encode()
        put(client, "cart-events", Kept(value, at=number, arrived=arrived))

    arrives(1, "payment", noon, noon)
    asked: dict[str, Any] = {"starts": [noon - MINUTE], "until": noon + MINUTE, "within": 3 * MINUTE}
    assert flow.passing("main", **asked) == {"payment": [(1, 0)]}
    assert flow.newest("main", noon + HOUR) == (noon, 0)
    arrives(2, "order", noon + MINUTE, noon + 11 * MINUTE)
    assert flow.passing("main", **asked) == {"payment": [(1, 1)]}
    newest, late = flow.newest("main", noon + HOUR)
    assert newest == noon + MINUTE
    assert 9 * MINUTE < late <= 10 * MINUTE
    arrives(3, "contact", noon + DAY, noon + 20 * MINUTE)  # a clock that is ahead
    assert flow.newest("main", noon + HOUR)[0] == noon + 20 * MINUTE


def test_steps_from_before_the_migration_are_there_and_a_repetition_of_it_adds_none(client: ClickHouse) -> None:
    put(client, "cart-events", *events([Cart([(1_795_435_200_000, "payment"), (1_795_435_260_000, "order")])]))
    (again,) = [x for x in statements(sql.read("schema/010_alerts.sql")) if x.startswith("INSERT")]
    client.execute("TRUNCATE TABLE checkout_steps_log")
    for _ in range(2):
        client.command(fill(again, {"database": client.database}))
    asked: dict[str, Any] = {"starts": [1_795_435_200_000], "until": 1_795_435_500_000}
    assert Flow(client).passing("main", **asked, within=MINUTE) == {"payment": [(1, 1)]}
    assert Flow(client).orders("main", **asked) == [1]


def test_steps_that_a_crash_kept_from_the_view_come_with_the_repeated_insert(client: ClickHouse) -> None:
    batch = events([Cart([(1_795_435_200_000, "payment"), (1_795_435_260_000, "order")])])
    records = [Kept(json.dumps(event).encode(), at=number) for number, event in enumerate(batch)]
    client.execute("DETACH TABLE checkout_steps_of_cart_events_log")
    put(client, "cart-events", *records, token="one")
    client.execute("ATTACH TABLE checkout_steps_of_cart_events_log")
    for _ in range(2):
        put(client, "cart-events", *records, token="one")
    assert client.query("SELECT count() AS n FROM cart_events_log")[0]["n"] == 2
    assert client.query("SELECT count() AS n FROM checkout_steps_log")[0]["n"] == 2


def test_names_of_shops_are_no_sql(client: ClickHouse) -> None:
    shop = "x' OR 1=1 --"
    put(client, "cart-events", *events([Cart([(1_795_435_200_000, "payment")])], shop))
    flow = Flow(client)
    assert flow.newest(shop, 1_795_435_200_001)[0] == 1_795_435_200_000
    assert flow.newest("' OR 1=1 --", 1_795_435_200_001) == (0, 0)
