"""Reminders about several carts: choosing them in the list, who will be written to, and the account of each."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from cartwake.errors import KafkaUnavailable
from cartwake.model import SubscriberEvent, decode_subscriber_event
from cartwake.topics import Topic
from console.asking import MOST_AT_ONCE
from sinks.carts import CartRow, Standing
from tests.console.browser import BASE, Browser, Node, parsed, words
from tests.console.conftest import Open
from tests.console.memory import NOON, MemoryCarts, Written, nobody, row

OURS = {"origin": BASE, "sec-fetch-site": "same-origin"}


def of(name: str, number: int, **changes: Any) -> CartRow:
    """A cart of the person of that name."""
    return row(number, email=f"{name}@example.com", subscriber_id=f"p-{name}", **changes)


def confirmed(browser: Browser, numbers: Sequence[int]) -> Node:
    """The page that asks whether to write about these carts."""
    query = "&".join(f"cart={number:032x}" for number in numbers)
    return browser.page(f"/reminders/new?{query}")


def fields(page: Node) -> dict[str, list[str]]:
    """What the page's form would send."""
    found: dict[str, list[str]] = {}
    for hidden in page.all("form[method=post] input[type=hidden]"):
        found.setdefault(hidden.get("name") or "", []).append(hidden.get("value") or "")
    return found


def press(browser: Browser, page: Node, text: str = "") -> httpx.Response:
    """Press its button."""
    return browser.post("/reminders", data=fields(page) | {"text": text}, headers=OURS)


def asked(written: Written) -> list[SubscriberEvent]:
    return [decode_subscriber_event(value) for _, _, value in written.records]


def listed(page: Node, heading: str) -> list[str]:
    """The lines of the box of that heading."""
    [box] = [x for x in page.all(".box") if x.all("h2") and words(x.all("h2")[0]).startswith(heading)]
    return [words(x) for x in box.all(".people li")]


# -- choosing ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("view", ["tiles", "list"])
def test_carts_are_chosen_in_the_list(opened: Open, view: str) -> None:
    page = opened(MemoryCarts([of("ana", 1), of("bo", 2)])).page(f"/carts?view={view}")

    [form] = page.all("form.choosing")
    boxes = form.all("input[type=checkbox]")

    assert (form.get("action"), form.get("method")) == ("/reminders/new", None)
    assert [(x.get("name"), x.get("value")) for x in boxes] == [("cart", f"{1:032x}"), ("cart", f"{2:032x}")]
    assert [x.get("aria-label") for x in boxes] == ["Choose cart c-1", "Choose cart c-2"]
    assert [words(x) for x in form.all("button")] == ["Remind the chosen ones"]


def test_all_on_this_page_are_chosen_by_a_link_that_knows_the_way_back(opened: Open) -> None:
    browser = opened(MemoryCarts([of(f"p{n}", n) for n in range(1, 121)]))
    first = browser.page("/carts?state=open")
    second = browser.page(first.all(".paging a[rel=next]")[0].get("href") or "")

    [everyone] = second.all(".choice a")
    page = browser.page(everyone.get("href") or "")

    assert len(fields(page)["cart"]) == 48
    assert listed(page, "Will be written to")[0].startswith("p49@example.com")
    [back] = fields(page)["from"]
    assert [words(x) for x in browser.page(back).all(".tile h2")][:1] == ["c-49"]


def test_an_empty_list_has_nothing_to_choose(opened: Open) -> None:
    assert not opened(MemoryCarts([row(1)])).page("/carts?q=nothing").all(".choice")


def test_nothing_chosen_is_said(opened: Open) -> None:
    answer = opened(MemoryCarts([row(1)])).get("/reminders/new?from=%2Fcarts%3Fstate%3Dopen")

    assert answer.status_code == 400
    assert "No cart was chosen" in answer.text
    assert parsed(answer).all("a.button")[0].get("href") == "/carts?state=open"


# -- before ------------------------------------------------------------------------------------------------------
def test_the_page_says_who_will_be_written_to_and_who_will_not_and_why(opened: Open, written: Written) -> None:
    carts = MemoryCarts([of("ana", 1), of("bo", 2), of("cy", 3, state="recovered"), nobody(4), of("ana", 5)])
    carts.people = [Standing(shop_id="main", subscriber_id="p-bo", written=1, written_at=NOON)]

    page = confirmed(opened(carts), [1, 2, 3, 4, 5, 6])

    assert words(page.all("h1")[0]) == "Send 1 reminder?"
    assert listed(page, "Will be written to") == ["ana@example.com Cart c-1 €39.98 2 items"]
    assert listed(page, "Will not be written to") == [
        "bo@example.com Cart c-2 The person was already written to on 2026-11-23 at 12:00 (UTC); "
        "one mail per person and day.",
        "cy@example.com Cart c-3 This cart has been bought already.",
        "Nobody known yet Cart c-4 Nobody is known for this cart yet, so there is nobody to write to.",
        "ana@example.com Cart c-5 Cart c-1 is the same person’s and comes first; one mail per person and day.",
        f"{6:032x} This cart is no longer kept.",
    ]
    assert written.records == []


