"""Which messages an abandonment leads to, by the shop's rules."""

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from cartwake.rules import ReminderRules
from reminders.person import Cart, Line, Person
from reminders.planning import Left, plan
from tests.reminders.world import DAY, HOUR, T0

KEY = ("main", "p-" + "a" * 24)
SHIRT = Line(sku="A1", name="Blue shirt", quantity=2, price=Decimal("19.99"), category="shirts")


def rules(**values: Any) -> ReminderRules:
    return msgspec.convert({"steps": [{}]} | values, ReminderRules)


def left(**changes: Any) -> Left:
    values: dict[str, Any] = {
        "revision": 1, "touched_at": T0, "last_activity": T0 - 2 * HOUR, "abandonment_id": "ab-1", "abandoned_at": T0,
        "stage": "shipping", "currency": "EUR", "value": "39.98", "units": 2, "lines": (SHIRT,),
    }  # fmt: skip
    return Left(KEY, "c-1", Cart(**(values | changes)))


def reasons(event: Left, *, person: Person | None = None, **values: Any) -> list[str | None]:
    decisions = plan(person or Person(), event, now=T0, rules=rules(**values))
    return [decision.stop.reason if decision.stop else None for decision in decisions]


# -- steps ---------------------------------------------------------------------------------------------------
def test_each_step_is_a_plan_of_its_own_at_its_time_and_by_its_channel() -> None:
    steps = [{"after": "1h"}, {"after": "1d", "channel": "sms"}, {"after": "3d", "channel": "push"}]
    decisions = plan(Person(), left(), now=T0, rules=rules(steps=steps, expiry="2d"))
    assert [(d.plan.step, d.plan.channel, d.plan.due_at - T0) for d in decisions] == [
        (1, "email", HOUR), (2, "sms", DAY), (3, "push", 3 * DAY),
    ]  # fmt: skip
    assert [d.plan.expires_at - d.plan.due_at for d in decisions] == [2 * DAY] * 3
    assert len({d.plan.plan_id for d in decisions}) == 3
    assert decisions[1].words == "Step 2 of 3: sms, 1d after the cart was left."


def test_the_same_abandonment_is_planned_the_same_again() -> None:
    assert plan(Person(), left(), now=T0, rules=rules()) == plan(Person(), left(), now=T0, rules=rules())


@pytest.mark.parametrize(
    ("stage", "template"),
    [
        (None, "cart"), ("cart", "cart"), ("contact", "cart"), ("address", "cart"),
        ("shipping", "shipping"), ("payment", "payment"), ("review", "payment"),
    ],
)  # fmt: skip
def test_the_template_is_chosen_by_the_step_the_cart_was_left_at(stage: str | None, template: str) -> None:
    (decision,) = plan(Person(), left(stage=stage), now=T0, rules=rules())
    assert decision.plan.template == template
    (named,) = plan(Person(), left(stage=stage), now=T0, rules=rules(steps=[{"template": "summer"}]))
    assert named.plan.template == "summer"


# -- nobody is written to --------------------------------------------------------------------------------------
def test_a_shop_without_rules_writes_to_nobody_and_says_so() -> None:
    (decision,) = plan(Person(), left(), now=T0, rules=ReminderRules())
    assert decision.stop is not None
    assert (decision.stop.reason, decision.stop.words) == (
        "no_rules", "The shop has no rules for reminders, so nobody is written to.",
    )  # fmt: skip


def test_reminders_that_are_switched_off_are_planned_and_suppressed() -> None:
    assert reasons(left(), enabled=False, steps=[{}, {"after": "1d"}]) == ["disabled", "disabled"]


@pytest.mark.parametrize(("since", "reason"), [(T0 - 1, None), (T0, None), (T0 + 1, "before_rules")])
def test_carts_left_before_reminders_were_switched_on_are_not_written_to(since: int, reason: str | None) -> None:
    assert reasons(left(), enabled_at=since) == [reason]


def test_the_holdout_has_its_share_and_is_the_same_for_all_steps_of_an_episode() -> None:
    steps = [{}, {"after": "1d"}]
    found = [reasons(left(abandonment_id=f"ab-{n}"), steps=steps, holdout=20) for n in range(2_000)]
    assert all(first == second for first, second in found)
    assert 340 <= sum(first == "holdout" for first, _ in found) <= 460
    assert not any(first == "holdout" for first, _ in (reasons(left(), steps=steps, holdout=0) for _ in range(3)))


# -- conditions ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("only", "fits"),
    [
        ({"value_from": "39.98"}, True), ({"value_from": "39.99"}, False),
        ({"value_to": "39.98"}, True), ({"value_to": "39.97"}, False),
        ({"items_from": 2}, True), ({"items_from": 3}, False), ({"items_to": 1}, False), ({"items_to": 2}, True),
        ({"currencies": ["EUR", "RON"]}, True), ({"currencies": ["RON"]}, False),
        ({"stages": ["shipping"]}, True), ({"stages": ["cart", "payment"]}, False),
        ({"categories": ["shirts"]}, True), ({"categories": ["shoes"]}, False),
        ({"skus": ["B2", "A1"]}, True), ({"skus": ["B2"]}, False),
        ({"value_from": "10", "skus": ["B2"]}, False),
    ],
)  # fmt: skip
def test_all_conditions_of_a_step_must_hold(only: dict[str, Any], fits: bool) -> None:
    assert reasons(left(), steps=[{"only": only}]) == [None if fits else "conditions"]


@pytest.mark.parametrize(
    ("bought", "shoppers", "fits"),
    [
        (-1, "new", True), (-1, "returning", False), (T0 - DAY, "new", False), (T0 - DAY, "returning", True),
        (T0, "new", True), (T0 - DAY, "all", True),
    ],
)  # fmt: skip
def test_new_and_returning_shoppers_are_told_apart_by_purchases_before(bought: int, shoppers: str, fits: bool) -> None:
    person = Person(first_bought_at=bought, bought_at=bought)
    assert reasons(left(), person=person, steps=[{"only": {"shoppers": shoppers}}]) == [None if fits else "conditions"]


def test_a_cart_without_value_currency_or_items_meets_only_what_asks_for_nothing() -> None:
    bare = left(value=None, currency=None, lines=(), units=0)
    assert reasons(bare, steps=[{}, {"only": {"value_from": "1"}}, {"only": {"currencies": ["EUR"]}}]) == [
        None, "conditions", "conditions",
    ]  # fmt: skip


# -- variants --------------------------------------------------------------------------------------------------
def test_variants_get_their_shares_and_an_episode_keeps_its_own() -> None:
    variants = [{"name": "a", "share": 30, "template": "short"}, {"name": "b", "share": 70, "template": "long"}]
    drawn: Counter[tuple[str | None, str]] = Counter()
    for n in range(2_000):
        event = left(abandonment_id=f"ab-{n}")
        first, again = (plan(Person(), event, now=T0, rules=rules(steps=[{"variants": variants}])) for _ in range(2))
        assert first == again
        drawn[first[0].plan.variant, first[0].plan.template] += 1
    assert set(drawn) == {("a", "short"), ("b", "long")}
    assert 540 <= drawn["a", "short"] <= 660
