"""Pools of offer codes as ClickHouse knows them: how many there are and were given, never the codes themselves.

in   the view `offer_codes`
out  counts by pool, and which codes are there already
"""

from dataclasses import dataclass

import sql
from cartwake.model import derived_id
from sinks.clickhouse import ClickHouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of codes; `given` were in a message that left or may have left."""

    shop_id: str
    pool: str
    total: int
    given: int
    free: int


def fingerprint(shop_id: str, code: str) -> str:
    """What stands for a code in ClickHouse, as sql/ingest makes it."""
    return derived_id("offer-code", shop_id, code)


def pools(client: ClickHouse, shop: str = "") -> tuple[Pool, ...]:
    """The pools of a shop, or of all; raises SinkUnavailable while ClickHouse is away."""
    return tuple(Pool(**row) for row in client.query(sql.read("offers/pools.sql"), {"shop": shop}))


def known(client: ClickHouse, shop: str) -> dict[str, set[str]]:
    """The fingerprints of a shop's codes by pool; raises SinkUnavailable while ClickHouse is away."""
    found: dict[str, set[str]] = {}
    for row in client.stream(sql.read("offers/known.sql"), {"shop": shop}):
        found.setdefault(row["pool"], set()).add(row["fingerprint"])
    return found
