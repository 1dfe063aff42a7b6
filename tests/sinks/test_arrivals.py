"""What arrived, by minute: the figures of `arrivals` and `plan_times` against the records, whatever is said twice."""

import json
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cartwake.topics import ALL
from sinks.clickhouse import ClickHouse
from sinks.migrate import fill, migrate, migrations, statements
from tests.sinks.records import (
    DEAD,
    HOUR,
    NOW,
    Kept,
    dead_letter,
    event,
    match,
    message,
    outcome,
    put,
    put_all,
    rounded_up,
)  # fmt: skip
from tests.sinks.test_dashboards import BOARDS, expanded

pytestmark = pytest.mark.stack

MINUTE, DAY = 60_000, 24 * HOUR
NOON = NOW // DAY * DAY - 12 * HOUR  # of yesterday: plans of more than five weeks ago are not shown
LAGS = [-7_654_321, -101, -1, 0, 9, 99, 100, 101, 110, 987, 7_200_000, 7_200_001, 123_456_789]
ENDS = ["sent", "suppressed", "expired", "failed", "uncertain", "recovered"]
SERIES = ("Records that arrived, by topic", "Lateness: from the shop to Kafka", "Lag of messages: from due to sent")
LAG_OF_CARTS = "Lag of stage 1: from the deadline to the decision"
#: What a record of each topic with a lag is made of.
TIMED: dict[str, Callable[[int], dict[str, Any]]] = {
    "cart-events": lambda at: event(occurred_at=at),
    "device-events": lambda at: event(type="device.identified", occurred_at=at),
    "order-events": lambda at: event(type="order.paid", order_id="o-1", occurred_at=at),
    "subscriber-events": lambda at: event(type="subscriber.consented", subscriber_id="p", occurred_at=at),
    "cart-outcomes": lambda at: outcome(abandoned_at=at),
}
#: Records of Cartwake's own, which are counted and not measured.
UNTIMED: dict[str, list[dict[str, Any]]] = {
    "subscriber-events": [
        event(type="subscriber.purchased", subscriber_id="p"),
        event(type="subscriber.consented", subscriber_id="p", forwarded_from="q"),
    ],
    "cart-outcomes": [outcome("recovered", 2), outcome("completed", 3)],
    "subscriber-carts": [match()],
    "messages": [message("planned"), message("opened")],
    "offer-codes": [{"shop_id": "main", "pool": "p"}],
}


def day(seed: int) -> dict[str, list[Kept]]:
    """Records of a day, by topic: three shops, all lags, within forty minutes."""
    chance, made = random.Random(seed), defaultdict[str, list[Kept]](list)
    for number in range(300):
        topic, shop = chance.choice([*TIMED]), chance.choice(["main", "other", "o'neill"])
        at = NOON + chance.randrange(40) * MINUTE + chance.randrange(MINUTE)
        lag = chance.choice([*LAGS, chance.randrange(1, 10 ** chance.randint(1, 9))])
        made[topic].append(kept(named(f"{seed}-{number}", TIMED[topic](at - lag) | {"shop_id": shop}), number, at))
    for topic, records in UNTIMED.items():
        made[topic] += [kept(named(f"{seed}-u{n}", x), 900 + n) for n, x in enumerate(records)]
    return made


