"""The view `abandonments`: right under repeats and in any order of arrival."""

import json
import random
from decimal import Decimal
from typing import Any

import pytest

from sinks.carts import CartRow
from sinks.clickhouse import ClickHouse
from tests.sinks.records import Kept, match, message, outcome, put

pytestmark = pytest.mark.stack


def row(client: ClickHouse, abandonment_id: str = "a1") -> CartRow:
    [found] = client.query("SELECT * FROM abandonments WHERE abandonment_id = {a:String}", {"a": abandonment_id})
    return CartRow(**found)


def scatter(client: ClickHouse, seed: int, **topics: list[dict[str, Any]]) -> None:
    """Every record twice, in the order of its topic by offset, one insert each in some other order."""
    kept = [
        (name.replace("_", "-"), Kept(json.dumps(x).encode(), at=offset))
        for name, records in topics.items()
        for offset, x in enumerate(records)
    ]
    shuffled = kept * 2
    random.Random(seed).shuffle(shuffled)
    for name, record in shuffled:
        put(client, name, record)


def test_abandoned_cart_is_open_and_nobody_s(client: ClickHouse) -> None:
    put(client, "cart-outcomes", outcome())
    found = row(client)
    assert (found.state, found.email, found.subscriber_id, found.message_status) == ("open", "", "", "")
    assert (found.value, found.units, found.stage) == (Decimal("39.98"), 2, "payment")
    assert found.message_at is None


@pytest.mark.parametrize("seed", range(3))
def test_latest_outcome_by_revision_wins(client: ClickHouse, seed: int) -> None:
    done = [
        outcome(revision=1),
        outcome("reactivated", 2),
        outcome("completed", 3, order_id="77"),
        outcome("recovered", 4, order_id="77"),
        outcome(revision=1, number=2),
        outcome("reactivated", 2, number=2),
        outcome(revision=1, number=3),
        outcome("withdrawn", 2, number=3, reason="late_order"),
    ]
    scatter(client, seed, cart_outcomes=done)
    assert (row(client).state, row(client).order_id) == ("recovered", "77")
    assert row(client, "a2").state == "reactivated"
    assert row(client, "a3").state == "withdrawn"
    assert len(client.query("SELECT 1 FROM abandonments")) == 3


def test_later_word_on_the_same_abandonment_replaces_it(client: ClickHouse) -> None:
    scatter(client, 1, cart_outcomes=[outcome(), outcome("withdrawn", 2), outcome(revision=3, value="5.00")])
    assert (row(client).state, row(client).value) == ("open", Decimal(5))


def unmatch(subscriber: str, cause: str = "u", **changes: Any) -> dict[str, Any]:
    return match(subscriber, type="cart.unmatched", record_id=f"{cause}-{subscriber}", **changes)


@pytest.mark.parametrize("seed", range(3))
def test_unmatched_takes_that_person_away_from_every_episode(client: ClickHouse, seed: int) -> None:
    second = outcome(revision=3, abandonment_id="a1b", episode=2)
    matched = [match(), match(record_id="second", outcome=second), unmatch("p-ana", outcome=second)]
    scatter(client, seed, cart_outcomes=[outcome(), second], subscriber_carts=matched)
    for name in ("a1", "a1b"):
        found = row(client, name)
        assert (found.subscriber_id, found.email, found.evidence_words) == ("", "", "")


@pytest.mark.parametrize("seed", range(3))
def test_match_after_an_unmatch_holds_though_it_has_the_same_id(client: ClickHouse, seed: int) -> None:
    matched = [match(), unmatch("p-ana"), match(evidence={"how": "link", "words": "again"})]
    scatter(client, seed, cart_outcomes=[outcome()], subscriber_carts=matched)
    assert (row(client).subscriber_id, row(client).evidence_words) == ("p-ana", "again")
    client.command(f"SYSTEM START MERGES {client.database}.subscriber_carts_log")
    client.command(f"OPTIMIZE TABLE {client.database}.subscriber_carts_log FINAL")
    assert row(client).evidence_words == "again"


