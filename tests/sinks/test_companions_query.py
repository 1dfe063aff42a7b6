"""What is bought together: the measure counted a second time in Python, and what must not win."""

import json
import random
from collections import Counter
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from cartwake.clock import rfc3339
from sinks.clickhouse import ClickHouse
from sinks.companions import Pair, pairs, shops_of
from tests.sinks.records import HOUR, NOON, outcome, put

pytestmark = pytest.mark.stack
DAY = 24 * HOUR
UNTIL = NOON + DAY


def line(sku: str, **changes: Any) -> dict[str, Any]:
    return {
        "sku": sku, "name": f"Product {sku}", "url": f"https://shop.example.com/{sku}", "price": "1.00", "quantity": 2,
    } | changes  # fmt: skip


def bought(number: int, *skus: str, at: int = NOON, lines: list[dict[str, Any]] | None = None, **changes: Any) -> Any:
    """The order of cart `number`."""
    items = lines if lines is not None else [line(sku) for sku in skus]
    said = {"items": items, "occurred_at": rfc3339(at), "order_id": f"o{number}", "abandonment_id": None} | changes
    return outcome("completed", number=number, **said)


def found(client: ClickHouse, shop: str = "main", **more: Any) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for pair in pairs(client, shop, until=UNTIL, **more):
        grouped.setdefault(pair.sku, []).append(pair.other.sku)
    return grouped


def expected(baskets: list[set[str]]) -> dict[str, list[tuple[str, float]]]:
    """The measure as its words say it."""
    alone = Counter(sku for basket in baskets for sku in basket)
    together = Counter(pair for basket in baskets for pair in permutations(sorted(basket), 2))
    best: dict[str, list[tuple[str, float]]] = {}
    for (a, b), n in together.items():
        chance = alone[a] * alone[b] / len(baskets)
        if n >= 3 and n / chance >= 1.5:
            best.setdefault(a, []).append((b, n / (chance + 5)))
    for a, others in best.items():
        best[a] = sorted(others, key=lambda x: (-x[1], -together[a, x[0]], x[0]))[:4]
    return best


@pytest.mark.parametrize("seed", [1, 2])
def test_companions_are_those_counted_by_hand_however_often_records_arrive(client: ClickHouse, seed: int) -> None:
    chance = random.Random(seed)
    tastes = [[f"t{t}-{n}" for n in range(6)] for t in range(4)]
    baskets = []
    for _ in range(400):
        taste = chance.choice(tastes)
        basket = set(chance.choices(taste, weights=[9, 6, 4, 3, 2, 1], k=chance.randint(1, 4)))
        baskets.append(basket | ({"best-seller"} if chance.random() < 0.6 else set()))
    records = [bought(n, *basket) for n, basket in enumerate(baskets)]
    put(client, "cart-outcomes", *records)
    put(client, "cart-outcomes", *records[:200])
    want = expected(baskets)
    got: dict[str, list[Pair]] = {}
    for pair in pairs(client, "main", until=UNTIL):
        got.setdefault(pair.sku, []).append(pair)
    assert {sku: [(x.other.sku, round(x.score, 9)) for x in some] for sku, some in got.items()} == {
        sku: [(other, round(score, 9)) for other, score in some] for sku, some in want.items()
    }
    assert len(want) > 10
    popularity = Counter(sku for basket in baskets for sku in basket)
    sold = [popularity[sku] for sku in got]
    assert sold == sorted(sold, reverse=True)


def test_a_best_seller_that_is_in_every_third_basket_is_nobodys_companion(client: ClickHouse) -> None:
    records = [bought(n, "tent", *(["pegs"] if n % 2 else []), *(["bag"] if n % 3 == 0 else [])) for n in range(40)]
    records += [bought(100 + n, f"other{n % 7}", *(["bag"] if n % 3 == 0 else [])) for n in range(160)]
    put(client, "cart-outcomes", *records)
    assert found(client)["tent"] == ["pegs"]
    assert "bag" not in found(client)


def test_two_rare_things_that_met_twice_are_no_companions_and_three_times_come_after_what_is_common(
    client: ClickHouse,
) -> None:
    records = [bought(n, "tent", "pegs") for n in range(30)] + [bought(50 + n, "tent", "harp") for n in range(3)]
    records += [bought(60 + n, "tent", "lute") for n in range(2)] + [bought(100 + n, "soap") for n in range(200)]
    put(client, "cart-outcomes", *records)
    assert found(client)["tent"] == ["pegs", "harp"]
    assert "lute" not in found(client)


def test_only_the_shops_own_orders_within_the_window_count(client: ClickHouse) -> None:
    three = range(3)
    put(client, "cart-outcomes", *[bought(n, "soap") for n in range(9, 40)])
    put(client, "cart-outcomes", *[bought(100 + n, "a", "b", at=UNTIL - 91 * DAY) for n in three])
    put(client, "cart-outcomes", *[bought(200 + n, "a", "b", at=UNTIL) for n in three])
    put(client, "cart-outcomes", *[bought(300 + n, "a", "b", shop_id="side") for n in three])
    put(client, "cart-outcomes", *[bought(400 + n, "a", "b", type="cart.abandoned") for n in three])
    assert found(client) == {}
    put(client, "cart-outcomes", *[bought(500 + n, "a", "b", at=UNTIL - 1) for n in three])
    assert found(client) == {"a": ["b"], "b": ["a"]}
    assert found(client, window=timedelta(0)) == {}
    assert shops_of(client, until=UNTIL) == ["main", "side"]


def test_what_nobody_buys_any_more_is_not_proposed(client: ClickHouse) -> None:
    put(client, "cart-outcomes", *[bought(n, "a", "gone", at=UNTIL - 31 * DAY) for n in range(5)])
    put(client, "cart-outcomes", *[bought(10 + n, "a", at=UNTIL - 1) for n in range(5)])
    put(client, "cart-outcomes", *[bought(20 + n, "soap") for n in range(20)])
    assert found(client) == {"gone": ["a"]}


def test_what_can_not_be_shown_is_not_proposed_and_the_newest_facts_are(client: ClickHouse) -> None:
    old, new = line("b", name="Old name", image="https://x.example.com/old"), line("b", name="New name", url=None)
    records = [bought(n, lines=[line("a", name=None), line("c", url=""), old], at=NOON - HOUR) for n in range(3)]
    records += [bought(5, lines=[line("a", name=None), new], at=NOON)]
    put(client, "cart-outcomes", *records, *[bought(20 + n, "soap") for n in range(30)])
    assert found(client) == {"a": ["b"], "c": ["b"]}
    (pair, *_) = pairs(client, "main", until=UNTIL)
    assert (pair.other.name, pair.other.url) == ("New name", "https://shop.example.com/b")
    assert pair.other.image == "https://x.example.com/old"
    assert pair.other.price is None


def test_resellers_and_odd_lines_do_not_disturb(client: ClickHouse) -> None:
    large = [f"s{n}" for n in range(51)]
    put(client, "cart-outcomes", *[bought(n, *large) for n in range(4)])
    odd = [{"sku": ""}, {"name": "no sku"}, line("a"), line("a"), line("x'; DROP TABLE --")]
    put(client, "cart-outcomes", *[bought(10 + n, lines=odd) for n in range(4)])
    put(client, "cart-outcomes", bought(90, lines=[]), *[bought(100 + n, "soap") for n in range(40)])
    broken = json.dumps(bought(91) | {"items": "no list"}).encode()
    put(client, "cart-outcomes", broken)
    assert found(client) == {"a": ["x'; DROP TABLE --"], "x'; DROP TABLE --": ["a"]}
