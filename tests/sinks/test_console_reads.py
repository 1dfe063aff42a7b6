"""What the console reads: pages without gaps, one cart in full, counts."""

import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

import sql
from cartwake.clock import rfc3339, to_datetime, to_ms
from cartwake.errors import Rejected
from sinks.carts import Carts, cursor_of, lines, read_cursor
from sinks.clickhouse import ClickHouse
from sinks.timeline import products, words
from tests.sinks.records import HOUR, NOON, event, match, message, outcome, put


@pytest.fixture
def carts(client: ClickHouse) -> Carts:
    return Carts(client)


@pytest.mark.stack
@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_pages_show_each_abandonment_once_also_those_of_one_instant(
    client: ClickHouse, carts: Carts, sort: str
) -> None:
    at = outcome()["abandoned_at"]
    put(client, "cart-outcomes", *(outcome(number=x) for x in range(1, 8)))
    put(client, "cart-outcomes", *(outcome(number=x, abandoned_at=at) for x in range(8, 15)))
    seen: list[str] = []
    cursor = None
    while True:
        page = carts.page(sort=sort, cursor=cursor, limit=4)  # type: ignore[arg-type]
        seen += [x.abandonment_id for x in page.rows]
        if (cursor := page.next) is None:
            break
        assert len(page.rows) == 4
    everything = carts.page(sort=sort, limit=100).rows  # type: ignore[arg-type]
    assert seen == [x.abandonment_id for x in everything]
    assert len(set(seen)) == 14
    keys = [(x.abandoned_at, x.abandonment_id) for x in everything]
    assert keys == sorted(keys, reverse=sort == "newest")


@pytest.mark.stack
def test_page_is_full_though_the_search_first_finds_people_that_were_unmatched(
    client: ClickHouse, carts: Carts
) -> None:
    for number in range(1, 13):
        put(client, "cart-outcomes", outcome(number=number))
        put(client, "subscriber-carts", match(number=number))
        if number not in (1, 2, 3):
            taken = match(number=number, type="cart.unmatched", record_id=f"u{number}")
            put(client, "subscriber-carts", taken)
    first = carts.page(search="p-ana@", limit=2)
    assert [x.abandonment_id for x in first.rows] == ["a3", "a2"]
    second = carts.page(search="p-ana@", limit=2, cursor=first.next)
    assert [x.abandonment_id for x in second.rows] == ["a1"]
    assert second.next is None


@pytest.mark.stack
def test_abandonment_that_was_told_again_later_is_listed_once(client: ClickHouse, carts: Carts) -> None:
    put(client, "cart-outcomes", outcome(), outcome(number=2), outcome(revision=3, value="50.00"))
    put(client, "cart-outcomes", outcome(revision=3, value="50.00"))
    assert sorted((x.abandonment_id, x.value) for x in carts.page().rows) == [
        ("a1", Decimal("50.00")), ("a2", Decimal("39.98")),
    ]  # fmt: skip


@pytest.mark.stack
def test_filters_and_search(client: ClickHouse, carts: Carts) -> None:
    put(client, "cart-outcomes", outcome(), outcome(number=2, shop_id="other", stage="cart"))
    put(client, "cart-outcomes", outcome(number=3, items=[{"sku": "B2", "name": 'Grüner "Hut"'}]))
    put(client, "cart-outcomes", outcome("recovered", 2, number=3, order_id="order-77"))
    put(client, "subscriber-carts", match())

    def found(**asked: str) -> list[str]:
        return [x.abandonment_id for x in carts.page(**asked).rows]  # type: ignore[arg-type]

    assert found() == ["a3", "a2", "a1"]
    assert found(shop="other") == ["a2"]
    assert found(state="recovered") == ["a3"]
    assert found(stage="cart") == ["a2"]
    assert found(search="P-ANA@") == ["a1"]
    assert found(search='GRÜNER "') == ["a3"]
    assert found(search="B2") == ["a3"]
    assert found(search="order-7") == ["a3"]
    assert found(search="C2") == ["a2"]
    assert found(search="quantity") == []
    assert found(search="'; DROP TABLE x; --") == []
    assert found(shop="other", state="recovered") == []


