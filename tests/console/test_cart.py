"""The page of one cart: what staff learn there, and the button that reminds."""

import json
import uuid
from decimal import Decimal

import httpx
import pytest

from cartwake.errors import KafkaUnavailable
from cartwake.model import Item, decode_subscriber_event
from sinks.carts import CartRow
from tests.console.browser import BASE, Browser, Node, parsed, words
from tests.console.conftest import Open
from tests.console.memory import MemoryCarts, Written, happened, mail, nobody, row

FIRST = f"/carts/{1:032x}"


def press(browser: Browser, **headers: str) -> httpx.Response:
    """Press the button as a browser would."""
    [token] = browser.page(FIRST).all("input[name=token]")
    return browser.post(
        f"{FIRST}/remind",
        data={"token": token.get("value")},
        headers={"origin": BASE, "sec-fetch-site": "same-origin"} | headers,
    )


def test_lines_have_pictures_prices_and_links(opened: Open) -> None:
    item = Item(
        sku="A1",
        name="Blue shirt",
        quantity=2,
        price=Decimal("19.99"),
        image="https://shop.example/a.png",
        url="https://shop.example/a",
    )
    page = opened(MemoryCarts([row(1, items=[item])])).page(FIRST)

    [line] = page.all(".lines li")
    [picture] = line.all("img")

    assert (picture.get("src"), picture.get("referrerpolicy")) == ("https://shop.example/a.png", "no-referrer")
    assert "2 × €19.99" in words(line)
    assert line.all("a")[0].get("rel") == "noreferrer noopener nofollow"
    assert words(page.all(".total")[0]) == "2 items €39.98"


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "http://192.168.0.1/reboot", "//x", "https:x"]
)
def test_a_picture_or_link_that_is_none_is_left_out(opened: Open, url: str) -> None:
    page = opened(MemoryCarts([row(1, items=[Item(sku="A1", image=url, url=url)], cart_url=url)])).page(FIRST)

    assert not page.all(".lines img")
    assert not [x for x in page.all("a") if x.get("href") == url and not url.startswith("http://")]


def test_pictures_of_our_own_collector_are_shown(opened: Open) -> None:
    source = "http://127.0.0.1:8001/shop/static/MUG-TERRA.png"
    browser = opened(MemoryCarts([row(1, items=[Item(sku="A1", image=source)])]))

    assert browser.page(FIRST).all(".lines img")[0].get("src") == source
    assert "http://127.0.0.1:8001" in browser.get(FIRST).headers["content-security-policy"]


def test_the_person_is_shown_with_the_evidence(opened: Open) -> None:
    told = words(opened(MemoryCarts([row(1)])).page(FIRST))

    assert "Why we think so ana@example.com logged in on this device on 2026-11-20." in told


def test_evidence_reads_as_a_sentence(opened: Open) -> None:
    cart = row(1, evidence_words="the e-mail address was typed in this cart's checkout")

    assert "The e-mail address was typed" in words(opened(MemoryCarts([cart])).page(FIRST))


def test_the_timeline_is_newest_first_in_words(opened: Open) -> None:
    timeline = [happened("cart.item_added"), happened("message.sent", "Reminder sent")]

    entries = opened(MemoryCarts([row(1)], timeline=timeline)).page(FIRST).all(".timeline li")

    assert [words(x) for x in entries] == [
        "Reminder sent 2026-11-23 12:00 UTC",
        "Added 2 × Blue shirt 2026-11-23 12:00 UTC",
    ]


def test_the_mail_is_shown_with_subject_text_and_a_frame_that_can_do_nothing(opened: Open) -> None:
    page = opened(MemoryCarts([row(1)], mails=[mail()])).page(FIRST)

    [letter] = page.all(".letter")
    [frame] = letter.all("iframe")

    assert "You left something" in words(letter)
    assert "Your shirt is waiting." in words(letter)
    assert (frame.get("sandbox"), frame.get("src")) == ("", f"{FIRST}/mail?plan=plan-1")


def test_the_frame_runs_no_script_and_loads_no_tracking_picture(opened: Open) -> None:
    html = (
        "<script>alert(1)</script><img src='http://127.0.0.1:8001/o/tok.gif'>"
        '<img src="http://127.0.0.1:8001/shop/static/MUG-TERRA.png"><a href="http://127.0.0.1:8001/r/tok">go</a>'
    )
    answer = opened(MemoryCarts([row(1)], mails=[mail(html=html)])).get(f"{FIRST}/mail")

    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'self'"} <= set(policy)
    assert not any(x.startswith("script-src") for x in policy)
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert [x.get("src") for x in parsed(answer).all("img")] == [
        None,
        "http://127.0.0.1:8001/shop/static/MUG-TERRA.png",
    ]


