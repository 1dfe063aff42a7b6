"""The events of one cart, in the order in which stage 1 read them.

in   cart_events_log
out  raw records with their time of arrival
"""

from typing import Final

from msgspec import Struct

import sql
from sinks.clickhouse import ClickHouse

#: Events of one cart that are read; people's carts have tens, and one request must not read a robot's million.
MOST_EVENTS: Final = 5_000


class Kept(Struct, frozen=True, gc=False):
    """A record as it came. `received_at` is the broker's time of arrival, epoch milliseconds."""

    raw: bytes
    received_at: int


def events_of(client: ClickHouse, shop_id: str, cart_id: str) -> list[Kept]:
    """At most `MOST_EVENTS` + 1 events of the cart; raises SinkUnavailable, Rejected or ConfigurationError.

    On one partition they are in the order of their offsets. A cart has several only after the topic got more of them
    or a record was forwarded; then the broker's clock decides.
    """
    asked = {"shop": shop_id, "cart": cart_id, "most": MOST_EVENTS + 1}
    rows = client.query(sql.read("recovery/events.sql"), asked)
    if len({row["kafka_partition"] for row in rows}) == 1:
        rows.sort(key=lambda row: row["kafka_offset"])
    return [Kept(row["raw"].encode(), row["received_at_ms"]) for row in rows]
