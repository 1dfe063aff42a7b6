"""Lists as files: what an independent parser reads is what the views have, whatever strangers called things."""

import csv
import io
import itertools
from collections.abc import Generator, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from lxml import etree

import sql
from cartwake.clock import rfc3339
from cartwake.errors import ConfigurationError, SinkUnavailable
from sinks import export, lists
from sinks.cells import for_xml, plain
from sinks.clickhouse import ClickHouse
from tests.sinks.records import HOUR, NOON, match, message, outcome, put

pytestmark = pytest.mark.stack
VIEWS = {"carts": "abandonments", "messages": "sent_messages", "orders": "orders", "people": "persons"}
IDS = {"carts": "abandonment_id", "messages": "plan_id", "orders": "order_id", "people": "subscriber_id"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
HOSTILE = [
    '=HYPERLINK("http://x.example.com")', "+1", "-2", "@SUM(A1)", "\tx", "\rx", "\nx", 'a "quoted", one', "two\nlines",
    "two\r\nlines", "<b>&amp;</b>", "]]>", "<![CDATA[", "nul\x00l", "\x0b\x1b[31m", "\ufffe\uffff", "\U0001f6d2 Grün",
    "\u202ertl", "\x7f\x85\u2028", "'", "\\", "\\N", "\\x00", "{name:String}", "'; DROP TABLE carts; --", "%", "",
]  # fmt: skip


def pieces(client: ClickHouse, name: str, **options: Any) -> bytes:
    wanted = {x: options.pop(x) for x in ("first", "last", "shop", "filters") if x in options}
    return b"".join(export.pieces(client, name, export.Wanted(**wanted), **options))


def from_csv(written: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written.decode(), newline=""), strict=True))


