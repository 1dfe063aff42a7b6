"""The audit: what adds up passes, and each way in which rows can be wrong is named."""

import itertools
import json
from datetime import date
from typing import Any

import pytest

from cartwake.clock import rfc3339
from cartwake.errors import ConfigurationError
from sinks.audit import Audit, Sum, audit, checks
from sinks.clickhouse import ClickHouse
from tests.sinks.records import HOUR, NOON, Kept, match, message, outcome, put

pytestmark = pytest.mark.stack
ANA, BOB = "p-" + "a" * 24, "p-" + "b" * 24
DAY = 24 * HOUR
MINUTE = 60_000
LEFT = NOON + HOUR  # the abandonment `a1`; its cart was last used two hours before
_offset = itertools.count(1_000_000)


def tell(client: ClickHouse, topic: str, record: dict[str, Any], *, at: int) -> None:
    """A record that arrives `at`."""
    put(client, topic, Kept(json.dumps(record).encode(), at=next(_offset), arrived=at))


def left(client: ClickHouse, number: int = 1, who: str = ANA) -> None:
    tell(client, "cart-outcomes", outcome(number=number), at=NOON + number * HOUR)
    tell(client, "subscriber-carts", match(who, number), at=NOON + number * HOUR)


def say(client: ClickHouse, kind: str, at: int = LEFT, plan: str = "plan1", number: int = 1, **changes: Any) -> None:
    facts = {"subscriber_id": ANA, "occurred_at": rfc3339(at), "message_id": f"{plan}-{kind}-{at}"}
    if kind == "planned":
        facts["due_at"] = rfc3339(at)
    tell(client, "messages", message(kind, plan=plan, number=number, **(facts | changes)), at=at)


def sent(client: ClickHouse, at: int = LEFT, plan: str = "plan1", number: int = 1, **changes: Any) -> None:
    say(client, "planned", at, plan, number, **changes)
    say(client, "sent", at, plan, number, **changes)


def person(client: ClickHouse, kind: str, at: int, *, heard: int | None = None, **changes: Any) -> None:
    facts = {"event_id": f"{kind}-{at}", "type": f"subscriber.{kind}", "shop_id": "main", "subscriber_id": ANA}
    record = facts | {"occurred_at": rfc3339(at)} | changes
    tell(client, "subscriber-events", record, at=at if heard is None else heard)


def rules(client: ClickHouse, at: int = 0, **values: Any) -> None:
    record = {"shop_id": "main", "name": "reminders", "value": values}
    put(client, "settings", Kept(json.dumps(record).encode(), b"main/reminders", at=next(_offset), arrived=at))


def look(client: ClickHouse, now: int = LEFT + DAY, **changes: Any) -> Audit:
    return audit(client, now=now, **({"from_": date(2026, 11, 23), "to": date(2026, 11, 24)} | changes))


def wrong(client: ClickHouse, now: int = LEFT + DAY, **changes: Any) -> list[tuple[str, str]]:
    return [(x.check, x.id) for x in look(client, now, **changes).wrong]


def test_what_adds_up_is_summed_by_end_and_reason(client: ClickHouse) -> None:
    for number in range(1, 8):
        left(client, number)
    tell(client, "cart-outcomes", outcome(number=9), at=NOON)  # nobody's
    sent(client)
    for number, (kind, reason) in enumerate(
        [("suppressed", "no_consent"), ("suppressed", "holdout"), ("suppressed", "holdout"), ("recovered", "bought"),
         ("expired", "quiet_hours"), ("failed", "refused")], 2,
    ):  # fmt: skip
        say(client, "planned", plan=f"plan{number}", number=number)
        say(client, kind, plan=f"plan{number}", number=number, reason=reason)
    say(client, "planned", LEFT + 2 * DAY, "later", step=2)
    say(client, "planned", LEFT, "waits", step=3)
    say(client, "held", LEFT, "waits", step=3, reason="quiet_hours", due_at=rfc3339(LEFT + HOUR))
    for kind in ("opened", "clicked", "bounced", "complained"):
        say(client, kind, LEFT + HOUR)
    found = look(client)
    assert (found.abandonments, found.with_a_person, found.with_a_plan, found.plans) == (8, 7, 7, 9)
    assert found.wrong == ()
    assert [(x.standing, x.reason, x.plans) for x in found.sums] == [
        ("expired", "quiet_hours", 1), ("failed", "refused", 1), ("open", "not due yet", 1),
        ("open", "quiet_hours", 1), ("recovered", "bought", 1), ("sent", "", 1),
        ("suppressed", "holdout", 2), ("suppressed", "no_consent", 1),
    ]  # fmt: skip
    assert look(client, shop="other").sums == ()
    assert look(client, from_=date(2026, 11, 24)).abandonments == 0
    assert look(client, from_=date(2026, 11, 24)).sums == ()