def test_a_mail_of_the_day_before_does_not_count(opened: Open) -> None:
    carts = MemoryCarts([of("bo", 2)])
    carts.people = [Standing(shop_id="main", subscriber_id="p-bo", written=1, written_at=NOON.replace(day=22))]

    assert len(listed(confirmed(opened(carts), [2]), "Will be written to")) == 1


def test_with_nobody_to_write_to_the_button_is_off(opened: Open) -> None:
    page = confirmed(opened(MemoryCarts([nobody(1)])), [1])

    assert words(page.all("h1")[0]) == "There is nobody to remind"
    assert page.all("button.main")[0].get("disabled") is not None
    assert not page.all("textarea")


# -- sending -----------------------------------------------------------------------------------------------------
def test_those_who_will_be_written_to_are_asked_for_with_the_same_words(opened: Open, written: Written) -> None:
    browser = opened(MemoryCarts([of("ana", 1), of("bo", 2), nobody(3)]))

    answer = press(browser, confirmed(browser, [1, 2, 3]), "Your size is back.\r\nSee you!")

    events = asked(written)
    assert [(x.subscriber_id, x.cart_id, x.requested_by) for x in events] == [
        ("p-ana", "c-1", "staff"),
        ("p-bo", "c-2", "staff"),
    ]
    assert {x.message for x in events} == {"Your size is back.\nSee you!"}
    assert all(x.type == "subscriber.reminder_requested" and x.event_id == x.request_id for x in events)
    assert [(topic, key) for topic, key, _ in written.records] == [
        ("subscriber-events", "p-ana"),
        ("subscriber-events", "p-bo"),
    ]
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.headers["location"]).query)["asked"] == [f"{1:032x}", f"{2:032x}"]


def test_a_form_that_is_sent_twice_asks_once(opened: Open, written: Written) -> None:
    browser = opened(MemoryCarts([of("ana", 1), of("bo", 2)]))
    page = confirmed(browser, [1, 2])

    first, second = press(browser, page), press(browser, page)
    press(browser, confirmed(browser, [1, 2]))

    ids = [x.event_id for x in asked(written)]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4
    assert first.headers["location"] == second.headers["location"]


def test_what_happened_since_the_page_was_shown_counts(opened: Open, written: Written) -> None:
    carts = MemoryCarts([of("ana", 1), of("bo", 2)])
    browser = opened(carts, patience=0.05)
    page = confirmed(browser, [1, 2])
    carts.rows[0] = of("ana", 1, state="recovered")

    answer = press(browser, page)

    assert [x.cart_id for x in asked(written)] == ["c-2"]
    assert "ana@example.com Cart c-1 · €39.98 Not asked for This cart has been bought already." in account(
        browser, answer
    )


def test_own_words_that_are_too_long_are_refused_and_kept(opened: Open, written: Written) -> None:
    browser = opened(MemoryCarts([of("ana", 1), nobody(2)]))
    page = confirmed(browser, [1, 2])

    answer = press(browser, page, "y" * 2_001)

    again = parsed(answer)
    assert (answer.status_code, written.records) == (422, [])
    assert "2,001 characters are too many" in words(again.all(".notice")[0])
    assert again.all("textarea")[0].raw == "\n" + "y" * 2_001
    assert fields(again) == fields(page)


def test_without_kafka_nothing_is_asked_and_the_words_are_kept(opened: Open, written: Written) -> None:
    browser = opened(MemoryCarts([of("ana", 1)]))
    written.broken = KafkaUnavailable("no answer")
    page = confirmed(browser, [1])

    answer = press(browser, page, "Kept.")
    written.broken = None
    press(browser, parsed(answer), "Kept.")

    assert answer.status_code == 503
    assert "Kafka does not answer" in words(parsed(answer).all(".notice")[0])
    assert parsed(answer).all("textarea")[0].raw == "\nKept."
    assert [x.message for x in asked(written)] == ["Kept."]


