"""What arrived, by minute: the figures of `arrivals` and `plan_times` against the records, whatever is said twice."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cartwake.topics import ALL
from sinks.clickhouse import ClickHouse
from sinks.migrate import fill, migrate, migrations, statements
from tests.sinks.records import (
    DEAD, HOUR, NOON, NOW, Kept, dead_letter, event, match, message, outcome, put, rounded_up,
)  # fmt: skip

pytestmark = pytest.mark.stack

MINUTE, DAY = 60_000, 24 * HOUR
LAGS = [-7_654_321, -101, -1, 0, 9, 99, 100, 101, 110, 987, 7_200_000, 7_200_001, 123_456_789]
#: What a record of each topic with a lag is made of.
TIMED: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "cart-events": lambda n, at: event(n, occurred_at=at),
    "device-events": lambda n, at: event(n, type="device.identified", occurred_at=at),
    "order-events": lambda n, at: event(n, type="order.paid", order_id="o-1", occurred_at=at),
    "subscriber-events": lambda n, at: event(n, type="subscriber.consented", subscriber_id="p", occurred_at=at),
    "cart-outcomes": lambda n, at: outcome(outcome_id=f"x{n}", abandoned_at=at),
}
#: Records of Cartwake's own, which are counted and not measured.
UNTIMED: dict[str, list[dict[str, Any]]] = {
    "subscriber-events": [
        event(1, type="subscriber.purchased", subscriber_id="p"),
        event(2, type="subscriber.consented", subscriber_id="p", forwarded_from="q"),
    ],
    "cart-outcomes": [outcome("recovered", 2), outcome("completed", 3)],
    "subscriber-carts": [match()],
    "messages": [message("planned"), message("opened")],
    "offer-codes": [{"shop_id": "main", "pool": "p", "code": "c"}],
}


def day(seed: int) -> dict[str, list[Kept]]:
    """Records of a day, by topic: three shops, all lags, at any minute."""
    chance, made = random.Random(seed), defaultdict[str, list[Kept]](list)
    for number in range(300):
        topic, shop = chance.choice([*TIMED]), chance.choice(["main", "other", "o'neill"])
        at = NOON + chance.randrange(40) * MINUTE + chance.randrange(MINUTE)
        lag = chance.choice([*LAGS, chance.randrange(1, 10 ** chance.randint(1, 9))])
        record = TIMED[topic](number, at - lag) | {"shop_id": shop} | named(f"{seed}-{number}")
        made[topic].append(Kept(json.dumps(record).encode(), at=number, arrived=at))
    for topic, records in UNTIMED.items():
        made[topic] += [
            Kept(json.dumps(x | named(f"{seed}-{n}")).encode(), at=900 + n, arrived=NOON) for n, x in enumerate(records)
        ]
    return made


def named(name: str) -> dict[str, str]:
    """Ids of any record; without them merges would take it for another one."""
    return dict.fromkeys(("event_id", "outcome_id", "record_id", "message_id", "code"), name)


def expected(made: dict[str, list[Kept]]) -> dict[tuple[Any, ...], tuple[int, datetime]]:
    """(records, when the newest arrived) by topic, minute, shop and lag."""
    counts: Counter[tuple[Any, ...]] = Counter()
    newest: dict[tuple[Any, ...], int] = defaultdict(int)
    for topic, records in made.items():
        for record in records:
            said = json.loads(record.data or b"{}")
            since = said["abandoned_at"] if topic == "cart-outcomes" else said.get("occurred_at")
            timed = topic in TIMED and isinstance(since, int)
            lag = rounded_up(record.arrived - since) if timed else None
            key = (topic, when(record.arrived // MINUTE * MINUTE), said["shop_id"], lag)
            counts[key] += 1
            newest[key] = max(newest[key], record.arrived // 1000 * 1000)
    return {key: (number, when(newest[key])) for key, number in counts.items()}


def when(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def shown(client: ClickHouse) -> dict[tuple[Any, ...], tuple[int, datetime]]:
    found = client.table("SELECT topic, minute, shop_id, lag_ms, records, newest_at FROM arrivals")[1]
    assert len({x[:4] for x in found}) == len(found)
    return {x[:4]: x[4:] for x in found}


def halves(records: list[Kept]) -> list[list[Kept]]:
    return [records[: len(records) // 2], records[len(records) // 2 :]]


def test_figures_are_those_of_the_records_however_often_a_batch_is_said_again(client: ClickHouse) -> None:
    made = day(1)
    for turn in range(3):
        for topic, records in made.items():
            for number, batch in enumerate(halves(records)):
                if batch:
                    put(client, topic, *batch, token=f"{number}")  # the same for every topic, too
        if turn == 1:
            client.command(f"OPTIMIZE TABLE {client.database}.arrivals_log FINAL")
        assert shown(client) == expected(made)
    assert client.query("SELECT count() AS n FROM arrivals WHERE minute < '2026-11-23 12:00:00'") == [{"n": 0}]


def test_lags_are_rounded_up_to_two_digits(client: ClickHouse) -> None:
    lags = sorted({s * x + d for s in (1, -1) for e in range(11) for x in (10**e, 3 * 10**e, 72 * 10**e) for d in (-1, 0, 1)})
    records = [Kept(json.dumps(event(n, occurred_at=NOON - lag)).encode(), at=n, arrived=NOON) for n, lag in enumerate(lags)]
    put(client, "cart-events", *records)
    found = client.query("SELECT lag_ms, records FROM arrivals")
    assert {x["lag_ms"]: x["records"] for x in found} == Counter(map(rounded_up, lags))


def test_batches_alike_in_all_but_their_records_count_both(client: ClickHouse) -> None:
    for number in range(3):
        record = event(number, occurred_at=NOON - 5)
        put(client, "cart-events", Kept(json.dumps(record).encode(), at=number, arrived=NOON), token=f"{number}")
    assert [x["records"] for x in client.query("SELECT records FROM arrivals")] == [3]


def test_what_was_written_and_not_counted_when_the_server_died_is_counted_by_the_repetition(client: ClickHouse) -> None:
    [create] = [x for x in statements(arrivals_file()) if "arrivals_of_cart_events_log TO" in x]
    client.execute("DROP VIEW arrivals_of_cart_events_log")
    put(client, "cart-events", event(), token="one")
    assert client.query("SELECT count() AS n FROM arrivals") == [{"n": 0}]
    client.execute(fill(create, {"database": client.database}))
    for _ in range(2):
        put(client, "cart-events", Kept(json.dumps(event()).encode(), at=1), token="one")
    assert [x["records"] for x in client.query("SELECT records FROM arrivals")] == [1]


def test_every_topic_is_counted_and_dead_letters_are_nobodys(client: ClickHouse) -> None:
    for topic, records in day(2).items():
        put(client, topic, *records)
    put(client, DEAD, dead_letter(b'{"shop_id": "other"}'))
    put(client, "settings", Kept(b'{"name": "rules"}', name=b"main/rules"))
    put(client, "alerts", {"record_id": "r", "type": "alert.opened", "alert_id": "a", "shop_id": "main", "number": 1})
    found = client.query("SELECT topic, sum(records) AS n, any(shop_id) AS shop FROM arrivals GROUP BY topic")
    assert {x["topic"] for x in found} == {x.name for x in ALL}
    for one in found:
        table = one["topic"].replace("-", "_") + "_log"
        assert client.command(f"SELECT count() FROM {client.database}.{table}") == one["n"]
    assert [x["shop"] for x in found if x["topic"] == DEAD] == [""]


def arrivals_file() -> str:
    [file] = [x for x in migrations() if x.name == "013_arrivals.sql"]
    return file.text


def test_what_was_there_counts_once_wherever_the_migration_stops_and_whatever_comes_meanwhile(empty: ClickHouse) -> None:
    migrate(empty, retention_days=90, files=[x for x in migrations() if x.number < 13])
    plain = ClickHouse(empty._client, empty.where, empty.database)
    made: dict[str, list[Kept]] = defaultdict(list)
    plans = 0

    def comes(turn: int) -> None:
        nonlocal plans
        for topic, records in day(turn).items():
            made[topic] += records
            put(plain, topic, *records, token=f"{turn}")
        plans += 1
        put(plain, "messages", *life(plans), token=f"plans{turn}")
        made["messages"] += life(plans)

    comes(0)
    parts = [fill(x, {"database": empty.database, "retention_days": "90"}) for x in statements(arrivals_file())]
    for reached in range(1, len(parts) + 1):
        for statement in parts[:reached]:
            plain.execute(statement)
        if reached % 3 == 0:
            comes(reached)
    for statement in (x for x in parts for _ in range(2)):
        plain.execute(statement)
    comes(1000)
    assert shown(plain) == expected(made)
    assert len(plain.query("SELECT plan FROM plan_times WHERE sent_at IS NOT NULL")) == plans


def life(number: int, arrived: int = NOON) -> list[Kept]:
    """A plan that was put off and sent, in three records."""
    due = [NOON + number * MINUTE, NOON + number * 2 * MINUTE]
    said = [
        message("planned", 1, plan=f"q{number}", due_at=due[0]),
        message("held", 2, plan=f"q{number}", due_at=due[1]),
        message("sent", 3, plan=f"q{number}", occurred_at=due[1] + number),
    ]
    return [Kept(json.dumps(x).encode(), at=5000 + 3 * number + n, arrived=arrived) for n, x in enumerate(said)]


def test_times_of_plans_are_those_of_the_views_of_messages(client: ClickHouse) -> None:
    chance = random.Random(3)
    for number in range(60):
        steps = [
            message("planned", 1, plan=f"q{number}", due_at=NOON + number) if chance.random() < 0.9 else None,
            message("held", 2, plan=f"q{number}", due_at=NOON + HOUR) if chance.random() < 0.3 else None,
            message("sending", 3, plan=f"q{number}") if chance.random() < 0.5 else None,
            message(chance.choice(["sent", "suppressed", "expired", "failed", "uncertain", "recovered"]), 4, plan=f"q{number}")
            if chance.random() < 0.7
            else message("opened", 5, plan=f"q{number}"),
        ]
        for _ in range(2):  # under another token each time
            put(client, "messages", *(x for x in steps if x is not None))
    told = client.table(
        "SELECT sipHash64(p.plan_id), p.planned_at, p.due_at, s.due_at, s.sent_at, p.ending != '' FROM plans AS p "
        "INNER JOIN sent_messages AS s ON p.plan_id = s.plan_id WHERE p.planned_at IS NOT NULL"
    )[1]
    found = client.table(
        "SELECT plan, planned_at, first_due_at, due_at, sent_at, ended FROM plan_times WHERE planned_at IS NOT NULL"
    )[1]
    assert sorted(found) == sorted(told)
    assert len({x[5] for x in found}) == 2


def test_plans_of_which_nothing_was_heard_for_five_weeks_are_gone(client: ClickHouse) -> None:
    old = NOW - 35 * DAY - HOUR
    put(client, "messages", *life(1, old), *life(2, old + 2 * HOUR), *life(3, old)[:1])
    put(client, "messages", *life(4, old)[:2], *life(4, NOW)[2:])
    for _ in range(2):  # before they are gone, and after
        found = client.table("SELECT plan, ended FROM plan_times ORDER BY plan")[1]
        assert found == client.table("SELECT sipHash64(arrayJoin(['q2', 'q4'])) AS plan, true ORDER BY plan")[1]
        client.execute("OPTIMIZE TABLE plan_times_log FINAL")
    assert client.query("SELECT count() AS n FROM plan_times_log") == [{"n": 2}]
