"""From an event over HTTP to a parsed mail, its links, and the row in ClickHouse."""

import re
import time
import uuid
from typing import Any

import httpx
import pytest

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.model import encode
from tests.e2e.conftest import Pipeline
from tests.patience import until

pytestmark = pytest.mark.stack


def _event(kind: str, **fields: Any) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    return {"event_id": uuid.uuid4().hex, "type": kind, "occurred_at": rfc3339(now), **fields}


SHIRT = {"sku": "A1", "name": "Blue <script>shirt</script> =?utf-8?q?x=0D=0ABcc:_y?=", "quantity": 2, "price": "19.99"}
#: Written to, and it is known to whom: the sink takes the one from `messages`, the other from `subscriber-carts`.
WRITTEN = "SELECT * FROM abandonments WHERE message_status = 'sent' AND subscriber_id != ''"


def test_a_cart_left_becomes_one_mail_and_a_row(pipeline: Pipeline) -> None:
    cart_url = "https://shop.example.com/cart/c-1"
    events = [
        _event("cart.item_added", cart_id="c-1", device_id="d-1", currency="EUR", items=[SHIRT], cart_url=cart_url),
        _event(
            "checkout.step", cart_id="c-1", device_id="d-1", step="shipping", email="buyer@example.com", consent=True
        ),
    ]
    answer = pipeline.http.post("/v1/events", json=events)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2)
    assert pipeline.http.post("/v1/events", json=events).status_code == 202  # a client that heard no answer

    (mail,) = until(pipeline.mails, "the mail")
    assert mail["To"] == "buyer@example.com"
    assert mail["Bcc"] is None
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html, text = _part(mail, "text/html"), _part(mail, "text/plain")
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "39.98" in text

    link = next(url for url in re.findall(r"https?://[^\s\"<>]+", text) if "/r/" in url)
    led = httpx.get(link, timeout=60)
    assert (led.status_code, led.headers["location"].split("?")[0]) == (302, cart_url)

    (row,) = until(lambda: pipeline.rows(WRITTEN), "the abandonment with its mail in ClickHouse")
    assert (row["cart_id"], row["email"], row["stage"], row["units"]) == ("c-1", "buyer@example.com", "shipping", 2)
    assert str(row["value"]).rstrip("0") == "39.98"
    until(lambda: pipeline.rows("SELECT count() AS n FROM cart_events")[0]["n"] >= 2, "its events in ClickHouse")
    ids = pipeline.rows("SELECT count() AS n, uniqExact(event_id) AS ids FROM cart_events")[0]
    assert (ids["n"], ids["ids"]) == (2, 2)
    page = httpx.get(f"{pipeline.settings.console_url}/carts", timeout=60)
    assert "buyer@example.com" in page.text

    url = mail["List-Unsubscribe"].strip("<>")
    assert httpx.get(url, timeout=60).status_code == 200  # a scanner looks: nothing changes
    assert [e for e in pipeline.records("subscriber-events") if e["type"] == "subscriber.withdrawn"] == []
    assert httpx.post(url, content="List-Unsubscribe=One-Click", timeout=60).status_code == 200
    until(
        lambda: [e for e in pipeline.records("subscriber-events") if e["type"] == "subscriber.withdrawn"],
        "the withdrawal",
    )
    assert len(pipeline.mails()) == 1


def test_a_poison_event_is_set_aside_and_the_next_cart_is_served(pipeline: Pipeline) -> None:
    poison = b'{"event_id": "x", "type": "cart.item_added", "cart_id": "c-2", "items": [{"sku": "A", "quantity": -1}]}'
    pipeline.publisher.send(topics.CART_EVENTS, "c-2", poison)
    pipeline.publisher.send(topics.CART_EVENTS, "c-2", None)
    good = _event(
        "cart.item_added", cart_id="c-3", items=[SHIRT], currency="EUR", cart_url="https://shop.example.com/c"
    )
    unkeyed = encode(good | {"email": "next@example.com", "consent": True})
    pipeline.publisher.send(topics.CART_EVENTS, None, unkeyed)
    pipeline.publisher.flush()
    (mail,) = until(pipeline.mails, "the mail of the next cart")
    assert mail["To"] == "next@example.com"
    dead = until(
        lambda: found if len(found := pipeline.rows("SELECT * FROM dead_letters")) == 2 else None, "dead letters"
    )
    reasons = " | ".join(row["reason"] for row in dead)
    assert "no value" in reasons
    assert "`$.items[0].quantity`" in reasons


def test_staff_who_ask_twice_on_a_day_are_told_no(pipeline: Pipeline) -> None:
    pipeline.http.post(
        "/v1/events",
        json=_event("cart.item_added", cart_id="c-4", items=[SHIRT], email="twice@example.com", consent=True,
                    currency="EUR", cart_url="https://shop.example.com/cart/c-4"),
    )  # fmt: skip
    until(pipeline.mails, "the first mail")
    (row,) = until(lambda: pipeline.rows(WRITTEN), "the row")
    base = pipeline.settings.console_url
    with httpx.Client(base_url=base, follow_redirects=True, timeout=60) as staff:
        page = staff.get(f"/carts/{row['abandonment_id']}")
        fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)"', page.text))
        answer = staff.post(f"/carts/{row['abandonment_id']}/remind", data=fields, headers={"Origin": base})
        assert answer.status_code == 200
        assert "one mail per person and day" in answer.text
    assert len(pipeline.mails()) == 1


def _part(mail: Any, kind: str) -> str:
    return str(next(part.get_content() for part in mail.walk() if part.get_content_type() == kind))