def test_every_check_says_why() -> None:
    assert len(checks()) == 9


def test_an_abandonment_with_a_person_needs_a_plan_for_that_person(client: ClickHouse) -> None:
    left(client)
    assert wrong(client, LEFT + 9 * MINUTE) == []
    assert wrong(client, LEFT + 11 * MINUTE) == [("no_plan", "a1")]
    say(client, "planned", subscriber_id=BOB)
    say(client, "suppressed", subscriber_id=BOB, reason="unmatched")
    assert wrong(client) == [("no_plan", "a1")]
    say(client, "planned", plan="plan2")
    say(client, "suppressed", plan="plan2", reason="no_consent")
    assert wrong(client) == []


def test_an_id_without_a_mailbox_has_seven_days(client: ClickHouse) -> None:
    left(client, who="77")
    assert wrong(client, LEFT + 7 * DAY) == []
    assert wrong(client, LEFT + 7 * DAY + 11 * MINUTE) == [("no_plan", "a1")]


def test_a_plan_that_is_due_needs_an_end(client: ClickHouse) -> None:
    left(client)
    say(client, "planned", due_at=rfc3339(LEFT + HOUR))
    assert wrong(client, LEFT + HOUR + 9 * MINUTE) == []
    assert wrong(client, LEFT + HOUR + 11 * MINUTE) == [("no_end", "plan1")]
    assert look(client, LEFT + HOUR).sums == (Sum(standing="open", reason="not due yet", plans=1),)


def test_an_order_notice_is_no_plan(client: ClickHouse) -> None:
    for number, ends in enumerate((["notice_sent"], ["notice_failed"], [], ["notice_sent", "bounced"])):
        for kind in ("notice_sending", *ends):
            say(client, kind, plan=f"notice{number}", abandonment_id="", cart_id="")
    person(client, "withdrawn", NOON)
    person(client, "purchased", NOON, order_id="o-7")
    found = look(client)
    assert (found.plans, found.wrong) == (0, ())


@pytest.mark.parametrize(("expiry", "until"), [(None, 3 * DAY), ("36h", 36 * HOUR)])
def test_a_plan_that_waits_needs_one_when_it_would_expire(client: ClickHouse, expiry: str | None, until: int) -> None:
    if expiry:
        rules(client, NOON, expiry=expiry)
    rules(client, LEFT + 1, expiry="30d")  # after it was made
    left(client)
    say(client, "planned")
    say(client, "held", reason="orders_silent", due_at=rfc3339(LEFT + 5 * MINUTE))
    assert wrong(client, LEFT + until + 9 * MINUTE) == []
    assert wrong(client, LEFT + until + 11 * MINUTE) == [("no_end", "plan1")]


def test_two_ends_of_a_plan(client: ClickHouse) -> None:
    left(client)
    sent(client)
    say(client, "recovered", LEFT + MINUTE)
    [found] = look(client).wrong
    assert (found.check, found.id, found.shop_id) == ("several_ends", "plan1", "main")
    assert found.words == "ended as recovered and as sent"


def test_a_message_that_was_never_planned(client: ClickHouse) -> None:
    left(client)
    say(client, "planned", plan="plan0")
    say(client, "suppressed", plan="plan0", reason="no_consent")
    say(client, "sent")
    assert wrong(client) == [("not_planned", "plan1")]


def test_a_plan_about_nothing(client: ClickHouse) -> None:
    sent(client)
    assert wrong(client) == [("no_abandonment", "plan1")]
    sent(client, plan="by-hand", abandonment_id=None, request_id="r", subscriber_id=BOB)
    assert wrong(client) == [("no_abandonment", "plan1")]


@pytest.mark.parametrize("second", ["sent", "uncertain"])
def test_a_plan_that_was_sent_twice(client: ClickHouse, second: str) -> None:
    rules(client, cap=2)
    left(client)
    sent(client)
    message_id = f"plan1-sent-{LEFT}"  # the stages derive it, so a second one has the same
    say(client, second, LEFT + HOUR, message_id=message_id if second == "sent" else "u")
    several = [] if second == "sent" else [("several_ends", "plan1")]
    assert wrong(client) == [("sent_twice", "plan1"), *several]


def test_a_record_that_came_twice_is_sent_once(client: ClickHouse) -> None:
    left(client)
    for _ in range(2):
        sent(client)
    assert wrong(client) == []


