"""Abandonments kept as rows: what has come is computed once more after a crash, and what knows more stays."""

import json
import random
from datetime import date
from typing import Any

import pytest

from cartwake.errors import SinkUnavailable
from sinks.clickhouse import ClickHouse
from sinks.rollup import LEAST_PAUSE, SHARE, Rollup, progress
from sinks.sink import statements
from tests.sinks.records import Kept, match, outcome, rows
from tests.sinks.records import message as said

OUTCOMES, PERSONS = ("cart-outcomes", 0), ("subscriber-carts", 0)


def write(client: ClickHouse, topic: str, *records: dict[str, Any], at: int = 0) -> None:
    """What the sink writes, and nothing is computed."""
    kept = [Kept(json.dumps(x).encode(), at=at + n) for n, x in enumerate(records)]
    for statement in statements(topic):
        client.insert(statement, rows(topic, kept), token=f"{topic}/{at}")


def states(client: ClickHouse) -> list[tuple[str, str, str]]:
    found = client.query("SELECT cart_id, state, email FROM abandonments ORDER BY cart_id")
    return [(x["cart_id"], x["state"], x["email"]) for x in found]


def test_what_was_written_is_computed_from_where_the_last_one_came_to(client: ClickHouse) -> None:
    write(client, "cart-outcomes", outcome(), outcome(number=2))
    rollup = Rollup(client)
    rollup.take({OUTCOMES: 1, PERSONS: 0, ("cart-events", 0): 9})
    rollup.look(0.0)
    assert states(client) == [("c1", "open", "")]
    rollup.wrote(OUTCOMES, 2)
    write(client, "subscriber-carts", match())
    crashed = Rollup(client)  # nothing of the above was computed before the crash
    crashed.take({OUTCOMES: 2, PERSONS: 1})
    crashed.look(0.0)
    assert states(client) == [("c1", "open", "p-ana@example.com"), ("c2", "open", "")]
    assert progress(client) == {OUTCOMES: 2, PERSONS: 1}


def test_a_topic_made_anew_is_computed_from_its_beginning(client: ClickHouse) -> None:
    write(client, "cart-outcomes", outcome(), at=70)
    first = Rollup(client)
    first.take({OUTCOMES: 71})
    first.look(0.0)
    write(client, "cart-outcomes", outcome(number=2))
    again = Rollup(client)
    again.take({OUTCOMES: 1})
    again.look(0.0)
    assert [cart for cart, *_ in states(client)] == ["c1", "c2"]


def test_a_row_that_knows_less_does_not_replace_one_that_knows_more(client: ClickHouse) -> None:
    write(client, "cart-outcomes", outcome(), outcome("recovered", 2))
    Rollup(client).compute(OUTCOMES, 0, 2)
    client.execute(
        """INSERT INTO abandonments_log (abandonment_id, shop_id, cart_id, abandoned_at, state, facts)
        SELECT abandonment_id, shop_id, cart_id, abandoned_at, 'open', facts - 1 FROM abandonments_log"""
    )
    assert states(client) == [("c1", "recovered", "")]


def test_a_message_that_is_heard_of_before_its_person_counts_when_the_person_is(client: ClickHouse) -> None:
    write(client, "cart-outcomes", outcome())
    write(client, "messages", said("sent"))
    Rollup(client).compute(("messages", 0), 0, 1)
    write(client, "subscriber-carts", match())
    Rollup(client).compute(PERSONS, 0, 1)
    assert client.query("SELECT message_status FROM abandonments") == [{"message_status": "sent"}]


