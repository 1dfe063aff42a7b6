"""`cartwake erase`: everything about one person goes, nothing of anybody else does."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from cartwake.errors import Rejected
from cartwake.model import decode_subscriber_event, person_id
from cartwake.settings import Settings
from cartwake.topics import partition_of
from sinks import erase
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.commands.test_dlq import records
from tests.sinks.records import dead_letter, event, match, message, outcome, put, put_all

pytestmark = pytest.mark.stack

ANA, BOB = person_id("ana@example.com"), person_id("bob@example.com")
TABLES = (
    "cart_events", "cart_outcomes", "dead_letters", "device_events", "messages", "order_events", "subscriber_carts",
    "subscriber_events",
)  # fmt: skip


def said(number: int, kind: str, **more: object) -> dict[str, object]:
    return {"event_id": f"s{number}", "type": kind, "shop_id": "main", "occurred_at": 1795428900120 + number} | more


@pytest.fixture
def told(store: ClickHouse) -> ClickHouse:
    """Ana with a device, an account, two carts, an order and a mail; Bob with as much on the same machine."""
    put(store, "cart-events", event(1), event(2, cart_id="c2", email=" Ana@Example.com "), event(3, cart_id="c3"))
    put(
        store,
        "cart-events",
        event(4, cart_id="c4", customer_id="77"),
        event(5, shop_id="other", email="ana@example.com"),
    )
    put(store, "cart-outcomes", outcome(), outcome(number=2), outcome(number=3), outcome(number=4))
    put(store, "subscriber-carts", match(ANA, email="ana@example.com"), match(BOB, 3, email="bob@example.com"))
    put(store, "messages", message("sent", subscriber_id=ANA, to="ana@example.com"))
    put(store, "messages", message("sent", plan="plan3", number=3, subscriber_id=BOB, to="bob@example.com"))
    for number, (who, account) in enumerate((("ana", "77"), ("bob", "88"))):
        mail = f"{who}@example.com"
        put(store, "device-events", said(number, "device.identified", device_id="d1", email=mail, customer_id=account))
        put(store, "subscriber-events", said(10 + number, "subscriber.consented", subscriber_id=person_id(mail)))
        put(store, "subscriber-events", said(20 + number, "subscriber.purchased", subscriber_id=account))
        put(store, "order-events", said(30 + number, "order.placed", order_id=who, customer_id=account))
    put(store, "dead-letters", dead_letter(b'{"email": "ANA@example.com"', offset=1))
    put(store, "dead-letters", dead_letter(b'{"email": "joana@example.com"', offset=2))
    put(store, "dead-letters", dead_letter(b'{"email": "ana@example.community"', offset=3))
    return store


def left(store: ClickHouse) -> dict[str, int]:
    return {x: int(store.query(f"SELECT count() AS n FROM {x}_log")[0]["n"]) for x in TABLES}


@pytest.mark.parametrize("name", ["Ana@example.com ", "77", ANA])
def test_everything_about_a_person_goes_and_nothing_of_others(
    run: Run, told: ClickHouse, settings: Settings, name: str
) -> None:
    if name == ANA:  # an id alone says nothing; a record that holds both does
        put(told, "subscriber-events", said(9, "subscriber.updated", subscriber_id=ANA, email="ana@example.com"))
    before = left(told)
    dry = run("erase", name, "--dry-run")
    assert left(told) == before
    done = run("erase", name)
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith(dry.stdout)
    assert left(told) == {
        "cart_events": 2,  # Bob's, and Ana's at the other shop
        "cart_outcomes": 1,
        "dead_letters": 2,
        "device_events": 1,
        "messages": 1,
        "order_events": 1,
        "subscriber_carts": 1,
        "subscriber_events": 2,
    }
    for table in TABLES:
        gone = {k: before[k] - left(told)[k] for k in before}[table]
        assert f"{table:<20}{gone:>10}" in done.stdout
    [(partition, key, value)] = records(settings, "subscriber-events")
    erased = decode_subscriber_event(value)
    assert (erased.type, erased.subscriber_id, key) == ("subscriber.erased", ANA, ANA.encode())
    assert partition == partition_of(ANA.encode(), 4)
    assert b"example.com" not in (value or b"")
    assert set(json.loads(run("erase", name, "--json").stdout)["removed"].values()) == {0}


def test_the_report_says_what_was_removed_and_what_remains_until_when(
    run: Run, told: ClickHouse, topics: Settings
) -> None:
    admin = AdminClient({"bootstrap.servers": topics.bootstrap})
    for name, retention in (("messages", 3 * 86_400_000), ("cart-events", -1)):
        entry = ConfigEntry("retention.ms", str(retention), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topics.topic_prefix + name, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result()
    run("migrate", retention_tables="order_events=365")
    asked = json.loads(run("erase", "ana@example.com", "--dry-run", "--json").stdout)
    done = run("erase", "ana@example.com", "--json")
    report = json.loads(done.stdout)
    assert report["removed"] == asked["found"]
    assert report["removed"]["cart_events"] == 3
    [hashed] = report["suppressed_as"]
    assert len(hashed) == 32
    assert "example.com" not in done.stdout
    until = {x["where"]: x["until"] for x in report["remains"]}
    today = datetime.now(UTC).date()

    def days(n: int) -> set[str]:
        return {str(today + timedelta(days=n + late)) for late in (-1, 0)}

    assert until[f"records in {topics.topic_prefix}messages"] in days(3)
    assert until["rows on their way to ClickHouse, unless this is run again"] in days(365 + 7)
    assert until[f"records in {topics.topic_prefix}cart-events"].startswith("for ever")
    assert not [x for x in until if "settings" in x or "offer-codes" in x]
    assert until["stage 1: carts, with an address typed in them"] in days(90)
    assert until["stage 2: devices the person was seen on"] in days(180)


def test_numbers_and_browsers_of_the_person_are_erased_and_those_of_others_are_not(store: ClickHouse) -> None:
    push = {"endpoint": "https://push.example.com/abc", "p256dh": "P" * 87, "auth": "A" * 22}
    put(
        store, "subscriber-events", said(1, "subscriber.updated", subscriber_id=ANA, phone="+49 170 1234567", push=push)
    )
    put(store, "subscriber-events", said(2, "subscriber.withdrawn", subscriber_id="49170", phone="+49-170-1234567"))
    put(store, "subscriber-events", said(3, "subscriber.updated", subscriber_id="9", push_gone=push["endpoint"]))
    others = ("+49 170 12345678", "", "1234567")
    for number, phone in enumerate(others):
        put(
            store, "subscriber-events", said(10 + number, "subscriber.updated", subscriber_id=f"x{number}", phone=phone)
        )
    put(
        store,
        "subscriber-events",
        said(20, "subscriber.updated", subscriber_id=BOB, phone="+49 170 1234567", push=push),
    )
    put(store, "messages", message("sent", subscriber_id=ANA, channel="sms", to="+491701234567"))
    lines = [b"+491701234567", b"tel: +49 (170) 123-4567.", b"https://push.example.com/ABC", b"ana@example.com"]
    near = [b"4917012345678", b"149170123456", b"https://push.example.com/abcd", b"joana@example.com"]
    put(store, "dead-letters", *(dead_letter(x, offset=n) for n, x in enumerate([*lines, *near])))
    put(store, "subscriber-events", said(30, "subscriber.updated", subscriber_id=ANA, email="ana@example.com"))
    found = erase.who(store, "main", ANA)
    assert (found.phones, found.browsers) == (("491701234567",), (push["endpoint"],))
    removed = erase.erase(store, found)
    assert (removed["subscriber_events"], removed["dead_letters"], removed["messages"]) == (4, 4, 1)
    kept = store.query("SELECT subscriber_id FROM subscriber_events ORDER BY 1")
    assert [x["subscriber_id"] for x in kept] == sorted([BOB, "x0", "x1", "x2"])
    assert {x["value"] for x in store.query("SELECT value FROM dead_letters")} == {x.decode() for x in near}


def test_a_number_that_is_too_short_for_one_erases_nothing_else(store: ClickHouse) -> None:
    put(store, "subscriber-events", said(1, "subscriber.updated", subscriber_id=ANA, phone="112"))
    put(store, "subscriber-events", said(2, "subscriber.updated", subscriber_id="9", phone="1-12"))
    put(store, "dead-letters", dead_letter(b"112"))
    removed = erase.erase(store, erase.who(store, "main", ANA))
    assert (removed["subscriber_events"], removed["dead_letters"]) == (1, 0)


def test_rows_are_gone_from_the_disk_too(told: ClickHouse) -> None:
    erase.erase(told, erase.who(told, "main", "ana@example.com"))
    masks = told.query(
        "SELECT sum(has_lightweight_delete) AS n FROM system.parts WHERE active AND database = {name:String}",
        {"name": told.database},
    )
    assert masks[0]["n"] == 0


def test_an_account_of_two_people_is_not_erased_with_one_of_them(store: ClickHouse) -> None:
    for number, who in enumerate(("ana", "bob")):
        mail = f"{who}@example.com"
        put(store, "device-events", said(number, "device.identified", device_id="d1", email=mail, customer_id="77"))
        put(store, "order-events", said(number, "order.placed", order_id=who, customer_id="77", email=mail))
    found = erase.who(store, "main", "ana@example.com")
    assert (found.emails, found.aliases) == (("ana@example.com",), ("77",))
    assert erase.erase(store, found)["order_events"] == 1
    assert store.query("SELECT order_id FROM order_events") == [{"order_id": "bob"}]


def test_a_cart_that_was_taken_back_from_the_person_stays(store: ClickHouse) -> None:
    put(store, "cart-events", event(1))
    put(store, "subscriber-carts", match(ANA, email=""), match(ANA, minute=2, email="", type="cart.unmatched"))
    assert erase.count(store, erase.who(store, "main", ANA))["cart_events"] == 0


def test_many_carts_are_erased_in_pieces(store: ClickHouse) -> None:
    put(
        store,
        "cart-events",
        *(event(1, event_id=str(x), cart_id=f"{x:0100}", email="ana@example.com") for x in range(250)),
    )
    put(store, "cart-events", *(event(2, event_id=f"n{x}", cart_id=f"{x:0100}") for x in range(250)))
    found = erase.who(store, "main", "ana@example.com")
    assert erase.count(store, found)["cart_events"] >= 500  # at least: pieces overlap
    assert erase.erase(store, found)["cart_events"] == 500
    assert store.query("SELECT count() AS n FROM cart_events") == [{"n": 0}]


def test_many_browsers_are_erased_in_pieces(store: ClickHouse) -> None:
    said_of: list[tuple[str, Any]] = []
    for number in range(40):
        push = {"endpoint": f"https://push.example.com/{number:0300}", "p256dh": "P" * 87, "auth": "A" * 22}
        for n, who in ((number, ANA), (100 + number, f"x{number}")):
            said_of.append(("subscriber-events", said(n, "subscriber.updated", subscriber_id=who, push=push)))
        said_of.append(("dead-letters", dead_letter(push["endpoint"].encode(), offset=number)))
    put_all(store, said_of)
    removed = erase.erase(store, erase.who(store, "main", ANA))
    assert (removed["subscriber_events"], removed["dead_letters"]) == (80, 40)


def test_somebody_unknown_is_suppressed_all_the_same(run: Run, store: ClickHouse, settings: Settings) -> None:
    done = run("erase", "new@example.com")
    assert done.exit_code == 0
    assert [x[1] for x in records(settings, "subscriber-events")] == [person_id("new@example.com").encode()]


def test_nobody_is_refused(run: Run, store: ClickHouse) -> None:
    assert isinstance(run("erase", " ").exception, Rejected)


def test_names_that_are_attacks_are_only_names(run: Run, told: ClickHouse) -> None:
    before = left(told)
    for name in ("' OR 1=1 --", "x')@example.com", "['a']", "\\", ".*@.*"):
        assert run("erase", name).exit_code == 0
    assert left(told) == before