def named(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record with an id of its own, whatever its topic calls it: merges keep one of each id."""
    return record | dict.fromkeys(("event_id", "outcome_id", "record_id", "message_id", "code"), name)


def kept(record: dict[str, Any], offset: int, arrived: int = NOON) -> Kept:
    return Kept(json.dumps(record).encode(), at=offset, arrived=arrived)


def when(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def lag_of(topic: str, record: Kept) -> int | None:
    """Milliseconds; None where none is measured."""
    said = json.loads(record.data or b"")
    since = said.get("abandoned_at" if topic == "cart-outcomes" else "occurred_at")
    return record.arrived - since if topic in TIMED and isinstance(since, int) else None


def expected(made: dict[str, list[Kept]]) -> dict[tuple[Any, ...], tuple[int, datetime]]:
    """(records, when the newest arrived) by topic, minute, shop and lag."""
    times: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for topic, records in made.items():
        for record in records:
            lag = lag_of(topic, record)
            shown_as = None if lag is None else rounded_up(lag)
            shop = json.loads(record.data or b"")["shop_id"]
            times[topic, when(record.arrived // MINUTE * MINUTE), shop, shown_as].append(record.arrived)
    return {key: (len(at), when(max(at) // 1000 * 1000)) for key, at in times.items()}


def shown(client: ClickHouse) -> dict[tuple[Any, ...], tuple[int, datetime]]:
    found = client.table("SELECT topic, minute, shop_id, lag_ms, records, newest_at FROM arrivals")[1]
    assert len({x[:4] for x in found}) == len(found)
    return {x[:4]: (x[4], x[5]) for x in found}


def merge(client: ClickHouse, table: str) -> None:
    client.command(f"SYSTEM START MERGES {client.database}.{table}")
    client.execute(f"OPTIMIZE TABLE {table} FINAL")


def counted(client: ClickHouse) -> int:
    return int(client.query("SELECT sum(records) AS n FROM arrivals")[0]["n"])


def test_figures_are_those_of_the_records_however_often_a_batch_is_said_again(client: ClickHouse) -> None:
    made = day(1)
    for turn in range(3):
        for topic, records in made.items():
            middle = len(records) // 2
            put(client, topic, *records[middle:], token="one")  # the same for every topic, too
            if middle:
                put(client, topic, *records[:middle], token="two")
        if turn == 1:
            merge(client, "arrivals_log")
        assert shown(client) == expected(made)
    assert client.query(f"SELECT records FROM arrivals WHERE minute < {NOON // 1000}") == []


def test_lags_are_rounded_up_to_two_digits(client: ClickHouse) -> None:
    near = {x * 10**power + d for power in range(11) for x in (1, 3, 72) for d in (-1, 0, 1)}
    lags = sorted(near | {-x for x in near})
    put(client, "cart-events", *(kept(event(n, occurred_at=NOON - lag), n) for n, lag in enumerate(lags)))
    found = client.query("SELECT lag_ms, records FROM arrivals")
    assert {x["lag_ms"]: x["records"] for x in found} == Counter(map(rounded_up, lags))


def test_batches_alike_in_all_but_their_records_count_both(client: ClickHouse) -> None:
    for number in range(3):
        put(client, "cart-events", kept(event(number, occurred_at=NOON - 5), number), token=f"{number}")
    assert counted(client) == 3


def test_what_was_written_and_not_counted_when_the_server_died_is_counted_by_the_repetition(client: ClickHouse) -> None:
    [create] = [x for x in statements(file().text) if "arrivals_of_cart_events_log TO" in x]
    client.execute("DROP VIEW arrivals_of_cart_events_log")
    put(client, "cart-events", kept(event(), 1), token="one")
    assert counted(client) == 0
    client.execute(fill(create, {"database": client.database}))
    for _ in range(2):
        put(client, "cart-events", kept(event(), 1), token="one")
    assert counted(client) == 1


def test_every_topic_is_counted_and_dead_letters_are_nobodys(client: ClickHouse) -> None:
    for topic, records in day(2).items():
        put(client, topic, *records)
    put(client, "messages", message("sent", code="ABC"))  # a code that was given did not come by offer-codes
    put(client, DEAD, dead_letter(b'{"shop_id": "other"}'))
    put(client, "settings", Kept(b'{"name": "rules"}', name=b"main/rules"))
    put(client, "alerts", {"record_id": "r", "type": "alert.opened", "alert_id": "a", "shop_id": "main", "number": 1})
    found = client.query("SELECT topic, sum(records) AS n, any(shop_id) AS shop FROM arrivals GROUP BY topic")
    assert {x["topic"] for x in found} == {x.name for x in ALL}
    for one in found:
        table = one["topic"].replace("-", "_") + "_log"
        given = one["topic"] == "offer-codes"
        assert client.query(f"SELECT count() AS n FROM {table}") == [{"n": one["n"] + given}]
    assert [x["shop"] for x in found if x["topic"] == DEAD] == [""]


def file() -> Any:
    [found] = [x for x in migrations() if x.name == "014_arrivals.sql"]
    return found


def test_what_was_there_counts_once_wherever_the_migration_stops_and_whatever_comes(empty: ClickHouse) -> None:
    migrate(empty, retention_days=90, files=[x for x in migrations() if x.number < file().number])
    made: dict[str, list[Kept]] = defaultdict(list)
    plans = 0

    def comes(turn: int) -> None:
        nonlocal plans
        plans += 1
        for topic, records in [*day(turn).items(), ("messages", life(plans))]:
            made[topic] += records
            put(empty, topic, *records, token=f"{turn} {len(made[topic])}")

    comes(0)
    values = {"database": empty.database, "retention_days": "90"}
    parts = [fill(x, values) for x in statements(file().text)]
    for reached in range(1, len(parts) + 1):
        for statement in parts[:reached]:
            empty.execute(statement)
        if reached % 3 == 0:
            comes(reached)
    for statement in (x for x in parts for _ in range(2)):
        empty.execute(statement)
    comes(1000)
    assert shown(empty) == expected(made)
    assert len(empty.query("SELECT plan FROM plan_times WHERE sent_at IS NOT NULL")) == plans


def life(number: int, arrived: int = NOON) -> list[Kept]:
    """A plan that was put off and sent, in three records."""
    plan, due = f"q{number}", [NOON + number * MINUTE, NOON + number * 2 * MINUTE]
    said = [
        message("planned", 1, plan, due_at=due[0]),
        message("held", 2, plan, due_at=due[1]),
        message("sent", 3, plan, occurred_at=due[1] + number),
    ]
    return [kept(x, 5000 + 3 * number + n, arrived) for n, x in enumerate(said)]


def test_times_of_plans_are_those_of_the_views_of_messages(client: ClickHouse) -> None:
    chance, said = random.Random(3), []
    for number in range(60):
        plan = f"q{number}"
        steps = [
            (0.9, message("planned", 1, plan, due_at=NOON + number)),
            (0.3, message("held", 2, plan, due_at=NOON + HOUR)),
            (0.5, message("sending", 3, plan)),
            (0.7, message(chance.choice(ENDS), 4, plan)),
            (1.0, message("opened", 5, plan)),
        ]
        said += [("messages", record) for likely, record in steps if chance.random() < likely]
    for _ in range(2):  # under another token each time
        chance.shuffle(said)
        put_all(client, said, at_once=10)
    told = client.table(
        "SELECT sipHash64(p.plan_id), p.planned_at, p.due_at, s.due_at, s.sent_at, p.ending != '' FROM plans AS p "
        "INNER JOIN sent_messages AS s ON p.plan_id = s.plan_id WHERE p.planned_at IS NOT NULL"
    )[1]
    found = client.table(
        "SELECT plan, planned_at, first_due_at, due_at, sent_at, ended FROM plan_times WHERE planned_at IS NOT NULL"
    )[1]
    assert sorted(found, key=lambda x: x[0]) == sorted(told, key=lambda x: x[0])
    assert len({x[5] for x in found}) == 2


def test_plans_of_which_nothing_was_heard_for_five_weeks_are_gone(client: ClickHouse) -> None:
    old = NOW - 35 * DAY - HOUR
    put(client, "messages", *life(1, old), *life(2, old + 2 * HOUR), *life(3, old)[:1])
    put(client, "messages", *life(4, old)[:2], *life(4, NOW)[2:])
    for _ in range(2):  # before they are gone, and after
        found = client.table("SELECT plan, ended FROM plan_times ORDER BY plan")[1]
        assert found == client.table("SELECT sipHash64(arrayJoin(['q2', 'q4'])) AS plan, true ORDER BY plan")[1]
        merge(client, "plan_times_log")
    assert client.query("SELECT count() AS n FROM plan_times_log") == [{"n": 2}]


# -- the dashboard of operations --------------------------------------------------------------------------------------
def asked(client: ClickHouse, title: str, since: int, until: int) -> list[tuple[Any, ...]]:
    """What a panel shows of the time between two moments (ms), by the minute."""
    [panel] = [x for x in BOARDS["operations"]["panels"] if x["title"] == title]
    span = (since // 1000, until // 1000)
    return client.table(expanded(panel["targets"][0]["rawSql"], everything=True, span=span, interval=60))[1]


def test_panels_show_the_figures_of_the_records(client: ClickHouse) -> None:
    made = day(4)
    for topic, records in made.items():
        for _ in range(2):
            put(client, topic, *records, token="one")
    since, until = NOON + 5 * MINUTE, NOON + 24 * MINUTE + 30_000  # a minute that has begun is whole
    inside = {t: [x for x in r if since <= x.arrived < NOON + 25 * MINUTE] for t, r in made.items()}
    counts = Counter((when(x.arrived // MINUTE * MINUTE), t) for t, r in inside.items() for x in r)
    found = asked(client, "Records that arrived, by topic", since, until)
    assert found == [(*key, counts[key]) for key in sorted(counts)]
    for title, topic in ((SERIES[1], "cart-events"), (LAG_OF_CARTS, "cart-outcomes")):
        lags = defaultdict[datetime, list[int]](list)
        for record in inside[topic]:
            if (lag := lag_of(topic, record)) is not None:
                lags[when(record.arrived // MINUTE * MINUTE)].append(rounded_up(lag))
        assert asked(client, title, since, until) == [
            (minute, *(sorted(x)[math.ceil(level * len(x)) - 1] for level in (0.5, 0.99)))
            for minute, x in sorted(lags.items())
        ]
    late = defaultdict[tuple[datetime, str], list[bool]](list)
    for record in inside["cart-events"]:
        key = (when(record.arrived // MINUTE * MINUTE), json.loads(record.data or b"")["shop_id"])
        late[key].append((lag_of("cart-events", record) or 0) > 2 * HOUR)
    assert asked(client, "Share of events more than two hours late", since, until) == [
        (*key, pytest.approx(100 * sum(x) / len(x))) for key, x in sorted(late.items())
    ]
    assert {any(x) for x in late.values()} == {True, False}


def test_events_a_second_are_those_of_whole_minutes_and_the_newest_one_has_its_age(client: ClickHouse) -> None:
    hour_ago = NOW // MINUTE * MINUTE - HOUR
    for n in range(30):
        put(client, "cart-events", kept(event(n), n, hour_ago + n * MINUTE + 7_000))
    [(rate,)] = asked(client, "Events a second", hour_ago - 30_000, hour_ago + 15 * MINUTE - 1)
    assert rate == pytest.approx(15 / (15 * 60))
    before = int(time.time())
    [(age,)] = asked(client, "Newest cart event", hour_ago, NOW)
    newest = (hour_ago + 29 * MINUTE + 7_000) // 1000
    assert before - newest <= age <= int(time.time()) - newest


def test_panels_are_empty_where_nothing_arrived(client: ClickHouse) -> None:
    put(client, "cart-events", event(1), event(2))
    for title in SERIES:
        assert asked(client, title, NOON - DAY, NOON - HOUR) == []
    assert asked(client, "Events a second", NOON - DAY, NOON - HOUR) == [(0.0,)]


def test_panels_show_the_lag_of_messages_and_the_plans_without_an_end(client: ClickHouse) -> None:
    put(client, "messages", *life(1), *life(2), *life(3), *life(4)[:2])
    for plan, days in (("old", 3), ("done", 3), ("new", 1)):
        put(client, "messages", message("planned", 1, plan, due_at=NOW - days * DAY))
    put(client, "messages", message("expired", 1, "done"))
    found = asked(client, "Lag of messages: from due to sent", NOON, NOON + HOUR)
    assert found == [(when(NOON + 2 * n * MINUTE), n, n) for n in (1, 2, 3)]
    assert asked(client, "Plans without an end", NOON, NOON + HOUR) == [(1,)]
