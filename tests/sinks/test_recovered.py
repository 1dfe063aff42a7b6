"""What reminders brought back: recomputed from the records by other means, and each rule by itself."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

from cartwake.clock import rfc3339
from cartwake.model import derived_id
from sinks import reports
from sinks.clickhouse import ClickHouse
from tests.sinks.records import HOUR, NOON, Kept, event, match, message, outcome, put, put_all

pytestmark = pytest.mark.stack
DAY = 24 * HOUR
DAYS = {"from_": date(2026, 11, 23), "to": date(2026, 11, 24)}


def person(name: str) -> str:
    return "p-" + derived_id(name)[:24]


ANA, BOB = person("ana"), person("bob")


def order(order_id: str, at: int, kind: str = "placed", **changes: Any) -> dict[str, Any]:
    facts = {"event_id": f"{order_id}-{kind}-{at}", "type": f"order.{kind}", "shop_id": "main", "order_id": order_id}
    return facts | {"occurred_at": at, "currency": "EUR", "total": "50.00"} | changes


def bought(order_id: str, at: int, subscriber: str = ANA, **changes: Any) -> dict[str, Any]:
    """What stage 2 says of an order without a cart."""
    facts = {"event_id": f"bought-{order_id}", "type": "subscriber.purchased", "shop_id": "main"}
    return facts | {"subscriber_id": subscriber, "order_id": order_id, "occurred_at": at} | changes


def sent(client: ClickHouse, plan: str = "plan1", number: int = 1, *, at: int = NOON, **changes: Any) -> None:
    put(client, "cart-outcomes", outcome(number=number, abandoned_at=rfc3339(at)))
    put(client, "messages", message("sent", plan=plan, number=number, subscriber_id=ANA, occurred_at=at, **changes))


def clicked(at: int, plan: str = "plan1", number: int = 1, **changes: Any) -> dict[str, Any]:
    facts = {"message_id": f"{plan}-click-{at}", "occurred_at": at, "subscriber_id": ANA, "abandonment_id": None}
    return message("clicked", plan=plan, number=number, **(facts | changes))


def click(client: ClickHouse, at: int, plan: str = "plan1", number: int = 1, **changes: Any) -> None:
    put(client, "messages", clicked(at, plan, number, **changes))


def found(client: ClickHouse) -> dict[str, tuple[str, bool, bool, str, Decimal]]:
    rows = client.query("SELECT * FROM recoveries")
    assert len({x["order_id"] for x in rows}) == len(rows)
    return {x["order_id"]: (x["how"], x["strictly"], x["in_window"], x["plan_id"], x["net"]) for x in rows}


FIFTY = Decimal(50)


def test_the_order_of_a_cart_that_the_link_led_to_is_strict_however_late(client: ClickHouse) -> None:
    sent(client)
    click(client, NOON + HOUR)
    put(client, "cart-events", event(9, **order("late", NOON + 30 * DAY, cart_id="c1")))
    put(client, "cart-events", event(8, **order("before", NOON + HOUR - 1, cart_id="c1")))
    put(client, "cart-events", event(7, **order("other", NOON + 2 * HOUR, cart_id="c9")))
    assert found(client) == {"late": ("link", True, False, "plan1", FIFTY)}


def test_a_cart_that_went_into_another_one_is_bought_as_that_one(client: ClickHouse) -> None:
    sent(client)
    click(client, NOON + HOUR)
    put(client, "cart-events", event(5, type="cart.merged", into_cart_id="c2"))
    put(client, "cart-events", event(6, **order("o", NOON + 2 * HOUR, cart_id="c2")))
    assert found(client) == {"o": ("link", True, False, "plan1", FIFTY)}


def test_a_code_is_strict_without_any_click_and_in_any_case_of_letters(client: ClickHouse) -> None:
    sent(client, code="Save-7")
    put(client, "order-events", order("o", NOON + HOUR, code=" SAVE-7 "), order("p", NOON - 1, code="save-7"))
    put(client, "order-events", order("q", NOON + HOUR, code="SAVE-8"), order("r", NOON + HOUR, code=5))
    put(client, "order-events", order("s", NOON + HOUR, code="Save-7", shop_id="other"))
    assert found(client) == {"o": ("code", True, False, "plan1", FIFTY)}


@pytest.mark.parametrize(("length", "late"), [(None, 5 * DAY), ("2h", 2 * HOUR), ("36h", 36 * HOUR)])
def test_the_window_is_five_days_or_what_the_shop_has_set_to_the_millisecond(
    client: ClickHouse, length: str | None, late: int
) -> None:
    if length:
        value = b'{"shop_id": "main", "name": "reminders", "value": {"attribution": "%s"}}' % length.encode()
        put(client, "settings", Kept(value, b"main/reminders", at=1))
    sent(client)
    click(client, NOON + HOUR)
    for name, at in (("first", 0), ("last", late), ("over", late + 1), ("early", -1)):
        put(client, "order-events", order(name, NOON + HOUR + at))
        put(client, "subscriber-events", bought(name, NOON + HOUR + at))
    put(client, "order-events", order("bobs", NOON + 2 * HOUR))
    put(client, "subscriber-events", bought("bobs", NOON + 2 * HOUR, BOB))
    assert found(client) == dict.fromkeys(("first", "last"), ("window", False, True, "plan1", FIFTY))


def test_machines_lead_to_nothing(client: ClickHouse) -> None:
    sent(client)
    click(client, NOON + HOUR, machine=True)
    put(client, "cart-events", event(9, **order("o", NOON + 2 * HOUR, cart_id="c1")))
    put(client, "subscriber-events", bought("o", NOON + 2 * HOUR))
    assert found(client) == {}


def test_the_last_click_counts_and_a_code_before_it(client: ClickHouse) -> None:
    sent(client, "plan1", code="SAVE")
    sent(client, "plan2")
    click(client, NOON + HOUR, "plan1")
    click(client, NOON + 2 * HOUR, "plan2")
    put(client, "cart-events", event(1, **order("o", NOON + 3 * HOUR, cart_id="c1")))
    put(client, "cart-events", event(2, **order("p", NOON + 3 * HOUR, cart_id="c1", code="SAVE")))
    assert {x: (y[0], y[3]) for x, y in found(client).items()} == {"o": ("link", "plan2"), "p": ("code", "plan1")}


def test_refunds_and_cancellations_take_back_what_they_name_once(client: ClickHouse) -> None:
    sent(client)
    click(client, NOON + HOUR)
    for name in ("part", "whole", "more", "off"):
        put(client, "cart-events", event(9, **order(name, NOON + 2 * HOUR, cart_id="c1")))
    part = [order("part", NOON + 3 * HOUR + x, "refunded", total="10.10") for x in range(2)]
    for _ in range(2):
        put(client, "order-events", *part, order("whole", NOON + 3 * HOUR, "refunded", total=None))
        put(client, "order-events", order("more", NOON + 3 * HOUR, "refunded", total="999"))
        put(client, "order-events", order("off", NOON + 3 * HOUR, "cancelled", total=None))
    net = {x: y[4] for x, y in found(client).items()}
    assert net == {"part": Decimal("29.80"), "whole": 0, "more": 0, "off": 0}
    [row] = reports.run(client, "recovered", **DAYS).rows
    assert dict(zip(reports.load("recovered").columns, row, strict=True))["strict_orders"] == 1


def test_an_order_without_a_total_counts_what_its_cart_was_worth(client: ClickHouse) -> None:
    sent(client)
    click(client, NOON + HOUR)
    put(client, "cart-events", event(9, **order("o", NOON + 2 * HOUR, cart_id="c1", total=None, currency=None)))
    done = outcome("completed", 2, order_id="o", value="39.98", currency="EUR", occurred_at=rfc3339(NOON + 2 * HOUR))
    put(client, "cart-outcomes", done)
    assert found(client)["o"][4] == Decimal("39.98")


# -- the report, computed a second time ---------------------------------------------------------------------------
def shop(client: ClickHouse, seed: int) -> dict[str, Any]:
    """Forty carts of ten people with up to two messages each, orders late and refunded; returns what was said."""
    chance = random.Random(seed)
    told: dict[str, Any] = {"carts": {}, "sent": {}, "clicks": [], "orders": {}}
    said: list[tuple[str, Any]] = []
    for number in range(40):
        who, at = person(str(chance.randrange(10))), NOON + chance.randrange(36) * HOUR
        cart = {"who": who, "at": at, "currency": chance.choice(["EUR", "USD"]), "holdout": chance.random() < 0.3}
        told["carts"][number] = cart | {"bought": chance.random() < 0.4}
        left = outcome(number=number, abandoned_at=rfc3339(at), currency=cart["currency"])
        said += [("cart-outcomes", left), ("subscriber-carts", match(who, number))]
        if told["carts"][number]["bought"]:
            said.append(("cart-outcomes", outcome("recovered", 2, number, abandoned_at=rfc3339(at))))
        for step in (1, 2):
            plan, about = f"plan{number}-{step}", {"number": number, "subscriber_id": who, "step": step}
            if cart["holdout"]:
                said.append(("messages", message("suppressed", plan=plan, reason="holdout", **about)))
            elif chance.random() < 0.8:
                variant, code = chance.choice("ab"), chance.choice(["", f"CODE-{number}-{step}"])
                channel = chance.choice(["email", "sms"])
                told["sent"][plan] = {
                    "number": number,
                    "step": step,
                    "variant": variant,
                    "channel": channel,
                    "code": code,
                    "at": at + step * HOUR,
                }
                facts = about | {
                    "variant": variant,
                    "channel": channel,
                    "code": code or None,
                    "occurred_at": at + step * HOUR,
                }
                said.append(("messages", message("sent", plan=plan, **facts)))
                for n in range(chance.randrange(3)):
                    when, machine = at + (step + chance.randrange(60)) * HOUR, chance.random() < 0.3
                    facts = {"subscriber_id": who, "machine": machine, "message_id": f"{plan}-{n}"}
                    said.append(("messages", clicked(when, plan, number, **facts)))
                    if not machine:
                        told["clicks"].append((plan, when))
    for number in range(60):
        cart, when = chance.randrange(40), NOON + chance.randrange(300) * HOUR
        code = chance.choice(["", f"code-{chance.randrange(40)}-1"])
        one = {
            "cart": cart,
            "who": told["carts"][cart]["who"],
            "at": when,
            "code": code,
            "total": chance.randint(1, 90),
        }
        one |= {"currency": chance.choice(["EUR", "USD"]), "back": chance.choice([0, 0, 5, 90])}
        told["orders"][f"o{number}"] = one
        facts = order(f"o{number}", when, total=str(one["total"]), currency=one["currency"], code=code)
        if chance.random() < 0.5:
            said.append(("cart-events", event(1, **facts, cart_id=f"c{cart}")))
            done = outcome("completed", 3, cart, order_id=f"o{number}", occurred_at=rfc3339(when))
            made = match(
                one["who"], cart, type="cart.completed", record_id=f"m{number}", occurred_at=when, outcome=done
            )
            said.append(("subscriber-carts", made))
        else:
            one["cart"] = None
            said += [("order-events", facts), ("subscriber-events", bought(f"o{number}", when, one["who"]))]
        if one["back"]:
            back = order(f"o{number}", when + DAY, "refunded", total=str(one["back"]))
            said.append(("order-events", back))
    put_all(client, said)
    return told


def credited(told: dict[str, Any], one: dict[str, Any]) -> tuple[str | None, bool, bool]:
    """The message an order is put down to, and whether strictly and in the window."""
    given = [(s["at"], plan) for plan, s in told["sent"].items() if s["code"] == one["code"].upper() != ""]
    by_code = [(at, plan) for at, plan in given if at <= one["at"]]
    clicks = [(at, plan) for plan, at in told["clicks"] if at <= one["at"]]
    by_link = [(at, plan) for at, plan in clicks if told["sent"][plan]["number"] == one["cart"]]
    in_window = [
        (at, plan) for at, plan in clicks
        if told["carts"][told["sent"][plan]["number"]]["who"] == one["who"] and one["at"] - at <= 5 * DAY
    ]  # fmt: skip
    best = by_code or by_link or in_window
    return max(best)[1] if best else None, bool(by_code or by_link), bool(in_window)


def percent(part: int, whole: int) -> Decimal | None:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.1"), ROUND_HALF_EVEN) if whole else None


@pytest.mark.parametrize("seed", [3, 8])
def test_figures_are_those_computed_from_the_events_in_python(client: ClickHouse, seed: int) -> None:
    told = shop(client, seed)

    def day(number: int) -> date:
        return datetime.fromtimestamp(told["carts"][number]["at"] / 1000, UTC).date()

    rows: dict[Any, dict[str, Any]] = defaultdict(lambda: defaultdict(int))
    for plan, one in told["sent"].items():
        cart = told["carts"][one["number"]]
        row = rows[day(one["number"]), "main", cart["currency"], one["step"], one["channel"], one["variant"]]
        row["sent"] += 1
        row["carts"] += 1
        row["bought"] += cart["bought"]
        row["clicked"] += any(p == plan for p, _ in told["clicks"])
    kinds = set()
    for one in told["orders"].values():
        plan, strictly, in_window = credited(told, one)
        net = one["total"] - min(one["back"], one["total"])
        if plan is None or not net:
            continue
        kinds.add((strictly, in_window))
        by = told["sent"][plan]
        row = rows[day(by["number"]), "main", one["currency"], by["step"], by["channel"], by["variant"]]
        row["strict_orders"] += strictly
        row["strict_value"] += net * strictly
        row["window_orders"] += in_window
        row["window_value"] += net * in_window
    assert kinds == {(True, True), (True, False), (False, True)}, "the data must tell the two figures apart"
    expected = []
    names = ("carts", "sent", "clicked", "strict_orders", "strict_value", "window_orders", "window_value", "bought")
    for key in sorted(rows):
        held = [x for n, x in told["carts"].items() if x["holdout"] and (day(n), "main", x["currency"]) == key[:3]]
        again, row = sum(x["bought"] for x in held), rows[key]
        share = (percent(row["bought"], row["carts"]), len(held), again, percent(again, len(held)))
        expected.append((*key, *(row[x] for x in names), *share))
    assert len(expected) > 10
    assert list(reports.run(client, "recovered", **DAYS).rows) == expected


def test_a_late_order_and_a_late_refund_amend_a_day_of_the_past(client: ClickHouse) -> None:
    sent(client, step=1)
    click(client, NOON + HOUR)
    columns = list(reports.load("recovered").columns)

    def figures() -> tuple[int, Decimal]:
        [row] = reports.run(client, "recovered", **DAYS).rows
        return row[columns.index("strict_orders")], row[columns.index("strict_value")]

    assert figures() == (0, 0)
    put(client, "cart-events", event(9, **order("o", NOON + 2 * DAY, cart_id="c1")))
    assert figures() == (1, 50)
    put(client, "order-events", order("o", NOON + 9 * DAY, "refunded", total="20"))
    assert figures() == (1, 30)
    put(client, "order-events", order("o", NOON + 10 * DAY, "refunded", total="30"))
    assert figures() == (0, 0)


def test_in_whatever_order_joins_are_made_no_order_meets_all_abandonments_of_its_shop(client: ClickHouse) -> None:
    joined = (
        "EXPLAIN actions = 1 SELECT count() FROM recoveries AS r "
        "INNER JOIN abandonments AS a ON r.shop_id = a.shop_id AND r.abandonment_id = a.abandonment_id "
        "SETTINGS query_plan_optimize_join_order_randomize = "
    )
    for seed in range(1, 13):
        plan = [row["explain"] for row in client.query(f"{joined}{seed}")]
        conditions = [line.partition("Join conditions: ")[2] for line in plan if "Join conditions: " in line]
        assert len(conditions) > 5
        assert conditions.count("shop_id = shop_id") == 1, seed  # the shop's `attribution`
