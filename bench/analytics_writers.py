"""Programs that the sink's benchmark compares, each a process of its own: `python -m bench.analytics_writers NAME`.

`ours` is the sink as `cartwake run sink` runs it. `connect` is what one would write by hand: decode with msgspec, rows
of Python values, clickhouse-connect's `insert()`, commit. `json` joins the bytes and has ClickHouse read them as
JSONEachRow, which its Kafka engine does, too. Each prints `first` when it has its first record.

The latter two may write records twice after a crash, stop at what can't be read, and keep no field without a column.
"""

import argparse
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import clickhouse_connect  # noqa: TID251 - the peer is this library
import msgspec
from confluent_kafka import Consumer

from cartwake import settings
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse
from sinks.sink import Sink

_ROWS: Final = 50_000
_JSON: Final = {"optimize_on_insert": 0, "input_format_skip_unknown_fields": 1, "date_time_input_format": "best_effort"}
_COLUMNS: Final = (
    "event_id", "type", "shop_id", "cart_id", "session_id", "device_id", "customer_id", "email", "occurred_at",
    "currency", "items", "cart_url", "step", "order_id", "total", "into_cart_id", "kafka_partition", "kafka_offset",
    "received_at",
)  # fmt: skip


class Item(msgspec.Struct, gc=False):
    """A line of a cart."""

    sku: str = ""
    name: str = ""
    quantity: int = 0
    price: Decimal | None = None
    category: str = ""


class Event(msgspec.Struct, gc=False):
    """A cart event with the types of its columns."""

    event_id: str
    type: str
    occurred_at: datetime
    shop_id: str = "main"
    cart_id: str = ""
    session_id: str = ""
    device_id: str = ""
    customer_id: str = ""
    email: str = ""
    currency: str = ""
    items: tuple[Item, ...] = ()
    cart_url: str = ""
    step: str = ""
    order_id: str = ""
    total: Decimal | None = None
    into_cart_id: str = ""


def ours(found: Settings, stop: threading.Event) -> None:
    """The sink."""
    with ClickHouse.connect(found.clickhouse_dsn, found.clickhouse_database) as store:
        role = Sink(found, store)

        def tell() -> None:
            while not role.counters.records and not stop.is_set():
                time.sleep(0.002)
            print("first", flush=True)

        threading.Thread(target=tell, daemon=True).start()
        role.run(stop)


def by_hand(found: Settings, stop: threading.Event, name: str) -> None:
    """Read, collect, insert, commit."""
    client = clickhouse_connect.get_client(dsn=found.clickhouse_dsn, database=found.clickhouse_database)
    consumer = Consumer(
        {"bootstrap.servers": found.bootstrap, "group.id": found.topic_prefix + name,
         "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 2}
    )  # fmt: skip
    consumer.subscribe([f"{found.topic_prefix}cart-events"])
    decode = msgspec.json.Decoder(Event).decode
    rows: list[Any] = []
    said, since = False, time.monotonic()
    while not stop.is_set():
        for message in consumer.consume(10_000, 0.1):
            if message.error() is not None:
                continue
            if not said:
                said = True
                print("first", flush=True)
            if name == "json":
                rows.append(message.value())
                continue
            e = decode(message.value())
            items = [(x.sku, x.name, x.quantity, x.price, x.category) for x in e.items]
            arrived = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
            rows.append(
                [e.event_id, e.type, e.shop_id, e.cart_id, e.session_id, e.device_id, e.customer_id, e.email,
                 e.occurred_at, e.currency, items, e.cart_url, e.step, e.order_id, e.total, e.into_cart_id,
                 message.partition(), message.offset(), arrived]
            )  # fmt: skip
        if len(rows) >= _ROWS or (rows and time.monotonic() - since > 0.5):
            if name == "json":
                client.raw_insert("peer", insert_block=b"\n".join(rows), fmt="JSONEachRow", settings=_JSON)
            else:
                client.insert("peer", rows, column_names=_COLUMNS, settings={"optimize_on_insert": 0})
            consumer.commit(asynchronous=False)
            rows, since = [], time.monotonic()
    consumer.close()


def main() -> int:
    """Write until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("ours", "connect", "json"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    name, found = parser.parse_args().name, settings.load(os.environ)
    if name == "ours":
        ours(found, stop)
    else:
        by_hand(found, stop, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