def test_more_messages_in_24_hours_than_the_cap(client: ClickHouse) -> None:
    rules(client, LEFT + 3 * DAY, cap=2)
    left(client)
    for name, at, more in (
        ("first", 0, {}), ("sms", HOUR, {"channel": "sms"}), ("bob", HOUR, {"subscriber_id": BOB}),
        ("early", DAY - 1, {}), ("next", 2 * DAY - 1, {}), ("two", 4 * DAY, {}), ("three", 4 * DAY + 1, {}),
        ("four", 4 * DAY + 2, {}),
    ):  # fmt: skip
        sent(client, LEFT + at, name, **more)
    found = look(client, LEFT + 9 * DAY, to=date(2026, 11, 30)).wrong
    assert [(x.check, x.id) for x in found] == [("over_the_cap", "early"), ("over_the_cap", "four")]
    assert found[0].words == f"is message 2 to {ANA} by email within 24 hours; the cap is 1"
    assert wrong(client, LEFT + 9 * DAY, from_=date(2026, 11, 25), to=date(2026, 11, 30)) == [("over_the_cap", "four")]


@pytest.mark.parametrize("source", ["order", "cart"])
def test_sent_after_a_purchase_that_was_known(client: ClickHouse, source: str) -> None:
    left(client)
    sent(client)

    def buy(at: int, heard: int, who: str = ANA) -> None:
        if source == "order":
            person(client, "purchased", at, heard=heard, subscriber_id=who, order_id="o-7")
            return
        done = outcome("completed", 2, order_id="o-7")
        record = match(who, 5, type="cart.completed", record_id=f"{at}", occurred_at=rfc3339(at), outcome=done)
        tell(client, "subscriber-carts", record, at=heard)

    last_used = LEFT - 2 * HOUR
    buy(last_used - 1, last_used)  # before the cart
    buy(last_used + 2, LEFT)  # heard of as it was sent
    buy(last_used + 3, LEFT - HOUR, BOB)
    assert wrong(client) == []
    buy(last_used, LEFT - 1_001)
    [found] = look(client).wrong
    assert (found.check, found.id) == ("sent_after_purchase", "plan1")
    assert "order o-7 was known since 2026-11-23 12:59:58.999" in found.words


def test_sent_to_somebody_silenced_before(client: ClickHouse) -> None:
    cases: list[tuple[bool, str, str, dict[str, Any]]] = [
        (True, "withdrawn", "email", {}),
        (True, "withdrawn", "sms", {}),
        (True, "withdrawn", "sms", {"channels": ["sms", "push"]}),
        (False, "withdrawn", "email", {"channels": ["sms"]}),
        (True, "complained", "push", {}),
        (True, "erased", "email", {}),
        (True, "bounced", "email", {"reason": "hard: 5.1.1"}),
        (False, "bounced", "email", {"reason": "Soft: full"}),
        (False, "bounced", "sms", {"channels": ["sms"]}),
        (False, "bounced", "sms", {}),
        (True, "bounced", "push", {"channels": ["sms", "push"]}),
        (False, "withdrawn", "email", {"subscriber_id": BOB}),
        (False, "withdrawn", "email", {"heard": LEFT}),
    ]
    for number, (_, kind, channel, more) in enumerate(cases):
        who = f"p-{number:024x}"
        left(client, number, who)
        person(client, kind, LEFT - HOUR, **({"subscriber_id": who, "event_id": f"e{number}"} | more))
        sent(client, LEFT, f"plan{number:02}", number, subscriber_id=who, channel=channel)
    found = look(client).wrong
    assert {x.check for x in found} == {"sent_to_silenced"}
    assert [x.id for x in found] == [f"plan{number:02}" for number, case in enumerate(cases) if case[0]]
    assert "the person had unsubscribed before" in found[0].words
    assert "the person had complained before" in found[3].words


def test_only_a_later_consent_to_the_channel_lifts_an_unsubscription(client: ClickHouse) -> None:
    cases: list[tuple[bool, int, dict[str, Any]]] = [
        (True, 1, {}),
        (True, 1, {"consent": {"granted": True, "channels": ["sms", "email"]}}),
        (True, 1, {"consent": True}),
        (True, 1, {"consent": {"basis": "form"}}),
        (False, 1, {"consent": False}),
        (False, 1, {"consent": {"granted": False}}),
        (False, 1, {"consent": {"granted": True, "channels": ["sms"]}}),
        (False, 1, {"channels": ["sms"]}),
        (False, 0, {}),
        (False, -1, {}),
        (False, 1, {"heard": LEFT + 2_000}),
    ]
    for number, (_, at, more) in enumerate(cases):
        who = f"p-{number:024x}"
        left(client, number, who)
        person(client, "withdrawn", LEFT - HOUR, subscriber_id=who, event_id=f"no{number}")
        person(client, "consented", LEFT - HOUR + at, **({"subscriber_id": who, "event_id": f"yes{number}"} | more))
        sent(client, LEFT, f"plan{number:02}", number, subscriber_id=who)
    wanted = [("sent_to_silenced", f"plan{number:02}") for number, case in enumerate(cases) if not case[0]]
    assert wrong(client) == wanted


def test_days_in_the_wrong_order_are_refused(client: ClickHouse) -> None:
    with pytest.raises(ConfigurationError, match="--to 2026-11-22 is before --from 2026-11-23"):
        look(client, to=date(2026, 11, 22))
