"""Reminders that staff send from the console, to one or many: the mails that arrive, and the account of each."""

import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from lxml import html

from cartwake.clock import rfc3339
from tests.e2e.conftest import Pipeline
from tests.patience import until

pytestmark = pytest.mark.stack

SHIRT = {"sku": "A1", "name": "Blue shirt", "quantity": 2, "price": "19.99"}


@pytest.fixture
def rules() -> dict[str, Any]:
    """Nobody is written to but by hand."""
    return {}


@pytest.fixture
def staff(pipeline: Pipeline) -> Iterator[httpx.Client]:
    """A browser in front of the console."""
    base = pipeline.settings.console_url
    with httpx.Client(base_url=base, follow_redirects=True, timeout=60, headers={"Origin": base}) as client:
        yield client


def left(pipeline: Pipeline, **carts: dict[str, Any]) -> None:
    """Each cart is filled and left; returns when the console shows whose it is."""
    for cart_id, who in carts.items():
        event = {
            "event_id": uuid.uuid4().hex,
            "type": "cart.item_added",
            "occurred_at": rfc3339(time.time_ns() // 10**6),
        }
        event |= {"cart_id": cart_id, "currency": "EUR", "items": [SHIRT]}
        event |= {"cart_url": f"https://shop.example.com/cart/{cart_id}", **who}
        assert pipeline.http.post("/v1/events", json=event).status_code == 202
    known = "SELECT cart_id FROM abandonments WHERE subscriber_id != '' AND message_status = 'suppressed'"
    until(lambda: len(pipeline.rows(known)) == len(carts), "the carts, and that no rule writes about them")


def send(staff: httpx.Client, page: httpx.Response, text: str) -> httpx.Response:
    """Fill in the form of the page and press its button; the page that it leads to."""
    [form] = [form for form in html.fromstring(page.text).forms if form.method == "POST"]
    fields: dict[str, list[str]] = {"text": [text]}
    for name, value in form.form_values():
        if name != "text":
            fields.setdefault(name, []).append(value)
    return staff.post(form.action, data=fields)


def accounts(page: httpx.Response) -> dict[str, str]:
    """What is said of each cart, by its id."""
    lines = html.fromstring(page.text).xpath("//ul[contains(@class, 'accounts')]/li")
    return {line.xpath(".//a/text()")[0]: " ".join(line.text_content().split()) for line in lines}


def ended(staff: httpx.Client, page: httpx.Response) -> dict[str, str]:
    """The accounts once every outcome is there, by loading the page again."""

    def again() -> dict[str, str] | None:
        found = accounts(staff.get(str(page.url)))
        return None if any("Still working" in said for said in found.values()) else found

    found: dict[str, str] = until(again, "an end for each")
    return found


def test_many_are_written_to_in_own_words_once_a_day_with_an_account_of_each(
    pipeline: Pipeline, staff: httpx.Client
) -> None:
    ana, bo = ({"email": f"{name}@example.com", "consent": True} for name in ("ana", "bo"))
    left(pipeline, **{"c-1": ana, "c-2": bo, "c-3": {"email": "cy@example.com"}, "c-4": ana})

    [everyone] = html.fromstring(staff.get("/carts").text).xpath("//div[@class='choice']//a/@href")
    told = ended(staff, send(staff, staff.get(everyone), "Grüße <b>aus</b> der Küche.\r\nBis bald!"))

    assert "No consent to mails is recorded." in told["c-3"]
    assert "Reminder sent" in told["c-2"]
    (sent, other) = ("c-1", "c-4") if "Reminder sent" in told["c-1"] else ("c-4", "c-1")
    assert "Reminder sent" in told[sent]
    assert f"Cart {sent} is the same person’s and comes first; one mail per person and day." in told[other]
    mails = until(lambda: found if len(found := pipeline.mails()) == 2 else None, "two mails")
    assert {mail["To"] for mail in mails} == {"ana@example.com", "bo@example.com"}
    for mail in mails:
        text, page = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
        assert "Grüße <b>aus</b> der Küche.\nBis bald!" in text.replace("\r\n", "\n")
        [lead] = html.fromstring(page).xpath("//p[@class='lead']")
        assert (lead.text, lead.xpath(".//b"), lead.xpath("br")[0].tail) == (
            "Grüße <b>aus</b> der Küche.",
            [],
            "Bis bald!",
        )

    second = ended(staff, send(staff, staff.get(everyone), "Once more."))
    assert all("Not asked for" in said for said in second.values())
    assert all("was already written to on" in second[cart] for cart in ("c-1", "c-2", "c-4"))
    assert "has not agreed" in second["c-3"]
    assert len(pipeline.mails()) == 2

    [one] = pipeline.rows(f"SELECT abandonment_id FROM abandonments WHERE cart_id = '{other}'")
    path = f"/carts/{one['abandonment_id']}"
    refused = send(staff, staff.get(path), "Kept for tomorrow.")
    assert re.search(r"ana@example.com was already written to .* one by email per person and day", refused.text)
    until(lambda: "Kept for tomorrow.</textarea>" in staff.get(str(refused.url)).text, "what was typed")