def from_xml(written: bytes) -> list[dict[str, str]]:
    root = etree.fromstring(written, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
    return [{cell.tag: cell.text or "" for cell in one} for one in root]


def expected(name: str, row: dict[str, Any]) -> dict[str, str]:
    """A row of the view as the texts of the list."""
    if name == "carts":
        row = row | {"products": [x.get("name", "") for x in msgspec.json.decode(row["items"])]}
    if name == "orders":
        row = row | {"state": "cancelled" if row["cancelled"] else "refunded" if row["refunded"] else "placed"}
    return {
        key: ", ".join(value) if isinstance(value, list) else plain(value)
        for key, value in row.items()
        if key in lists.load(name).columns
    }


@pytest.fixture
def shop(client: ClickHouse) -> ClickHouse:
    """One of everything for each hostile text, an hour apart, in two shops."""
    records = [record for number, text in enumerate(HOSTILE) for record in _one_of_everything(number, text)]
    for topic in dict.fromkeys(topic for topic, _ in records):
        put(client, topic, *(record for name, record in records if name == topic))
    return client


def _one_of_everything(number: int, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    at, place = NOON + number * HOUR, ("main", "outlet")[number % 2]
    ids = {"shop_id": place, "subscriber_id": f"p-{number:02}"}
    cart = {"shop_id": place, "cart_id": f"c{number:02}", "abandonment_id": f"a{number:02}"}
    items = [{"sku": f"S{number}", "name": text, "quantity": 1, "price": "1.125"}]
    stage = "payment" if number % 3 else "cart"
    left = outcome(number=number, items=items, value="-1.125", stage=stage, **cart)
    yield "cart-outcomes", left

    who = {"email": text, "customer_id": text, "shop_id": place, "cart_id": cart["cart_id"]}
    yield "subscriber-carts", match(ids["subscriber_id"], number, outcome=left, occurred_at=rfc3339(at), **who)

    plan = {**ids, **cart, "plan": f"plan{number:02}"}
    yield "messages", message("planned", number, **plan, occurred_at=at, channel="sms" if number % 2 else "email")
    if number % 3:
        more = {"to": text, "subject": text, "words": text, "code": text, "step": 2}
        yield "messages", message("sent", number, **plan, occurred_at=at + 90_000, **more)
        yield "messages", message("clicked", number, **plan, occurred_at=at + 3 * HOUR)

    order = {"shop_id": place, "order_id": f"o{number:02}", "occurred_at": at}
    facts = {"event_id": f"e{number}", "type": "order.placed", "currency": "EUR", "total": "5", "code": text}
    yield "order-events", order | facts
    yield "order-events", order | facts | {"event_id": f"again{number}", "occurred_at": at + 3 * HOUR}
    if number % 4 < 2:
        gone = ("order.cancelled", "order.refunded")[number % 4]
        yield "order-events", order | {"event_id": f"g{number}", "type": gone, "total": "2.5"}

    heard = {"event_id": f"s{number}", "type": "subscriber.consented", "occurred_at": at + 1}
    known = {"name": text, "phone": text, "groups": [text, "vip"], "channels": ["sms"] if number % 2 else ["email"]}
    yield "subscriber-events", ids | heard | known


@pytest.mark.parametrize("name", VIEWS)
def test_every_value_comes_back_from_both_formats(shop: ClickHouse, name: str) -> None:
    listed, key = lists.load(name), IDS[name]
    view = {row[key]: expected(name, row) for row in shop.query(f"SELECT * FROM {VIEWS[name]}")}
    assert len(view) == len(HOSTILE)

    table = from_csv(pieces(shop, name, columns=listed.columns))
    document = from_xml(pieces(shop, name, columns=listed.columns, format_="xml"))

    assert [tuple(row) for row in table + document] == [listed.columns] * 2 * len(view)
    assert {row[key]: row for row in document} == {
        one: {column: for_xml(text) for column, text in row.items()} for one, row in view.items()
    }
    for row in table:
        for column, text in view[row[key]].items():
            guarded = text.startswith(FORMULA) and column not in listed.numbers
            assert row[column] == (f"'{text}" if guarded else text), (column, row)
    for found in (table, document):
        places = [tuple(row[column] for column in listed.order) for row in found]
        assert places == sorted(places), "the oldest first"


def test_what_is_written_does_not_depend_on_how_much_at_once(shop: ClickHouse) -> None:
    for name, format_ in itertools.product(VIEWS, export.FORMATS):
        assert len({pieces(shop, name, format_=format_, at_once=n) for n in (1, 4, 10_000)}) == 1


@pytest.mark.parametrize("name", VIEWS)
def test_columns_come_in_the_order_they_were_named(shop: ClickHouse, name: str) -> None:
    names = lists.load(name).columns[::-1][:3]
    assert tuple(from_csv(pieces(shop, name, columns=names))[0]) == names
    assert tuple(from_xml(pieces(shop, name, columns=names, format_="xml"))[0]) == names
    assert tuple(from_csv(pieces(shop, name))[0]) == lists.load(name).usual


FILTERS: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("carts", {"state": "open"}, {"state": "open"}),
    ("carts", {"state": "recovered"}, {"state": "recovered"}),
    ("carts", {"stage": "payment", "state": "open"}, {"stage": "payment"}),
    ("messages", {"status": "sent"}, {"status": "sent"}),
    ("messages", {"status": "planned"}, {"status": "planned"}),
    ("messages", {"channel": "sms", "status": "planned"}, {"channel": "sms", "status": "planned"}),
    ("orders", {"state": "cancelled"}, {"state": "cancelled"}),
    ("orders", {"state": "refunded"}, {"state": "refunded"}),
    ("orders", {"state": "placed"}, {"state": "placed"}),
    ("people", {"consent": "sms"}, {"sms_consent": "yes"}),
    ("people", {"consent": "email"}, {"email_consent": "yes"}),
    ("people", {"consent": "push"}, {"push_consent": "yes"}),
]
NOBODY = ({"state": "recovered"}, {"consent": "push"})


def test_a_filter_gives_those_and_all_of_those(shop: ClickHouse) -> None:
    for name, filters, told in FILTERS:
        columns = lists.load(name).columns
        everything = from_csv(pieces(shop, name, columns=columns))
        found = from_csv(pieces(shop, name, columns=columns, filters=filters))
        assert found == [row for row in everything if told.items() <= row.items()]
        assert bool(found) == (filters not in NOBODY), filters


@pytest.mark.parametrize("name", VIEWS)
def test_a_shop_and_days_narrow_every_list(shop: ClickHouse, name: str) -> None:
    listed = lists.load(name)
    everything = from_csv(pieces(shop, name))
    outlet = from_csv(pieces(shop, name, shop="outlet"))
    assert outlet == [row for row in everything if row["shop_id"] == "outlet"] != []

    days = sorted({row[listed.order[0]][:10] for row in everything})
    assert len(days) > 1
    for first, last in itertools.combinations_with_replacement(days, 2):
        some = from_csv(pieces(shop, name, first=date.fromisoformat(first), last=date.fromisoformat(last)))
        assert some == [row for row in everything if first <= row[listed.order[0]][:10] <= last]
    assert from_csv(pieces(shop, name, first=date(1, 1, 1), last=date(9999, 12, 31))) == everything


def test_the_first_and_the_last_millisecond_of_a_day_belong_to_it(client: ClickHouse) -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    for number, at in enumerate((-12 * HOUR - 1, -12 * HOUR, 12 * HOUR - 1, 12 * HOUR)):
        put(client, "cart-outcomes", outcome(number=number, abandoned_at=rfc3339(NOON + at)))
    found = from_csv(pieces(client, "carts", first=noon.date(), last=noon.date(), columns=["cart_id"]))
    assert [row["cart_id"] for row in found] == ["c1", "c2"]


def test_moments_far_away_are_no_work_and_not_lost(client: ClickHouse) -> None:
    for number, at in enumerate(("1970-01-01T00:00:00.001Z", "2299-12-31T23:59:59.999Z")):
        put(client, "cart-outcomes", outcome(number=number, abandoned_at=at))
    found = from_csv(pieces(client, "carts", columns=["abandoned_at"]))
    assert [row["abandoned_at"] for row in found] == ["1970-01-01T00:00:00.001Z", "2299-12-31T23:59:59.999Z"]


def test_bytes_that_are_no_text_make_no_broken_xml(client: ClickHouse) -> None:
    put(client, "cart-outcomes", outcome())
    assert len(client.query("SELECT 1 FROM abandonments")) == 1
    half = r'[{"name":"\\ud800 half"}]'
    for number, name in enumerate(("ff", "eda080", "c3", "efbfbe", "f4908080", "e282")):
        client.execute(
            f"INSERT INTO abandonments_log SELECT * REPLACE ('b{number}' AS abandonment_id, "
            f"unhex('{name}') AS cart_id, '{half}' AS items) FROM abandonments_log AS a WHERE a.abandonment_id = 'a1'"
        )
    columns = ["abandonment_id", "cart_id", "products"]
    table = from_csv(pieces(client, "carts", columns=columns))
    document = from_xml(pieces(client, "carts", format_="xml", columns=columns))
    assert [row["abandonment_id"] for row in table + document] == ["a1", *(f"b{n}" for n in range(6))] * 2
    assert all(set(row["cart_id"]) == {"\ufffd"} for row in document[1:]), document
    assert {row["products"] for row in table[1:] + document[1:]} == {""}, "nobody can read such items"


@pytest.mark.parametrize("name", VIEWS)
def test_nothing_yet_is_a_file_without_lines(client: ClickHouse, name: str) -> None:
    assert pieces(client, name) == ",".join(lists.load(name).usual).encode() + b"\r\n"
    assert from_xml(pieces(client, name, format_="xml")) == []


def test_a_search_and_a_shop_are_never_a_part_of_the_statement(shop: ClickHouse) -> None:
    for number, text in enumerate(HOSTILE):
        found = {
            row["abandonment_id"]
            for row in from_csv(pieces(shop, "carts", filters={"search": text}, columns=["abandonment_id"]))
        }
        assert f"a{number:02}" in found, text
        assert len(found) < len(HOSTILE) // 2 or not text.strip(), text
        for name in VIEWS if text else ():
            assert from_csv(pieces(shop, name, shop=text)) == []


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("cart", {}, "no list 'cart': did you mean carts"),
        ("../reports/funnel", {}, "no list"),
        ("carts", {"format_": "xlsx"}, "choose one of csv, xml"),
        ("carts", {"columns": ["e-mail"]}, "no column 'e-mail': did you mean email"),
        ("carts", {"columns": ["email`, (SELECT 1)"]}, "no column"),
        ("carts", {"columns": ["email", "email"]}, "each column once"),
        ("carts", {"filters": {"state": "recoverd"}}, "did you mean recovered"),
        ("carts", {"filters": {"status": "sent"}}, "no filter 'status': did you mean state"),
        ("orders", {"filters": {"state": "' OR 1 = 1"}}, "there are placed, refunded, cancelled"),
        ("carts", {"first": date(2026, 11, 24), "last": date(2026, 11, 23)}, "is after"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(name: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        pieces(None, name, **options)  # type: ignore[arg-type]  # it must not get as far as that


def test_a_statement_gets_as_many_hours_as_it_may_have_lines_for() -> None:
    lines = {0: 4, 1: 6, 2: 1, 9: 30, 10: 9, 11: 1, 40: 1}
    found = list(export.spans([{"hour": at * HOUR, "lines": n} for at, n in lines.items()], 10))
    assert [(begin // HOUR, end // HOUR) for begin, end in found] == [(0, 2), (2, 3), (9, 10), (10, 12), (40, 41)]
    assert list(export.spans([], 10)) == []


def test_somebody_seen_before_the_match_is_listed_by_that_time(client: ClickHouse) -> None:
    seen = {"how": "login", "words": "logged in", "device_id": "d1", "seen_at": rfc3339(NOON - 72 * HOUR)}
    put(client, "subscriber-carts", match(evidence=seen))
    [one] = from_csv(pieces(client, "people"))
    assert one["first_seen_at"] == rfc3339(NOON - 72 * HOUR)
    assert from_csv(pieces(client, "people", last=date(2026, 11, 20))) == [one]
    assert from_csv(pieces(client, "people", first=date(2026, 11, 21))) == []


@pytest.mark.parametrize(
    ("said", "instead", "why"),
    [
        ("-- element: order", "--", "needs `-- element: …`"),
        ("-- usual: ordered_at", "-- usual: order_at", "order_at is none of its columns"),
        ("ORDER BY hour;", "ORDER BY hour", "two statements that end with `;`, not 1"),
    ],
)
def test_a_list_that_lacks_a_part_says_which(said: str, instead: str, why: str) -> None:
    text = sql.read("export/orders.sql")
    assert said in text
    with pytest.raises(ConfigurationError, match=why):
        lists.define("orders", text.replace(said, instead))


def test_a_file_that_is_closed_hangs_up(shop: ClickHouse) -> None:
    file: Generator[bytes] = export.pieces(shop, "carts", export.Wanted(), at_once=1)
    assert next(file).startswith(b"abandoned_at")
    assert next(file)
    file.close()
    assert list(file) == []
    assert shop.query("SELECT 1 AS one") == [{"one": 1}]


def test_an_answer_that_breaks_off_is_no_file(client: ClickHouse) -> None:
    rows = client.pieces("SELECT number, throwIf(number = 3000000) FROM numbers(5000000)", {}, "TabSeparatedRaw")
    with pytest.raises(SinkUnavailable):
        for _piece in rows:
            pass


def test_money_keeps_what_its_currency_has(client: ClickHouse) -> None:
    for number, value in enumerate(("5", "0.5", "19.99", "1.125", "-2.5")):
        put(client, "cart-outcomes", outcome(number=number, value=value))
    found = [row["value"] for row in from_csv(pieces(client, "carts", columns=["value"]))]
    assert found == ["5.00", "0.50", "19.99", "1.125", "-2.50"]
    assert [Decimal(x) for x in found] == [Decimal(x) for x in ("5", "0.5", "19.99", "1.125", "-2.5")]