class Breaking(Written):
    """A writer that Kafka leaves after so many records."""

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None) -> None:
        if len(self.records) == 1:
            raise KafkaUnavailable("no answer")
        super().send_and_wait(topic, key, value)


class TestHalfWay:
    @pytest.fixture
    def written(self) -> Written:
        return Breaking()

    def test_what_kafka_did_not_take_has_its_account(self, opened: Open, written: Written) -> None:
        browser = opened(MemoryCarts([of("ana", 1), of("bo", 2), of("cy", 3)]), patience=0.05)

        lines = account(browser, press(browser, confirmed(browser, [1, 2, 3])))

        assert [x.cart_id for x in asked(written)] == ["c-1"]
        assert "Still working" in lines[0]
        assert ["Not asked for Kafka did not answer" in x for x in lines[1:]] == [True, True]


# -- after -------------------------------------------------------------------------------------------------------
def account(browser: Browser, answer: httpx.Response) -> list[str]:
    """The lines of the account that a sent form leads to."""
    assert answer.status_code == 303, answer.text
    return [words(x) for x in browser.page(answer.headers["location"]).all(".accounts li")]


def test_each_cart_has_its_account(opened: Open, written: Written) -> None:
    carts = MemoryCarts([of(name, n) for n, name in enumerate(("ana", "bo", "cy", "di"), 1)] + [of("ana", 5)])
    browser = opened(carts)
    answer = press(browser, confirmed(browser, [1, 2, 3, 4, 5]), "Hello again.")
    ends = [
        ("sent", "250 ok"),
        ("suppressed", "bo@example.com was already written to today at 10:15 (UTC); one by email per person and day."),
        ("uncertain", "connection lost"),
        ("recovered", "Bought before a reminder was sent."),
    ]
    for event, end in zip(asked(written), ends, strict=True):
        carts.outcomes[str(event.request_id)] = end
    carts.said["main", "p-ana", str(asked(written)[0].request_id)] = "Hello again."

    page = browser.page(answer.headers["location"])

    assert [words(x) for x in page.all(".accounts .badge")] == [
        "Reminder sent",
        "No reminder was sent",
        "Perhaps sent",
        "No reminder was sent",
        "Not asked for",
    ]
    told = [words(x) for x in page.all(".accounts .reason")]
    assert "already written to today at 10:15" in told[1]
    assert "Bought before" in told[3]
    assert told[4] == "Cart c-1 is the same person’s and comes first; one mail per person and day."
    [notice] = page.all(".notice")
    assert (notice.get("class"), notice.get("role")) == ("notice bad", "alert")
    assert words(notice) == (
        "1 of 5 reminders were sent 2 refused, 1 perhaps sent, 1 not asked for. Why is said with each."
    )
    assert words(page.all(".said p")[0]) == "Hello again."
    assert page.all(".accounts a")[0].get("href") == f"/carts/{1:032x}"


def test_when_all_were_sent_that_is_said(opened: Open) -> None:
    carts = MemoryCarts([of("ana", 1), of("bo", 2)])
    carts.outcomes["any"] = ("sent", "250 ok")
    browser = opened(carts)

    page = browser.page(press(browser, confirmed(browser, [1, 2])).headers["location"])

    assert (page.all(".notice")[0].get("class"), words(page.all(".notice h2")[0])) == (
        "notice good",
        "All 2 reminders were sent",
    )
    assert not page.all(".said")


def test_the_account_is_loaded_again_for_what_takes_longer(opened: Open, written: Written) -> None:
    carts = MemoryCarts([of("ana", 1), of("bo", 2)])
    browser = opened(carts, patience=0.05)
    answer = press(browser, confirmed(browser, [1, 2]))
    first, second = (str(x.request_id) for x in asked(written))
    carts.outcomes[first] = ("sent", "250 ok")
    carts.outcomes[second] = ("sending", "")

    early = browser.page(answer.headers["location"])
    carts.outcomes[second] = ("suppressed", "The person unsubscribed.")
    [reload] = early.all(".notice a")
    late = browser.page(reload.get("href") or "")

    assert "1 still under way" in words(early.all(".notice")[0])
    assert early.all("[data-live=account]")
    assert "1 of 2 reminders were sent 1 refused" in words(late.all(".notice")[0])
    assert not late.all(".notice a")
    assert not late.all("[data-live=account]")


