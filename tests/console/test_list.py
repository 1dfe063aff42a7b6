"""The list of carts that were left, as staff see it."""

from decimal import Decimal

import pytest

from cartwake.errors import SinkUnavailable
from cartwake.model import Item
from sinks.carts import OpenAlarm
from tests.console.browser import parsed, words
from tests.console.conftest import Open
from tests.console.memory import NOON, SHIRT, MemoryCarts, nobody, row


def test_the_front_page_leads_to_the_carts(opened: Open) -> None:
    answer = opened(MemoryCarts()).get("/")

    assert (answer.status_code, answer.headers["location"]) == (307, "/carts")


def test_a_tile_says_number_items_value_date_person_step_and_state(opened: Open) -> None:
    carts = MemoryCarts([row(1, stage="payment", state="reactivated", message_status="sent")])

    [tile] = opened(carts).page("/carts").all(".tile")

    told = words(tile)
    for expected in ("c-1", "2 items", "€39.98", "ana@example.com", "Payment", "Came back", "Reminder sent"):
        assert expected in told
    assert [x.get("datetime") for x in tile.all("time")] == [
        "2026-11-23T08:59:00.000Z",
        "2026-11-23T11:59:00.000Z",
    ]


def test_a_cart_of_nobody_says_so(opened: Open) -> None:
    [tile] = opened(MemoryCarts([nobody()])).page("/carts").all(".tile")

    assert "Nobody known yet" in words(tile)


def test_the_list_says_the_same_in_a_table_and_is_remembered(opened: Open) -> None:
    browser = opened(MemoryCarts([row(1)]))

    [line] = browser.page("/carts?view=list").all("table.carts tbody tr")
    again = browser.page("/carts").all("table.carts tbody tr")

    assert all(x in words(line) for x in ("c-1", "ana@example.com", "Blue shirt", "€39.98", "Left"))
    assert len(again) == 1
    assert browser.page("/carts?view=tiles").all(".tile")
    assert browser.page("/carts").all(".tile")


@pytest.mark.parametrize(
    ("currency", "value", "shown"),
    [("EUR", "1234.5", "€1,234.50"), ("JPY", "1234", "¥1,234"), ("KWD", "1.5", "KWD1.500"), ("", "7.5", "7.50")],
)
def test_money_is_written_as_its_currency_writes_it(opened: Open, currency: str, value: str, shown: str) -> None:
    carts = MemoryCarts([row(1, currency=currency, value=Decimal(value))])

    [amount] = opened(carts).page("/carts").all(".tile .sum b")

    assert words(amount) == shown


@pytest.mark.parametrize("found_by", ["ANA@", "c-7", "blue sh"])
def test_search_finds_by_mail_number_and_product(opened: Open, found_by: str) -> None:
    kept = row(7)
    other = row(8, email="bo@example.com", items=[Item(sku="B2", name="Red hat", quantity=1, price=Decimal(5))])
    browser = opened(MemoryCarts([kept, other]))

    page = browser.page(f"/carts?q={found_by}")

    assert [words(x) for x in page.all(".tile h2")] == ["c-7"]
    assert page.all("input[name=q]")[0].get("value") == found_by


def test_filters_keep_only_that_state_and_step(opened: Open) -> None:
    carts = MemoryCarts([row(1), row(2, state="recovered"), row(3, stage="payment")])
    browser = opened(carts)

    assert [words(x) for x in browser.page("/carts?state=recovered").all(".tile h2")] == ["c-2"]
    assert [words(x) for x in browser.page("/carts?stage=payment").all(".tile h2")] == ["c-3"]
    assert len(browser.page("/carts?state=nonsense").all(".tile")) == 3


def test_counts_are_by_state_and_lead_to_it(opened: Open) -> None:
    page = opened(MemoryCarts([row(1), row(2), row(3, state="recovered")])).page("/carts")

    figures = {words(x.all(".label")[0]): x for x in page.all(".figures a")}

    assert {name: words(x.all("b")[0]) for name, x in figures.items()} == {
        "All": "3",
        "Left": "2",
        "Came back": "0",
        "Bought after all": "1",
        "Was not left": "0",
    }
    assert figures["Left"].get("href") == "/carts?state=open"
    assert "€79.96" in words(figures["Left"])