def test_what_fails_is_tried_again_and_a_long_look_is_followed_by_a_longer_pause(client: ClickHouse) -> None:
    class Away:
        def __init__(self) -> None:
            self.asked = 0

        def query(self, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
            self.asked += 1
            if self.asked == 1:
                raise SinkUnavailable("away")
            return client.query(statement, parameters)

        def execute(self, statement: str, parameters: Any = None) -> None:
            client.execute(statement, parameters)

    write(client, "cart-outcomes", outcome())
    store = Away()
    rollup = Rollup(store)
    rollup.take({OUTCOMES: 1})
    rollup.look(0.0)
    assert states(client) == []
    asked = store.asked
    rollup.look(LEAST_PAUSE / 2)
    assert store.asked == asked
    rollup.look(1_000_000.0)
    assert states(client) == [("c1", "open", "")]
    assert SHARE >= 1


DAYS = (
    "SELECT day, state, known, carts, toFloat64(d.value) AS value FROM abandonment_days AS d ORDER BY day, state, known"
)


def test_days_are_counted_and_counted_anew_when_something_late_is_said(client: ClickHouse) -> None:
    write(client, "cart-outcomes", outcome(), outcome(number=2), outcome(number=30), outcome(shop_id="other"))
    Rollup(client).compute(OUTCOMES, 0, 4)
    first, second = (date(2026, 11, 23), 3), (date(2026, 11, 24), 1)
    assert [(x["day"], x["carts"]) for x in client.query(DAYS)] == [(first[0], 2), (first[0], 1), second]
    write(client, "cart-outcomes", outcome("recovered", 2), at=4)
    write(client, "subscriber-carts", match())
    for _ in range(2):  # what is repeated changes nothing
        Rollup(client).compute(OUTCOMES, 4, 5)
        Rollup(client).compute(PERSONS, 0, 1)
    days = client.query(DAYS.replace("FROM", ", shop_id FROM", 1))
    assert [(x["day"], x["shop_id"], x["state"], x["known"], x["carts"], x["value"]) for x in days] == [
        (first[0], "main", "open", False, 1, 39.98),
        (first[0], "other", "open", False, 1, 39.98),
        (first[0], "main", "recovered", True, 1, 39.98),
        (second[0], "main", "open", False, 1, 39.98),
    ]


def test_a_day_that_was_counted_with_less_known_does_not_replace_one_with_more(client: ClickHouse) -> None:
    write(client, "cart-outcomes", outcome(), outcome(number=2))
    Rollup(client).compute(OUTCOMES, 0, 2)
    client.execute(
        """INSERT INTO abandonment_days_log (shop_id, day, facts)
        SELECT shop_id, day, facts - 1 FROM abandonment_days_log"""
    )
    assert [x["carts"] for x in client.query(DAYS)] == [2]


def test_days_are_figures_of_the_rows_whatever_happens(client: ClickHouse) -> None:
    draw, records = random.Random(20261126), []
    for number in range(1, 60):
        records.append(
            outcome(number=number, shop_id=draw.choice(("main", "other")), currency=draw.choice(("EUR", "RON")))
        )
        if draw.random() < 0.5:
            end = draw.choice(("recovered", "reactivated", "withdrawn"))
            records.append(outcome(end, 2, number, shop_id=records[-1]["shop_id"]))
    draw.shuffle(records)
    done = 0
    while done < len(records):  # in pieces of any size, some of them twice
        some = records[done : done + draw.randint(1, 20)]
        write(client, "cart-outcomes", *some, at=done)
        for _ in range(draw.randint(1, 2)):
            Rollup(client).compute(OUTCOMES, done, done + len(some))
        done += len(some)
    grouped = """SELECT shop_id, {day} AS day, state, currency, {carts} AS carts, toFloat64(sum(x.value)) AS value
        FROM {table} AS x GROUP BY shop_id, day, state, currency ORDER BY shop_id, day, state, currency"""
    kept = client.query(grouped.format(day="day", carts="sum(carts)", table="abandonment_days"))
    rows_ = client.query(grouped.format(day="toDate32(abandoned_at, 'UTC')", carts="count()", table="abandonments"))
    assert kept == rows_
    assert sum(x["carts"] for x in kept) == 59


@pytest.mark.parametrize("number", [1, 1_200])
def test_many_are_computed_in_pieces(client: ClickHouse, number: int) -> None:
    ids = [{"outcome_id": f"o{n}", "cart_id": f"c{n}", "abandonment_id": f"a{n}"} for n in range(number)]
    write(client, "cart-outcomes", *(outcome(**each) for each in ids))
    rollup = Rollup(client)
    rollup.take({OUTCOMES: number})
    rollup.look(0.0, patience=60.0)
    assert len(states(client)) == number