@pytest.mark.parametrize("seed", range(3))
def test_newest_person_wins_and_another_s_unmatch_does_not_touch_him(client: ClickHouse, seed: int) -> None:
    matched = [match("p-ana"), match("p-bob"), unmatch("p-ana")]
    scatter(client, seed, cart_outcomes=[outcome()], subscriber_carts=matched)
    assert (row(client).subscriber_id, row(client).evidence_words) == ("p-bob", "p-bob logged in")


@pytest.mark.parametrize("seed", range(3))
def test_forwarded_record_supersedes_the_alias(client: ClickHouse, seed: int) -> None:
    matched = [match("p-ana", forwarded_from="42"), match("42", email="")]
    scatter(client, seed, cart_outcomes=[outcome()], subscriber_carts=matched)
    assert row(client).subscriber_id == "p-ana"


@pytest.mark.parametrize("seed", range(3))
def test_unmatch_under_the_alias_takes_the_forwarded_one_away(client: ClickHouse, seed: int) -> None:
    matched = [match("42"), unmatch("42"), match("p-ana", forwarded_from="42"), unmatch("p-ana", forwarded_from="42")]
    for count in (3, 4):
        scatter(client, seed, cart_outcomes=[outcome()], subscriber_carts=matched[:count])
        assert row(client).subscriber_id == ""


def test_the_cart_s_own_address_wins_over_the_person_s(client: ClickHouse) -> None:
    put(client, "cart-outcomes", outcome(email="typed@example.com", customer_id="7"))
    put(client, "subscriber-carts", match(customer_id="8"))
    assert (row(client).email, row(client).customer_id) == ("typed@example.com", "7")
    put(client, "cart-outcomes", outcome(number=2))
    put(client, "subscriber-carts", match(number=2, customer_id="8"))
    assert (row(client, "a2").email, row(client, "a2").customer_id) == ("p-ana@example.com", "8")


@pytest.mark.parametrize("seed", range(3))
def test_last_status_wins_and_an_end_is_not_undone_by_a_clock(client: ClickHouse, seed: int) -> None:
    steps = [
        message("planned", 1),
        message("sending", 9),
        message("sent", 8, to="ana@example.com", subject="S", text="T", html="H"),
        message("opened", 20),
        message("clicked", 22),
        message("clicked", 21),
    ]
    scatter(client, seed, cart_outcomes=[outcome()], messages=steps)
    assert (row(client).message_status, row(client).plan_id) == ("sent", "plan1")
    [mail] = client.query("SELECT * FROM sent_messages")
    assert (mail["status"], mail["to"], mail["subject"], mail["text"], mail["html"]) == (
        "sent", "ana@example.com", "S", "T", "H",
    )  # fmt: skip
    assert mail["clicked_at"].minute == 21
    assert mail["bounced_at"] is None


@pytest.mark.parametrize("seed", range(3))
def test_newest_plan_speaks_for_the_abandonment(client: ClickHouse, seed: int) -> None:
    steps = [
        message("planned", 1),
        message("suppressed", 5, reason="quiet_hours", words="It was night."),
        message("planned", 30, plan="plan0"),
        message("failed", 40, plan="plan0", reason="550", words="Refused."),
    ]
    scatter(client, seed, cart_outcomes=[outcome()], messages=steps)
    found = row(client)
    assert (found.message_status, found.message_reason, found.message_words) == ("failed", "550", "Refused.")
    assert found.plan_id == "plan0"


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_that_waits_has_not_ended_and_what_people_do_is_no_status(client: ClickHouse, seed: int) -> None:
    steps = [message("planned", 1), message("held", 5, reason="quiet_hours", words="It is night.")]
    scatter(client, seed, cart_outcomes=[outcome()], subscriber_carts=[match()], messages=steps)
    assert (row(client).message_status, row(client).message_reason) == ("held", "quiet_hours")
    ended = [message("sent", 4), message("complained", 30), message("bounced", 31), message("opened", 32)]
    scatter(client, seed, messages=ended)
    assert (row(client).message_status, row(client).message_reason) == ("sent", "")
    [mail] = client.query("SELECT * FROM sent_messages")
    assert (mail["status"], mail["complained_at"].minute, mail["bounced_at"].minute) == ("sent", 30, 31)


