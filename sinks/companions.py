"""What is bought together, from the orders of 90 days; sql/recommend/companions.sql says how that is measured.

in   cart_outcomes: cart.completed
out  pairs of products, the best of each first
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import sql
from cartwake.model import Item
from sinks.clickhouse import ClickHouse

WINDOW: Final = timedelta(days=90)
_LEAST: Final = 3  # baskets that must say so
_MOST_LINES: Final = 50
_FRESH_DAYS: Final = 30
_MS: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """`other` is bought with `sku`: in `together` baskets, where chance would have made `expected`."""

    sku: str
    other: Item
    together: int
    expected: float
    score: float


def shops_of(client: ClickHouse, *, until: int, window: timedelta = WINDOW) -> list[str]:
    """The shops that sold something in the window that ends at `until` (epoch milliseconds)."""
    rows = client.query(sql.read("recommend/shops.sql"), {"from": until - window // _MS, "to": until})
    return [row["shop_id"] for row in rows]


def pairs(client: ClickHouse, shop_id: str, *, until: int, window: timedelta = WINDOW) -> Iterator[Pair]:
    """At most four companions of each product, products sold most often first; raises as ClickHouse's methods do."""
    asked = {
        "shop": shop_id,
        "from": until - window // _MS,
        "to": until,
        "least": _LEAST,
        "most_lines": _MOST_LINES,
        "fresh_days": _FRESH_DAYS,
    }
    for row in client.stream(sql.read("recommend/companions.sql"), asked):
        other = Item(sku=row["other"], name=row["name"], url=row["url"], image=row["image"] or None)
        yield Pair(row["sku"], other, row["together"], row["expected"], row["score"])


def published(client: ClickHouse, key: str) -> str | None:
    """The value of a setting that the sink saw last, as JSON, or None."""
    rows = client.query(sql.read("recommend/published.sql"), {"key": key})
    return rows[0]["value"] if rows else None
