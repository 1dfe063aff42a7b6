"""Reports about messages, people and the pipeline: made-up lives of plans, and the same figures counted in Python."""

import json
import math
import random
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

import sql
from cartwake.clock import rfc3339
from sinks import audit, reports
from sinks.clickhouse import ClickHouse
from tests.sinks.records import DEAD, HOUR, NOON, Kept, dead_letter, event, match, message, outcome, put, rounded_up

pytestmark = pytest.mark.stack
DAY = 24 * HOUR
DAYS = {"from_": date(2026, 11, 23), "to": date(2026, 11, 24)}
FIRST, END = NOON - 12 * HOUR, NOON + 36 * HOUR


def share(part: int, whole: int) -> Decimal | None:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.1"), ROUND_HALF_EVEN) if whole else None


def person(number: int) -> str:
    return f"p-{number:024x}"


def run(client: ClickHouse, name: str, **more: Any) -> list[dict[str, Any]]:
    report = reports.run(client, name, **DAYS, **more)
    return [dict(zip(report.columns, row, strict=True)) for row in report.rows]


def twice(client: ClickHouse, topic: str, *records: Any) -> None:
    for _ in range(2):
        put(client, topic, *records)


# -- plans and people ---------------------------------------------------------------------------------------------
def lives(client: ClickHouse, seed: int) -> list[dict[str, Any]]:
    """Eighty plans over four days, and what was done with each."""
    chance = random.Random(seed)
    told, steps = [], []
    for number in range(80):
        made = NOON - 36 * HOUR + chance.randrange(96) * HOUR
        one: dict[str, Any] = {
            "shop": chance.choice(["main", "other"]),
            "channel": chance.choice(["email", "sms"]),
            "step": chance.choice([0, 1, 2]),
            "variant": chance.choice(["", "b"]),
            "who": person(chance.randrange(15)),
            "made": made,
            "end": chance.choice(["sent"] * 5 + ["suppressed", "recovered", "expired", "failed", "uncertain", ""]),
            "reason": chance.choice(["quiet_hours", "no_consent"]),
            "did": {x for x in ("opened", "clicked", "bounced", "complained", "machine") if chance.random() < 0.3},
            "at": made + HOUR,
        }
        told.append(one)
        about = {"plan": f"plan{number}", "number": number, "shop_id": one["shop"], "channel": one["channel"]}
        about |= {"step": one["step"], "variant": one["variant"], "subscriber_id": one["who"]}
        steps.append(message("planned", occurred_at=made, **about))
        if one["end"]:
            reason = None if one["end"] in {"sent", "uncertain"} else one["reason"]
            words = f"Because of {reason}." if reason else None
            steps.append(message(one["end"], occurred_at=one["at"], reason=reason, words=words, **about))
        if one["end"] == "sent":
            for kind in one["did"]:
                facts = {"machine": True} if kind == "machine" else {}
                name = "opened" if kind == "machine" else kind
                steps.append(message(name, 9, occurred_at=one["at"] + HOUR, **about, **facts))
                steps[-1]["message_id"] += kind
    notice = message("notice_sent", plan="notice", occurred_at=NOON, order_id="o1", abandonment_id=None)
    twice(client, "messages", *steps, notice)
    return told


@pytest.mark.parametrize("only", ["", "main"])
def test_messages_and_reasons_are_counted_as_they_were_told(client: ClickHouse, only: str) -> None:
    told = [x for x in lives(client, 5) if FIRST <= x["made"] < END and only in ("", x["shop"])]
    groups = defaultdict(list)
    for one in told:
        groups[one["shop"], one["channel"], one["step"], one["variant"]].append(one)
    expected = []
    for key in sorted(groups):
        ends = Counter(x["end"] for x in groups[key])
        row = dict(zip(("shop_id", "channel", "step", "variant"), key, strict=True)) | {"planned": len(groups[key])}
        row |= {x: ends[x] for x in ("sent", "suppressed", "recovered", "expired", "failed", "uncertain")}
        row["open"] = ends[""]
        did = Counter(kind for x in groups[key] if x["end"] == "sent" for kind in x["did"])
        for kind in ("opened", "clicked", "bounced", "complained"):
            row |= {kind: did[kind], f"{kind}_percent": share(did[kind], ends["sent"])}
        expected.append(row | {"machine_opened": did["machine"]})
    assert run(client, "messages", shop=only) == expected

    wholes = Counter((x["shop"], x["channel"]) for x in told)
    stopped = Counter(
        (x["shop"], x["channel"], x["end"], x["reason"])
        for x in told if x["end"] in {"suppressed", "recovered", "expired", "failed"}
    )  # fmt: skip
    names = ("shop_id", "channel", "ending", "reason", "words", "plans", "percent")
    assert run(client, "suppressions", shop=only) == [
        dict(zip(names, (*key, f"Because of {key[3]}.", number, share(number, wholes[key[:2]])), strict=True))
        for key, number in sorted(stopped.items(), key=lambda x: (-x[1], x[0]))
    ]


