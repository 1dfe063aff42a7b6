"""What the console relies on in a CartReader; the store in memory and the real one keep the same promises."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from lxml import etree

from cartwake.errors import Rejected
from cartwake.settings import Settings
from console.app import create_app
from console.reader import CartReader
from sinks.carts import CartRow, Carts, Standing
from sinks.clickhouse import ClickHouse
from sinks.rollup import Rollup
from tests.console.browser import Browser
from tests.console.memory import NOON, MemoryCarts, Written, mail, row

REFUSED = {"message_status": "suppressed", "message_words": "Not twice a day.", "message_at": NOON, "plan_id": "plan-1"}
ROWS = [
    row(
        n,
        state="recovered" if n % 3 == 0 else "open",
        stage="payment" if n % 2 else "cart",
        **(REFUSED if n == 1 else {}),
    )
    for n in range(1, 12)
]


ASKED = "2e102e04-eb32-4277-ac64-d3b29f076911"


@pytest.fixture(params=["memory", pytest.param("clickhouse", marks=pytest.mark.stack)])
def carts(request: pytest.FixtureRequest) -> Iterator[CartReader]:
    if request.param == "memory":
        memory = MemoryCarts(ROWS, mails=[mail(request_id=ASKED, status="suppressed", words="Not twice a day.")])
        memory.outcomes[ASKED] = ("suppressed", "Not twice a day.")
        memory.said["main", "p-ana", ASKED] = "Your size is back."
        memory.people = [Standing(shop_id="main", subscriber_id="p-ana", against="unsubscribed")]
        yield memory
        return
    with ClickHouse.open(request.getfixturevalue("clickhouse_dsn"), request.getfixturevalue("migrated")) as client:
        put(client, "cart_outcomes_log", [x for each in ROWS for x in outcomes(each)])
        put(client, "subscriber_carts_log", [match(x) for x in ROWS])
        put(client, "messages_log", messages(ROWS[0]))
        put(client, "subscriber_events_log", events(ROWS[0]))
        Rollup(client).compute(("cart-outcomes", 0), 0, 1)
        yield Carts(client)


def put(client: ClickHouse, table: str, rows: list[dict[str, Any]]) -> None:
    """Rows into a table, whatever of its columns they name."""
    body = b"\n".join(msgspec.json.encode(x) for x in rows)
    client.insert(f"INSERT INTO {table} ({', '.join(rows[0])}) FORMAT JSONEachRow", body, token=table)


def outcomes(x: CartRow) -> list[dict[str, Any]]:
    """What stage 1 said about an abandonment."""
    left = {
        "outcome_id": f"o-{x.abandonment_id}",
        "type": "cart.abandoned",
        "revision": 1,
        "order_id": "",
        "received_at": clock(x.abandoned_at),
        **{
            name: getattr(x, name)
            for name in "shop_id cart_id episode abandonment_id stage currency units items device_id cart_url".split()
        },
        **{name: clock(getattr(x, name)) for name in ("abandoned_at", "last_activity", "created_at")},
        "occurred_at": clock(x.abandoned_at),
        "value": str(x.value),
    }
    if x.state == "open":
        return [left]
    return [left, left | {"outcome_id": f"r-{x.abandonment_id}", "type": f"cart.{x.state}", "revision": 2}]


def match(x: CartRow) -> dict[str, Any]:
    """What stage 2 said about it."""
    names = "subscriber_id shop_id cart_id episode abandonment_id evidence_how evidence_words email".split()
    return {name: getattr(x, name) for name in names} | {
        "record_id": f"m-{x.abandonment_id}",
        "type": "cart.abandoned",
        "revision": 1,
        "occurred_at": clock(x.abandoned_at),
        "received_at": clock(x.abandoned_at),
    }


def messages(x: CartRow) -> list[dict[str, Any]]:
    """A refusal of what staff asked for, just now."""
    told = {
        "plan_id": "plan-1",
        "shop_id": x.shop_id,
        "subscriber_id": x.subscriber_id,
        "cart_id": x.cart_id,
        "abandonment_id": x.abandonment_id,
        "request_id": ASKED,
        "channel": "email",
        "occurred_at": clock(NOON),
        "received_at": clock(datetime.now(UTC)),
    }
    both = [
        told | {"message_id": "1", "type": "message.planned", "words": ""},
        told | {"message_id": "2", "type": "message.suppressed", "words": "Not twice a day."},
    ]
    return [one | {"raw": msgspec.json.encode(one).decode()} for one in both]


def events(x: CartRow) -> list[dict[str, Any]]:
    """What was asked for with own words, and that the person unsubscribed."""
    told = {"shop_id": x.shop_id, "subscriber_id": x.subscriber_id}
    told |= {"occurred_at": clock(NOON), "received_at": clock(datetime.now(UTC))}
    return [
        told | {"event_id": ASKED, "type": "subscriber.reminder_requested", "message": "Your size is back."},
        told | {"event_id": "u", "type": "subscriber.withdrawn", "message": ""},
    ]


def clock(moment: datetime) -> str:
    """A time as ClickHouse reads it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def test_pages_join_to_the_whole_list_without_gap_or_repeat(carts: CartReader) -> None:
    seen, cursor = [], None
    while True:
        page = carts.page(cursor=cursor, limit=4)
        assert len(page.rows) <= 4
        seen += [x.abandonment_id for x in page.rows]
        cursor = page.next
        if cursor is None:
            break

    assert seen == [x.abandonment_id for x in ROWS]