@pytest.mark.parametrize("seed", range(3))
def test_of_several_steps_the_last_that_was_sent_speaks_for_the_one_row(client: ClickHouse, seed: int) -> None:
    steps = [
        *(message("planned", 1, plan=f"plan{step}", step=step) for step in (1, 2, 3)),
        message("sent", 2, plan="plan1", step=1),
        message("sent", 50, plan="plan2", step=2, channel="sms", variant="b", template="short"),
        message("suppressed", 55, plan="plan3", step=3, reason="conditions"),
    ]
    scatter(client, seed, cart_outcomes=[outcome()], messages=steps)
    assert len(client.query("SELECT 1 FROM abandonments")) == 1
    assert (row(client).message_status, row(client).plan_id) == ("sent", "plan2")
    found = {x["plan_id"]: x for x in client.query("SELECT * FROM sent_messages")}
    assert [found[f"plan{x}"]["step"] for x in (1, 2, 3)] == [1, 2, 3]
    second = found["plan2"]
    assert (second["channel"], second["variant"], second["template"]) == ("sms", "b", "short")


def test_machines_open_and_click_apart_from_people(client: ClickHouse) -> None:
    put(client, "messages", message("sent", 1, channel="sms"), message("opened", 2, machine=True))
    put(client, "messages", message("clicked", 3, machine=True), message("clicked", 9), message("opened", 8))
    [mail] = client.query("SELECT * FROM sent_messages")
    minutes = [mail[x].minute for x in ("machine_opened_at", "machine_clicked_at", "opened_at", "clicked_at")]
    assert (minutes, mail["channel"]) == ([2, 3, 8, 9], "sms")


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_is_one_row_with_every_ending_that_was_said(client: ClickHouse, seed: int) -> None:
    steps = [
        message("planned", 1, due_at="2026-11-23T13:00:00Z", step=2),
        message("held", 60, reason="quiet_hours", due_at="2026-11-24T08:00:00Z"),
        message("sent", 90),
        message("clicked", 95),
        message("planned", 1, plan="two"),
        message("expired", 9, plan="two"),
        message("sent", 8, plan="two"),
    ]
    scatter(client, seed, messages=steps)
    found = {x["plan_id"]: x for x in client.query("SELECT * FROM plans")}
    plan = found["plan1"]
    assert (plan["ending"], plan["endings"], plan["departures"], plan["held"]) == ("sent", ["sent"], 1, "quiet_hours")
    assert (plan["due_at"].hour, plan["step"], plan["left_at"]) == (13, 2, plan["ended_at"])
    assert found["two"]["endings"] == ["expired", "sent"]


def test_filters_reach_the_tables(client: ClickHouse) -> None:
    for number in range(1, 4):
        put(client, "cart-outcomes", outcome(number=number, shop_id=f"shop{number}"))
        put(client, "subscriber-carts", match(number=number, shop_id=f"shop{number}"))
        put(client, "messages", message("sent", number=number, shop_id=f"shop{number}"))
    statement = """EXPLAIN indexes = 1 SELECT * FROM abandonments
        WHERE shop_id = 'shop1' AND cart_id = 'c1' AND abandoned_at > '2026-01-01 00:00:00'"""
    plan = "\n".join(x["explain"] for x in client.query(statement))
    assert plan.count("(shop_id in ['shop1', 'shop1'])") == 1, plan
    assert "abandoned_at in " in plan, plan