def test_several_shops_can_be_told_apart(opened: Open) -> None:
    browser = opened(MemoryCarts([row(1), row(2, shop_id="outlet")]))

    assert len(browser.page("/carts").all("select[name=shop] option")) == 3
    page = browser.page("/carts?shop=outlet")

    assert [words(x) for x in page.all(".tile h2")] == ["c-2"]
    assert words(page.all(".figures b")[0]) == "1"


def test_paging_goes_through_all_and_back_again(opened: Open) -> None:
    browser = opened(MemoryCarts([row(n) for n in range(1, 121)]))
    seen, path = [], "/carts?state=open"
    pages = []
    while True:
        page = browser.page(path)
        pages.append([words(x) for x in page.all(".tile h2")])
        seen += pages[-1]
        older = page.all(".paging a[rel=next]")
        if not older:
            break
        path = older[0].get("href") or ""
        assert "state=open" in path

    assert seen == [f"c-{n}" for n in range(1, 121)]
    assert [len(x) for x in pages] == [48, 48, 24]
    back = []
    while newer := page.all(".paging a[rel=prev]"):
        page = browser.page(newer[0].get("href") or "")
        back.append([words(x) for x in page.all(".tile h2")])
    assert back == [pages[1], pages[0]]


def test_an_address_with_a_cursor_that_is_none_is_a_bad_request(opened: Open) -> None:
    answer = opened(MemoryCarts([row(1)])).get("/carts?cursor=%ff..%27")

    assert answer.status_code == 400
    assert "no such page" in answer.text


def test_nothing_yet_says_how_to_send_a_first_event(opened: Open) -> None:
    page = opened(MemoryCarts()).page("/carts")

    told = words(page.all(".welcome")[0])
    assert "curl -i http://127.0.0.1:8001/v1/events" in told
    assert "2026-11-23T12:00:00.000Z" in told


def test_a_search_without_a_match_leads_back_to_all(opened: Open) -> None:
    page = opened(MemoryCarts([row(1)])).page("/carts?q=nothing")

    assert "No cart matches" in words(page.all(".welcome")[0])


def test_lines_that_cannot_be_read_cost_only_themselves(opened: Open) -> None:
    carts = MemoryCarts([row(1, items=[SHIRT])])
    carts.rows[0] = row(1, units=2)
    object.__setattr__(carts.rows[0], "items", "not json")

    [tile] = opened(carts).page("/carts").all(".tile")

    assert "2 items" in words(tile)


def test_a_store_that_is_away_is_said_and_tried_again(opened: Open) -> None:
    carts = MemoryCarts()
    carts.broken = SinkUnavailable("ClickHouse at 127.0.0.1:8123 is away")

    answer = opened(carts).get("/carts")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    page = parsed(answer)
    assert page.all("meta[http-equiv=refresh]")[0].get("content") == "5"
    assert "none is lost" in words(page)
    assert "8123" not in answer.text


def test_a_fault_of_ours_is_a_page_without_its_insides(opened: Open) -> None:
    carts = MemoryCarts()
    carts.broken = ZeroDivisionError("secret inside")

    answer = opened(carts).get("/carts")

    assert answer.status_code == 500
    assert "secret inside" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_an_open_alarm_is_at_the_top_and_what_it_says_is_no_markup(opened: Open) -> None:
    carts = MemoryCarts([row(1)])
    assert "Alarm:" not in opened(carts).get("/carts").text
    carts.open_alarms = (
        OpenAlarm(alert_id="a1", shop_id="<b>main", since=NOON, opened_at=NOON, words="Of 20 shoppers 0 went on."),
    )
    page = opened(carts).get("/carts").text
    assert 'role="alert"' in page
    assert "shop &lt;b&gt;main does not work as usual" in page
    assert "Of 20 shoppers 0 went on." in page
    assert "Alarm:" not in opened(carts).get("/carts?shop=other").text