@pytest.mark.stack
def test_detail_tells_what_happened_in_order(client: ClickHouse, carts: Carts) -> None:
    assert carts.detail("a1") is None
    put(client, "cart-events", event(1, occurred_at=NOON - 1000), event(2, type="cart.viewed"), event(3, cart_id="c2"))
    put(client, "device-events", {**event(9), "type": "device.identified", "email": "ana@example.com", "how": "login"})
    put(client, "cart-outcomes", outcome())
    put(client, "subscriber-carts", match(minute=70))
    put(client, "messages", message("planned", 71), message("sent", 72, to="ana@example.com", html="<b>hi</b>"))
    put(client, "messages", message("clicked", 74, abandonment_id=None))
    put(client, "messages", message("sent", 73, plan="other", number=2))
    detail = carts.detail("a1")
    assert detail is not None
    assert [(x.type, x.words) for x in detail.timeline] == [
        ("cart.item_added", "Added 2 × Blue shirt"),
        ("cart.viewed", "Looked at the cart"),
        ("device.identified", "The device was seen with ana@example.com (login)"),
        ("cart.abandoned", "Left the cart"),
        ("cart.abandoned", "Matched to p-ana@example.com (p-ana logged in)"),
        ("message.planned", "Reminder planned"),
        ("message.sent", "Reminder sent"),
        ("message.clicked", "Link in the reminder clicked"),
    ]
    assert [(x.plan_id, x.status, x.html) for x in detail.mails] == [("plan1", "sent", "<b>hi</b>")]
    assert [(x.name, x.quantity, x.price) for x in detail.lines] == [("Blue shirt", 2, Decimal("19.99"))]
    assert detail.row.subscriber_id == "p-ana"


@pytest.mark.stack
def test_of_a_cart_that_never_rests_the_newest_two_thousand_entries_are_read(client: ClickHouse, carts: Carts) -> None:
    put(
        client, "cart-events", *(event(number, occurred_at=NOON - 3_000_000 + 1000 * number) for number in range(2_100))
    )
    put(client, "cart-outcomes", outcome())
    detail = carts.detail("a1")
    assert detail is not None
    assert len(detail.timeline) == 2_000
    assert [x.id for x in detail.timeline[:-1]] == [f"e{number}" for number in range(101, 2_100)]
    asked = {"shop_id": "main", "cart_id": "c1", "since": 0, "most": 7}
    assert [x["id"] for x in client.query(sql.read("console/timeline/cart-events.sql"), asked)] == [
        f"e{number}" for number in range(2_099, 2_092, -1)
    ]


@pytest.mark.stack
def test_a_link_that_is_clicked_for_ever_hides_neither_what_became_of_the_mail_nor_the_first_click(
    client: ClickHouse, carts: Carts
) -> None:
    put(client, "cart-outcomes", outcome())
    put(client, "messages", message("planned", 0), message("sent", 1))
    put(client, "messages", *(message("clicked", minute, abandonment_id=None) for minute in range(3, 3_003)))
    put(client, "messages", message("bounced", 4_000, abandonment_id=None))
    detail = carts.detail("a1")
    assert detail is not None
    [mail] = detail.mails
    assert (mail.status, mail.clicked_at) == ("sent", to_datetime(NOON + 3 * 60_000))
    assert mail.bounced_at == to_datetime(NOON + 4_000 * 60_000)
    assert len(detail.timeline) == 2_000
    asked = {"shop_id": "main", "abandonment_id": "a1", "since": 0, "most": 7}
    assert len(client.query(sql.read("console/timeline/messages.sql"), asked)) == 10


@pytest.mark.stack
def test_a_record_with_a_number_that_fits_nowhere_has_no_text_and_hides_no_other(
    client: ClickHouse, carts: Carts
) -> None:
    put(client, "cart-outcomes", outcome())
    odd = msgspec.json.encode(message("sent", 2, subject="Blue")).replace(b'"Blue"', b'"Blue","of":1e999')
    put(client, "messages", msgspec.json.encode(message("planned", 1)), odd)
    detail = carts.detail("a1")
    assert detail is not None
    assert [(x.plan_id, x.status, x.subject) for x in detail.mails] == [("plan1", "sent", "")]
    assert len(detail.timeline) == 3


@pytest.mark.stack
def test_the_devices_of_a_cart_are_its_last_one_and_those_before(client: ClickHouse, carts: Carts) -> None:
    put(client, "cart-events", event(1, device_id="d1"), event(2, device_id="d2"))
    put(client, "cart-outcomes", outcome(device_id="d2"))
    seen = {"type": "device.identified", "shop_id": "main", "occurred_at": rfc3339(NOON), "how": "login"}
    put(client, "device-events", *(seen | {"event_id": f"x{n}", "device_id": f"d{n}"} for n in (1, 2, 3)))
    detail = carts.detail("a1")
    assert detail is not None
    assert sorted(x.id for x in detail.timeline if x.source == "device-events") == ["x1", "x2"]