def test_the_last_page_has_no_next_even_when_it_is_full(carts: CartReader) -> None:
    assert carts.page(limit=len(ROWS)).next is None


def test_oldest_first_is_the_reverse(carts: CartReader) -> None:
    assert [x.cart_id for x in carts.page(sort="oldest").rows] == [x.cart_id for x in reversed(ROWS)]


@pytest.mark.parametrize("cursor", ["x", "'; DROP TABLE x --", "é" * 300])
def test_a_cursor_that_is_none_is_refused(carts: CartReader, cursor: str) -> None:
    with pytest.raises(Rejected):
        carts.page(cursor=cursor)


def test_filters_hold_together(carts: CartReader) -> None:
    found = carts.page(state="open", stage="payment", search="ANA@").rows

    assert [x.cart_id for x in found] == ["c-1", "c-5", "c-7", "c-11"]


@pytest.mark.parametrize("search", ["%", "_", "\\", "'"])
def test_a_search_has_no_wildcards(carts: CartReader, search: str) -> None:
    assert carts.page(search=search).rows == ()


@pytest.mark.parametrize("asked", [{}, {"state": "open", "stage": "payment", "search": "ANA@"}, {"shop": "other"}])
def test_a_file_has_what_all_pages_have_the_oldest_first(carts: CartReader, asked: dict[str, str]) -> None:
    wanted = [x.cart_id for x in reversed(carts.page(**asked).rows)]

    table = csv.DictReader(io.StringIO(b"".join(carts.file("csv", **asked)).decode(), newline=""))
    document = etree.fromstring(b"".join(carts.file("xml", **asked)))

    assert [x["cart_id"] for x in table] == [x.findtext("cart_id") for x in document] == wanted


def test_a_file_that_is_closed_has_no_more(carts: CartReader) -> None:
    file = carts.file("csv")
    assert next(file)
    file.close()
    assert list(file) == []


def test_counts_add_up_to_the_list(carts: CartReader) -> None:
    counts = carts.counts()

    assert {x.state: x.carts for x in counts} == {"open": 8, "recovered": 3}
    assert {x.shop_id for x in counts} == {"main"}
    assert sum(x.value for x in counts) == sum(x.value for x in ROWS)
    assert carts.counts(shop="another") == ()


def test_one_is_found_by_its_id_and_no_other(carts: CartReader) -> None:
    detail = carts.detail(ROWS[4].abandonment_id)

    assert detail is not None
    assert (detail.row.cart_id, [x.sku for x in detail.lines]) == ("c-5", ["A1"])
    assert carts.detail("none") is None


def test_a_request_without_an_outcome_has_none(carts: CartReader) -> None:
    assert carts.request_result("8c1f6a52-5c4e-4d0a-9d8e-0a1b2c3d4e5f") is None


def test_a_request_has_the_outcome_that_was_told_last(carts: CartReader) -> None:
    assert carts.request_result(ASKED) == ("suppressed", "Not twice a day.")


def test_of_several_requests_each_has_its_own(carts: CartReader) -> None:
    assert carts.request_results([ASKED, "none"]) == {ASKED: ("suppressed", "Not twice a day.")}
    assert carts.request_results([]) == {}


def test_the_own_words_of_a_request_are_kept(carts: CartReader) -> None:
    assert carts.own_words("main", "p-ana", ASKED) == "Your size is back."
    assert carts.own_words("main", "p-bo", ASKED) == carts.own_words("main", "p-ana", "none") == ""


def test_the_chosen_ones_are_found_by_their_ids(carts: CartReader) -> None:
    found = carts.chosen([ROWS[6].abandonment_id, "none", ROWS[2].abandonment_id])

    assert {one: (x.cart_id, x.state) for one, x in found.items()} == {
        ROWS[6].abandonment_id: ("c-7", "open"),
        ROWS[2].abandonment_id: ("c-3", "recovered"),
    }
    assert carts.chosen([]) == carts.chosen(["none"]) == {}


def test_how_things_stand_with_people_is_known(carts: CartReader) -> None:
    people = {("main", "p-ana"), ("main", "p-bo"), ("outlet", "p-ana")}

    assert carts.standings(people, since=NOON) == {
        ("main", "p-ana"): Standing(shop_id="main", subscriber_id="p-ana", against="unsubscribed")
    }
    assert carts.standings(set(), since=NOON) == {}


def test_one_comes_with_the_messages_about_it(carts: CartReader) -> None:
    detail = carts.detail(ROWS[0].abandonment_id)

    assert detail is not None
    assert [(x.status, x.words, x.request_id) for x in detail.mails] == [("suppressed", "Not twice a day.", ASKED)]


def test_the_pages_show_what_it_reads(carts: CartReader, written: Written) -> None:
    browser = Browser(create_app(carts=carts, publisher=written, settings=Settings()))

    for view, one in (("tiles", ".tile"), ("list", "table.carts tbody tr")):
        shown = [x.text for x in browser.page(f"/carts?view={view}").all(one)]
        assert len(shown) == len(ROWS)
        assert all(x in shown[0] for x in ("c-1", "ana@example.com", "€39.98", "Payment", "Not written to"))
    page = browser.page(f"/carts/{ROWS[0].abandonment_id}?request={ASKED}")
    assert page.all(".notice")[0].text == "No reminder was sent Not twice a day."
    assert "ana@example.com logged in on this device" in page.text
    assert "2 × €19.99" in page.all(".lines")[0].text