def test_lost_people_are_those_who_can_not_be_written_to_since_their_first_message(client: ClickHouse) -> None:
    told = lives(client, 6)
    chance = random.Random(6)
    said, told_of = [], []
    for number in range(60):
        kind = chance.choice(
            ["withdrawn", "complained", "bounced", "erased", "consented", "consented", "soft", "refused"]
        )
        about = chance.choice([None, "email", "sms"])
        at = NOON - 48 * HOUR + chance.randrange(120) * HOUR
        said.append((person(chance.randrange(15)), chance.choice(["main", "other"]), kind, about, at))
        who, shop, kind, channel, at = said[-1]
        facts = {
            "event_id": f"s{number}",
            "shop_id": shop,
            "subscriber_id": who,
            "occurred_at": at,
            "reason": "5.1.1 gone",
        }
        facts["channels"] = [channel] if channel else None
        facts["type"] = "subscriber." + {"soft": "bounced", "refused": "consented"}.get(kind, kind)
        if kind == "soft":
            facts["reason"] = "Soft: full"
        if kind in {"consented", "refused"}:
            consent: dict[str, Any] = {"granted": kind == "consented"} | ({"channels": [channel]} if channel else {})
            facts |= {"consent": consent, "channels": None}
        told_of.append(facts)
    twice(client, "subscriber-events", *told_of)

    def concerns(kind: str, channel: str | None, asked: str) -> bool:
        everything = kind in {"complained", "erased"} or (kind == "withdrawn" and channel is None)
        return everything or asked == (channel or "email")

    def people(asked: str, shop: str, channel: str) -> int:
        on_these_days = [x for x in said if x[2] == asked and x[1] == shop and FIRST <= x[4] < END]
        return len({who for who, _, kind, about, _ in on_these_days if concerns(kind, about, channel)})

    expected = []
    for shop in ("main", "other"):
        for channel in ("email", "push", "sms"):
            written = [x for x in told if x["end"] in {"sent", "uncertain"} and FIRST <= x["at"] < END
                       and (x["shop"], x["channel"]) == (shop, channel)]  # fmt: skip
            first = {who: min(x["at"] for x in written if x["who"] == who) for who in {x["who"] for x in written}}
            lost = {
                who for who, where, kind, about, at in said
                if kind in {"withdrawn", "complained", "bounced", "erased"} and where == shop
                and concerns(kind, about, channel) and at >= first.get(who, math.inf)
            }  # fmt: skip
            row: dict[str, Any] = {"shop_id": shop, "channel": channel, "sent": len(written)}
            for kind in ("bounced", "complained"):
                number = sum(kind in x["did"] and x["end"] == "sent" for x in written)
                row |= {kind: number, f"{kind}_percent": share(number, len(written))}
            row |= {"written_to": len(first), "lost": len(lost), "lost_percent": share(len(lost), len(first))}
            row |= {"agreed": people("consented", shop, channel), "unsubscribed": people("withdrawn", shop, channel)}
            expected.append(row | {"dead": people("bounced", shop, channel)})
    expected = [x for x in expected if x["sent"] + x["agreed"] + x["unsubscribed"] + x["dead"]]
    assert sum(x["lost"] for x in expected) > 5
    assert run(client, "list-quality") == expected


# -- the holdout ----------------------------------------------------------------------------------------------------
def wilson(x: int, n: int) -> tuple[float, float]:
    """The two shares p with |x/n - p| = z * sqrt(p (1 - p) / n), by halving."""
    z = 1.959963984540054

    def edge(inside: float, outside: float) -> float:
        for _ in range(80):
            p = (inside + outside) / 2
            inside, outside = (p, outside) if abs(x / n - p) <= z * math.sqrt(p * (1 - p) / n) else (inside, p)
        return inside

    return edge(x / n, 0.0), edge(x / n, 1.0)


def newcombe(x: int, n: int, y: int, m: int) -> tuple[float, float]:
    (l1, u1), (l2, u2), d = wilson(x, n), wilson(y, m), x / n - y / m
    return d - math.hypot(x / n - l1, u2 - y / m), d + math.hypot(u1 - x / n, y / m - l2)