def test_of_several_mails_the_plan_picks_one(opened: Open) -> None:
    mails = [mail(plan_id="b", html="second"), mail(plan_id="a", html="first"), mail(plan_id="c", html="")]
    browser = opened(MemoryCarts([row(1)], mails=mails))

    assert browser.get(f"{FIRST}/mail").text == "second"
    assert browser.get(f"{FIRST}/mail?plan=a").text == "first"
    assert browser.get(f"{FIRST}/mail?plan=c").status_code == 404


def test_why_nothing_was_sent_is_told_in_words(opened: Open) -> None:
    refused = mail(
        status="suppressed", words="bo@example.com has not agreed to reminders.", subject="", text="", html=""
    )
    page = opened(MemoryCarts([row(1)], mails=[refused])).page(FIRST)

    assert "Not written to 2026-11-23 12:00 UTC bo@example.com has not agreed to reminders." in words(page)
    assert not page.all(".letter")


@pytest.mark.parametrize("path", ["/carts/none", "/carts/none/mail", f"{FIRST}/mail", "/nothing", "/static/../app.py"])
def test_what_is_not_there_is_a_404_page(opened: Open, path: str) -> None:
    answer = opened(MemoryCarts([row(1)])).get(path)

    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_the_button_asks_for_a_reminder(opened: Open, written: Written) -> None:
    answer = press(opened(MemoryCarts([row(1)])))

    [(topic, key, value)] = written.records
    event = decode_subscriber_event(value)
    assert (topic, key) == ("subscriber-events", "p-ana")
    assert (event.type, event.shop_id, event.subscriber_id, event.cart_id, event.requested_by) == (
        "subscriber.reminder_requested",
        "main",
        "p-ana",
        "c-1",
        "staff",
    )
    assert json.loads(value or b"")["occurred_at"] == "2026-11-23T12:00:00Z"
    assert event.event_id == event.request_id == str(uuid.UUID(event.request_id))
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{FIRST}?request={event.request_id}"


def result(opened: Open, *outcome: str, patience: float = 0.5) -> Node:
    """The box that a page shows for a request with this outcome."""
    carts = MemoryCarts([row(1)])
    if outcome:
        carts.outcomes["any"] = (outcome[0], outcome[1])
    [box] = opened(carts, patience=patience).page(f"{FIRST}?request={uuid.uuid4()}").all(".notice")
    return box


def test_a_reminder_that_was_sent_is_said(opened: Open) -> None:
    box = result(opened, "sent", "250 queued as 7F3")

    assert (box.get("class"), box.get("role")) == ("notice good", "status")
    assert words(box) == "Reminder sent The mail server took the reminder. The answer was: 250 queued as 7F3"


@pytest.mark.parametrize("status", ["suppressed", "expired", "recovered"])
def test_a_refusal_is_an_error_with_its_words(opened: Open, status: str) -> None:
    box = result(opened, status, "ana@example.com was already written to today; one mail per person and day.")

    assert (box.get("class"), box.get("role")) == ("notice bad", "alert")
    assert words(box) == (
        "No reminder was sent ana@example.com was already written to today; one mail per person and day."
    )


@pytest.mark.parametrize(("status", "title"), [("failed", "No reminder was sent"), ("uncertain", "Perhaps sent")])
def test_what_the_mail_server_answered_is_quoted(opened: Open, status: str, title: str) -> None:
    box = result(opened, status, "550 no such user")

    assert box.get("class") == "notice bad"
    assert words(box).startswith(title)
    assert words(box).endswith("The answer was: 550 no such user")


@pytest.mark.parametrize("outcome", [(), ("planned", ""), ("sending", "")])
def test_an_outcome_that_takes_longer_can_be_reloaded(opened: Open, outcome: tuple[str, ...]) -> None:
    box = result(opened, *outcome, patience=0.05)

    assert "Still working" in words(box)
    assert "?request=" in (box.all("a")[0].get("href") or "")


def test_a_request_that_is_no_id_is_ignored(opened: Open) -> None:
    assert not opened(MemoryCarts([row(1)])).page(f"{FIRST}?request=<script>").all(".notice")


@pytest.mark.parametrize(
    ("cart", "reason"),
    [(nobody(), "Nobody is known for this cart yet"), (row(1, state="recovered"), "has been bought already")],
)
def test_where_no_mail_can_go_the_button_says_why(opened: Open, written: Written, cart: CartRow, reason: str) -> None:
    browser = opened(MemoryCarts([cart]))

    [button] = browser.page(FIRST).all("button.main")
    answer = press(browser)

    assert button.get("disabled") is not None
    assert reason in words(browser.page(FIRST).all(f"#{button.get('aria-describedby')}")[0])
    assert (answer.status_code, written.records) == (409, [])


def test_without_kafka_nothing_is_promised(opened: Open, written: Written) -> None:
    written.broken = KafkaUnavailable("no answer")

    answer = press(opened(MemoryCarts([row(1)])))

    assert answer.status_code == 503
    assert "Not sent" in answer.text
