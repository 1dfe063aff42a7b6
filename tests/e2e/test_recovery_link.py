"""From a click to the cart on another device, with the collector's real application and a real ClickHouse."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from cartwake.clock import SystemClock
from cartwake.current_cart import CurrentCarts
from cartwake.model import derived_id, person_id
from cartwake.settings import Settings
from cartwake.shops import Shops
from cartwake.topics import Topic
from ingest.collector import create_app
from reminders import recovery
from reminders.links import Links, Recovery
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate_settings
from tests.ingest.shop_events import RecordingPublisher
from tests.sinks.records import event, put

PERSON = person_id("ana@example.com")


class Publisher(RecordingPublisher):
    """Remembers what the links write, too."""

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None, *, timeout: float = 10) -> None:
        self.records.append((topic.name, key, value or b""))


@pytest.mark.stack
def test_a_click_brings_the_cart_of_today_not_that_of_the_mail(settings: Settings) -> None:
    links, publisher, shops = Links("https://t.example.com", settings.secret), Publisher(), Shops()
    found = recovery.routes(links, publisher, shops, carts=CurrentCarts(settings, shops))
    app = create_app(settings, publisher, shops, extra_routes=found, ready=lambda: None)
    now = SystemClock().now_ms()
    url = links.recovery_url(
        Recovery("main", PERSON, derived_id("plan"), "c1", "https://shop.example.com/c", now + 86_400_000, now - 60_000)
    )

    async def ask(method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://t.example.com") as client:
            return await client.request(method, path, **more)

    def click() -> httpx.Response:
        return asyncio.run(ask("GET", url))

    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
        migrate_settings(store, settings)
        put(store, "cart-events", event(1), event(2, items=[{"sku": "B2", "quantity": 3, "price": "1.50"}]))
        token = parse_qs(urlsplit(click().headers["location"]).query)["cartwake"][0]
        cart = asyncio.run(ask("GET", f"/v1/carts/{token}")).json()
        assert [(x["sku"], x["quantity"]) for x in cart["items"]] == [("A1", 2), ("B2", 3)]
        assert cart["value"] == "44.48"

        put(store, "cart-events", event(3, type="cart.item_removed", items=[{"sku": "A1"}]))
        changed = asyncio.run(ask("GET", f"/v1/carts/{token}")).json()
        assert [x["sku"] for x in changed["items"]] == ["B2"]

        put(store, "cart-events", event(4, type="order.placed", order_id="o-1"))
        refused = asyncio.run(ask("GET", f"/v1/carts/{token}"))
        assert (refused.status_code, refused.json()["reason"]) == (410, "bought")
        page = click()
        assert (page.status_code, "has been bought" in page.text) == (410, True)

        seen = asyncio.run(ask("POST", f"/v1/carts/{token}/device", content=b'{"device_id": "telephone"}'))
        assert seen.status_code == 202
        store.command(f"DROP DATABASE {settings.clickhouse_database}")
    assert [(topic, key) for topic, key, _ in publisher.records] == [
        ("messages", PERSON), ("messages", PERSON), ("device-events", "telephone"),
    ]  # fmt: skip