def test_a_person_who_was_written_to_meanwhile_is_an_error_that_says_when(opened: Open, written: Written) -> None:
    carts = MemoryCarts([of("ana", 1)])
    browser = opened(carts)
    page = confirmed(browser, [1])
    carts.people = [Standing(shop_id="main", subscriber_id="p-ana", written=1, written_at=NOON)]

    [line] = account(browser, press(browser, page))

    assert written.records == []
    assert line == (
        "ana@example.com Cart c-1 · €39.98 Not asked for The person was already written to on 2026-11-23 at 12:00 "
        "(UTC); one mail per person and day."
    )


# -- strangers ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"origin": "https://evil.example"}, None),
        ({"sec-fetch-site": "cross-site"}, None),
        ({}, None),
        (OURS, "0" * 64),
    ],
)
def test_a_forged_form_sends_nothing(
    opened: Open, written: Written, headers: dict[str, str], token: str | None
) -> None:
    browser = opened(MemoryCarts([of("ana", 1)]))
    sent = fields(confirmed(browser, [1])) | ({"token": [token]} if token else {})

    answer = browser.post("/reminders", data=sent, headers=headers)

    assert (answer.status_code, written.records) == (403, [])


def test_looking_sends_nothing(opened: Open, written: Written) -> None:
    browser = opened(MemoryCarts([of("ana", 1)]), patience=0.05)
    confirmed(browser, [1])
    browser.page(f"/reminders?batch={1:032x}&asked={1:032x}")

    assert written.records == []


def test_more_than_a_page_can_give_account_of_are_refused(opened: Open, written: Written) -> None:
    browser = opened(MemoryCarts([of(f"p{n}", n) for n in range(1, 103)]))
    page = confirmed(browser, range(1, MOST_AT_ONCE + 1))
    query = "&".join(f"cart={n}" for n in range(MOST_AT_ONCE + 1))
    one_more = fields(page) | {"cart": [*fields(page)["cart"], "one more"]}

    assert len(listed(page, "Will be written to")) == MOST_AT_ONCE
    assert "at most 100" in browser.get(f"/reminders/new?{query}").text
    assert browser.post("/reminders", data=one_more, headers=OURS).status_code == 409
    too_many = {"cart": [str(n) for n in range(1_000)]}
    assert browser.post("/reminders", data=too_many, headers=OURS).status_code == 413
    assert written.records == []
    assert press(browser, page).status_code == 303


@pytest.mark.parametrize("wrong", [{"batch": "x"}, {"cart": ""}, {"batch": ""}])
def test_a_form_that_is_not_whole_sends_nothing(opened: Open, written: Written, wrong: dict[str, str]) -> None:
    browser = opened(MemoryCarts([of("ana", 1)]))
    sent = fields(confirmed(browser, [1])) | wrong

    assert browser.post("/reminders", data=sent, headers=OURS).status_code == 409
    assert written.records == []


@pytest.mark.parametrize("query", ["", "?batch=x", "?asked=1", f"?batch={1:032x}"])
def test_an_account_of_no_batch_is_not_there(opened: Open, query: str) -> None:
    assert opened(MemoryCarts([row(1)])).get(f"/reminders{query}").status_code == 404


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/carts", "//e.example/carts", "javascript:alert(1)", "/carts/../x", "http://[", "\r\nx: y"],
)
def test_the_way_back_leads_to_the_list_alone(opened: Open, back: str) -> None:
    browser = opened(MemoryCarts([of("ana", 1)]), patience=0.05)
    query = str(httpx.QueryParams({"from": back, "batch": f"{1:032x}", "cart": f"{1:032x}", "asked": f"{1:032x}"}))

    for path in (f"/reminders/new?{query}", f"/reminders?{query}"):
        hrefs = {(x.get("href") or "").partition("?")[0] for x in browser.page(path).all("main a")}
        assert hrefs <= {"/carts", f"/carts/{1:032x}", "/reminders"}


def test_hostile_names_stay_text(opened: Open) -> None:
    hostile = "</textarea><script>alert(1)</script>{{ 7*7 }}"
    carts = MemoryCarts([of("ana", 1, cart_id=hostile), nobody(2)])
    browser = opened(carts, patience=0.05)
    query = str(
        httpx.QueryParams(
            {
                "cart": [f"{1:032x}", hostile],
                "batch": f"{1:032x}",
                "asked": [f"{1:032x}", hostile],
                "left": [f"gone~{hostile}1", f"{hostile}~{2:032x}"],
            }
        )
    )

    for path in (f"/reminders/new?{query}", f"/reminders?{query}"):
        page = browser.page(path)
        assert [x.get("src") for x in page.all("script")] == ["/static/console.js"]
        assert "49" not in page.text.replace("7*7", "")
