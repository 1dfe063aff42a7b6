"""`cartwake recommend`: finds, publishes, and does not say again what is known."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer

from cartwake.clock import SystemClock, rfc3339
from cartwake.commands.recommend import command, next_time
from cartwake.companions import Companions, beside
from cartwake.model import decode_setting
from cartwake.settings import Settings
from sinks.clickhouse import ClickHouse
from tests.sinks.records import Kept, put

NOW = SystemClock().now_ms()


def order(number: int, *skus: str, shop: str = "main") -> dict[str, Any]:
    items = [{"sku": sku, "name": sku.title(), "url": f"https://shop.example.com/{sku}"} for sku in skus]
    return {
        "outcome_id": f"{shop}-{number}", "type": "cart.completed", "shop_id": shop, "cart_id": f"c{number}",
        "revision": 1, "occurred_at": rfc3339(NOW - 60_000), "items": items,
    }  # fmt: skip


def recommend(settings: Settings, *words: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(command, words, env=settings.environment(), catch_exceptions=False)
    assert done.exit_code == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


def published(settings: Settings) -> dict[str, bytes | None]:
    """The newest record of each key of the settings topic."""
    consumer: Any = Consumer(
        {"bootstrap.servers": settings.bootstrap, "group.id": "test", "auto.offset.reset": "earliest",
         "enable.partition.eof": True}
    )  # fmt: skip
    topic = settings.topic_prefix + "settings"
    left = set(consumer.list_topics(topic, timeout=60).topics[topic].partitions)
    consumer.subscribe([topic])
    found: dict[str, bytes | None] = {}
    while left:
        message = consumer.poll(30)
        assert message is not None
        if message.error():
            left.discard(message.partition())
        else:
            found[message.key().decode()] = message.value()
    consumer.close()
    return found


@pytest.mark.stack
def test_what_is_bought_together_is_on_the_topic_once_and_goes_when_it_no_longer_holds(
    topics: Settings, store: ClickHouse
) -> None:
    put(store, "cart-outcomes", *[order(n, "tent", "pegs") for n in range(9)])
    put(store, "cart-outcomes", *[order(100 + n, "soap") for n in range(40)])
    put(store, "cart-outcomes", *[order(200 + n, "soap", shop="side") for n in range(3)])
    main, side = recommend(topics)
    assert (main["shop"], main["products"], main["published"]) == ("main", 2, True)
    assert (side["shop"], side["products"], side["published"]) == ("side", 0, False)
    (key, value), *others = published(topics).items()
    assert (key, others) == ("main/companions", [])
    setting = decode_setting(value or b"")
    assert main["bytes"] == len(value or b"")
    companions = msgspec.convert(setting.value, Companions)
    assert [item.name for item in beside(companions, ["tent"])] == ["Pegs"]

    put(store, "settings", Kept(value, name=key.encode()))  # the sink has seen it
    assert [x["published"] for x in recommend(topics, "--shop", "main")] == [False]

    store.execute("TRUNCATE TABLE cart_outcomes_log")
    assert [(x["products"], x["published"]) for x in recommend(topics, "--shop", "main")] == [(0, True)]
    assert published(topics) == {"main/companions": None}


@pytest.mark.parametrize(
    ("hour", "day"), [("02:59", 25), ("03:00", 26), ("03:01", 26), ("23:59", 26)]
)  # fmt: skip
def test_the_night_comes_once_a_day(hour: str, day: int) -> None:
    now = datetime.strptime(f"2026-11-25 {hour}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert next_time(now, datetime(1900, 1, 1, 3, 0, tzinfo=UTC)) == datetime(2026, 11, day, 3, 0, tzinfo=UTC)