@pytest.mark.stack
@pytest.mark.parametrize("seed", range(8))
def test_messages_of_a_cart_are_those_of_the_view(client: ClickHouse, carts: Carts, seed: int) -> None:
    chance = random.Random(seed)
    kinds = ["planned", "held", "sending", "sent", "uncertain", "suppressed", "expired", "recovered", "failed"]
    said = ["opened", "clicked", "bounced", "complained"]
    put(client, "cart-outcomes", outcome(), outcome(number=2))
    minutes, records = list(range(1, 2_000)), []
    chance.shuffle(minutes)
    for number in range(60):
        kind = chance.choice([*kinds, *said]) if number > 8 else "planned"
        facts: dict[str, Any] = {"plan": f"plan{number % 8}", "number": 1 + number % 2}
        facts |= {
            x: chance.choice(["", f"{x} {number}"]) for x in ("to", "subject", "text", "html", "template", "code")
        }
        facts |= {x: chance.choice([None, f"{x}{number}"]) for x in ("reason", "words", "request_id", "variant")}
        if kind in said:
            facts |= {"abandonment_id": None, "machine": chance.random() < 0.5}
        record = message(
            kind, minutes.pop(), channel=chance.choice(["email", "sms"]), step=chance.randrange(4),
            due_at=chance.choice([None, rfc3339(NOON + number)]), **facts,
        )  # fmt: skip
        records += [record] * chance.choice([1, 2])
    put(client, "messages", *records)
    for name in ("a1", "a2"):
        detail = carts.detail(name)
        assert detail is not None
        rows = client.query(
            "SELECT * FROM sent_messages WHERE abandonment_id = {id:String} ORDER BY status_at DESC, plan_id",
            {"id": name},
        )
        assert [{x: getattr(mail, x) for x in mail.__slots__} for mail in detail.mails] == rows
        assert len({x.id for x in detail.timeline}) == len(detail.timeline)
        assert len(rows) == 4


@pytest.mark.stack
def test_counts_by_shop_state_and_currency(client: ClickHouse, carts: Carts) -> None:
    put(client, "cart-outcomes", outcome(), outcome(number=2), outcome(number=3, currency="USD"))
    put(client, "cart-outcomes", outcome(number=4, shop_id="other"), outcome("recovered", 2, number=2))
    put(client, "subscriber-carts", match())
    found = {(x.shop_id, x.state, x.currency): (x.carts, x.value, x.identified) for x in carts.counts()}
    assert found == {
        ("main", "open", "EUR"): (1, Decimal("39.98"), 1),
        ("main", "recovered", "EUR"): (1, Decimal("39.98"), 0),
        ("main", "open", "USD"): (1, Decimal("39.98"), 0),
        ("other", "open", "EUR"): (1, Decimal("39.98"), 0),
    }
    assert {x.shop_id for x in carts.counts("other")} == {"other"}


@pytest.mark.stack
def test_request_is_answered_by_its_last_step(client: ClickHouse, carts: Carts) -> None:
    assert carts.request_result("q") is None
    put(client, "messages", message("planned", 1, request_id="q"))
    assert carts.request_result("q") == ("planned", "")
    put(client, "messages", message("suppressed", 1, request_id="q", words="Once a day is enough."))
    assert carts.request_result("q") == ("suppressed", "Once a day is enough.")


def test_cursor_is_read_back_and_strange_ones_are_refused() -> None:
    at = datetime(2026, 11, 23, 12, 0, 0, 120_000, tzinfo=UTC)
    assert to_datetime(read_cursor(cursor_of(at, "a/b"))[0]) == at
    assert read_cursor(cursor_of(at, "a/b"))[1] == "a/b"
    for strange in ("x", "é", "MTIz", cursor_of(at, ""), "=" * 9, "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5L2E"):
        with pytest.raises(Rejected):
            read_cursor(strange)


def test_lines_and_words_survive_anything() -> None:
    for strange in (
        "",
        "{",
        "null",
        "5",
        '{"a":1}',
        '[1,"x",null,{}]',
        '[{"price":"x","quantity":"y","name":5}]',
        "[" * 5_000,
    ):
        assert isinstance(lines(strange), tuple)
        for source in ("cart-events", "device-events", "cart-outcomes", "subscriber-carts", "messages", "?"):
            for kind in ("cart.updated", "order.placed", "device.identified", "cart.unmatched", "message.sent", "?"):
                assert words(source, kind, strange)
    assert products([{"sku": str(x)} for x in range(6)]) == "0, 1, 2, 3 and 2 more"


@pytest.mark.stack
def test_open_alarms_are_those_that_were_not_closed(client: ClickHouse, carts: Carts) -> None:
    def alert(number: int, kind: str, **more: str) -> dict[str, Any]:
        return {
            "record_id": f"{number}-{kind}", "type": f"alert.{kind}", "alert_id": f"a{number}", "shop_id": "main",
            "number": number, "occurred_at": rfc3339(NOON + number * HOUR), "words": "It fell.",
        } | more  # fmt: skip

    assert carts.alarms() == ()
    for _ in range(2):
        put(client, "alerts", alert(1, "opened"), alert(1, "closed"), alert(2, "opened", since=rfc3339(NOON)))
    (alarm,) = carts.alarms()
    assert (alarm.alert_id, alarm.shop_id, alarm.words) == ("a2", "main", "It fell.")
    assert (to_ms(alarm.since), to_ms(alarm.opened_at)) == (NOON, NOON + 2 * HOUR)