def test_the_interval_of_this_test_is_the_published_one() -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table II, method 10: 56/70 against 48/80, and 9/10 against 3/10."""
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=0.00005)
    assert newcombe(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=0.00005)


def holdout(client: ClickHouse, n: int, x: int, m: int, y: int, shop: str = "main") -> None:
    """`n` carts with plans of which `x` are bought, and `m` of the holdout of which `y` are."""
    left, matches, plans, orders, bought = [], [], [], [], []
    for number in range(n + m):
        name, who = f"{shop}{number}", person(number)
        facts = {"cart_id": name, "abandonment_id": name, "shop_id": shop}
        left.append(outcome(outcome_id=name, **facts, abandoned_at=rfc3339(NOON)))
        matches.append(match(who, record_id=name, shop_id=shop, cart_id=name, outcome=left[-1]))
        about = {"plan": name, "subscriber_id": who, **facts}
        if number < n:
            plans += [message("planned", **about), message("suppressed", 3, reason="no_consent", **about)][
                : 1 + number % 2
            ]
            plans.append(message("suppressed", 4, reason="conditions", **about | {"plan": name + "-2"}))
        else:
            plans.append(message("suppressed", reason="holdout", **about))
        if number < x or n <= number < n + y:
            order = {
                "shop_id": shop,
                "order_id": name,
                "occurred_at": NOON + 7 * DAY - 1,
                "total": "20",
                "currency": "EUR",
            }
            if number % 2:  # of the cart itself
                orders.append(event(1, event_id=name, type="order.placed", cart_id=name, **order))
            else:  # by telephone
                bought.append({"event_id": name, "type": "order.placed", **order})
                bought.append({"event_id": name + "p", "type": "subscriber.purchased", "subscriber_id": who, **order})
        elif number % 3 == 0:  # too late, or before
            at = NOON + 7 * DAY if number % 2 else NOON - 1
            orders.append(
                event(1, event_id=name, type="order.placed", shop_id=shop, cart_id=name, order_id=name, occurred_at=at)
            )
    twice(client, "cart-outcomes", *left)
    twice(client, "subscriber-carts", *matches)
    twice(client, "messages", *plans)
    twice(client, "cart-events", *orders)
    twice(client, "order-events", *[b for b in bought if b["type"] == "order.placed"])
    twice(client, "subscriber-events", *[b for b in bought if b["type"] != "order.placed"])


@pytest.mark.parametrize(
    ("n", "x", "m", "y", "verdict"),
    [
        (150, 60, 120, 20, "more orders"),
        (150, 20, 120, 60, "fewer orders"),
        (150, 20, 120, 14, "no difference shown"),
        (150, 60, 99, 5, "not enough data"),
        (99, 60, 120, 5, "not enough data"),
        (150, 6, 120, 3, "not enough data"),
        (150, 7, 120, 3, "no difference shown"),
    ],
)
def test_what_reminders_add_has_newcombes_interval_or_none(
    client: ClickHouse, n: int, x: int, m: int, y: int, verdict: str
) -> None:
    holdout(client, n, x, m, y)
    [row] = run(client, "incrementality")
    assert (row["carts"], row["bought"], row["holdout"], row["holdout_bought"]) == (n, x, m, y)
    assert row["verdict"] == verdict
    difference = x / n - y / m
    assert float(row["difference_points"]) == pytest.approx(100 * difference, abs=0.0051)
    assert float(row["extra_orders"]) == pytest.approx(n * difference, abs=0.051)
    assert float(row["value_per_cart"]) == pytest.approx(20 * x / n, abs=0.0051)
    assert float(row["holdout_value_per_cart"]) == pytest.approx(20 * y / m, abs=0.0051)
    ends = [row[k] for k in ("low_points", "high_points", "extra_low", "extra_high")]
    if verdict == "not enough data":
        assert ends == [None] * 4
        return
    low, high = newcombe(x, n, y, m)
    assert [float(v) for v in ends[:2]] == pytest.approx([100 * low, 100 * high], abs=0.0051)
    assert [float(v) for v in ends[2:]] == pytest.approx([n * low, n * high], abs=0.051)


def test_a_window_of_other_length_takes_in_other_orders(client: ClickHouse) -> None:
    holdout(client, 4, 2, 2, 1)
    [short] = run(client, "incrementality", choices={"window": 6})
    assert (short["bought"], short["holdout_bought"], short["verdict"]) == (0, 0, "not enough data")


# -- the pipeline -----------------------------------------------------------------------------------------------------
def test_the_pace_of_each_hop_is_that_of_its_records(client: ClickHouse) -> None:
    chance = random.Random(9)
    late: dict[str, list[int]] = defaultdict(list)

    def arrived(record: dict[str, Any], at: int, offset: int) -> Kept:
        return Kept(json.dumps(record).encode(), at=offset, arrived=at)

    events, outcomes, matches, messages = [], [], [], []
    for number in range(50):
        at, wait = NOON - 20 * HOUR + number * HOUR, chance.choice([-1, 3, 257, 9_000, 300_000, 300_001, 5_000_000])
        inside = FIRST <= at < END
        events.append(arrived(event(number, occurred_at=at - wait), at, number))
        left = outcome(number=number, outcome_id=f"x{number}", abandoned_at=rfc3339(at - wait))
        outcomes.append(arrived(left, at, number))
        matches.append(arrived(match(number=number, outcome=left), at + wait, number))
        due = {"due_at": rfc3339(at - wait), "occurred_at": at, "plan": f"q{number}", "number": number}
        messages += [message("planned", 1, **due), message("sent", 2, **due)]
        for hop in ("shop → cart-events", "deadline → cart-outcomes", "due → sent") if inside else ():
            late[hop].append(wait)
        if FIRST <= at + wait < END:
            late["cart-outcomes → subscriber-carts"].append(wait)
    for some in range(0, 50, 10):
        ten = slice(some, some + 10)
        for _ in range(2):
            put(client, "cart-events", *events[ten], token=f"e{some}")
            put(client, "cart-outcomes", *outcomes[ten], token=f"o{some}")
            put(client, "subscriber-carts", *matches[ten])
            put(client, "messages", *messages[2 * some : 2 * some + 20])
    order = ["shop → cart-events", "deadline → cart-outcomes", "cart-outcomes → subscriber-carts", "due → sent"]
    found = run(client, "pipeline")
    assert [x["hop"] for x in found] == order
    for row in found:
        waits = sorted(late[row["hop"]])
        assert row["records"] == len(waits)
        shown = [rounded_up(x) for x in waits] if row["number"] <= 5 else waits
        at = [shown[math.ceil(level * len(waits)) - 1] for level in (0.5, 0.95, 0.99, 1)]
        assert [row[x] for x in ("median_s", "p95_s", "p99_s", "longest_s")] == [Decimal(x) / 1000 for x in at]
        over = sum(x > 300_000 for x in waits)
        assert (row["late"], row["late_percent"], row["ahead"]) == (over, share(over, len(waits)), waits.count(-1))


def test_dead_letters_that_differ_in_numbers_alone_stand_together(client: ClickHouse) -> None:
    for offset, reason in enumerate(["9 bytes", "12 bytes", "no JSON"]):
        letter = dead_letter(b'{"shop_id": "other"}' if offset else b"\xff", offset=offset, reason=reason)
        letter = Kept(letter.data, said=letter.said, at=offset, arrived=NOON + offset)
        twice(client, DEAD, letter)
    found = run(client, "dead-letters")
    assert [(x["topic"], x["stage"], x["reason"], x["records"], x["example"]) for x in found] == [
        ("cart-events", "carts", "N bytes", 2, "3/1"),
        ("cart-events", "carts", "no JSON", 1, "3/2"),
    ]
    assert found[0]["first_at"] == datetime.fromtimestamp(NOON / 1000, UTC)
    assert sum(x["records"] for x in run(client, "dead-letters", shop="other")) == 2


def test_conservation_says_what_the_audit_says_check_by_check(client: ClickHouse) -> None:
    twice(client, "cart-outcomes", *(outcome(number=x) for x in range(6)))
    twice(client, "subscriber-carts", *(match(number=x) for x in range(5)))
    for number in range(4):
        twice(client, "messages", message("planned", 1, plan=f"p{number}", number=number))
    twice(client, "messages", message("sent", 2, plan="p0", number=0), message("expired", 3, plan="p0", number=0))
    twice(client, "messages", message("suppressed", 2, plan="p1", number=1, reason="holdout"))
    twice(client, "messages", message("planned", 2, plan="stray", number=77))
    now = NOON + 30 * DAY
    told = audit.audit(client, now=now, **DAYS)
    found = run(client, "conservation", now=now)
    assert {(x["what"], x["reason"]): x["number"] for x in found if x["part"] == "plans"} == {
        (x.standing, x.reason): x.plans for x in told.sums
    }
    assert {x["of"] for x in found if x["part"] == "plans"} == {told.plans}
    assert [(x["what"], x["number"], x["of"]) for x in found if x["part"] == "carts"] == [
        ("with a person", 5, 6),
        ("with a plan", 4, 6),
    ]
    wrong = Counter(x.check for x in told.wrong)
    assert {x["what"]: x["number"] for x in found if x["part"] == "wrong"} == {x: wrong[x] for x in audit.checks()}
    assert sum(x["number"] for x in found if x["part"] == "plans") == told.plans
    assert {x for x in audit.checks() if wrong[x]} >= {"no_abandonment", "no_end", "several_ends"}


def test_conservation_names_every_check() -> None:
    text = sql.read("reports/conservation.sql")
    assert all(f"'{x}'" in text and f"({{{x}}})" in text for x in audit.checks())
