"""When a checkout has fallen: the test of chance, what is normal, and who is too small to be judged."""

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cartwake.clock import to_ms
from cartwake.flow import BOUGHT, DEMANDS, ORDERS, Look, binomial_at_most, days_before, poisson_at_most, wilson

NORMAL = DEMANDS["normal"]
WEEKS = ((60, 45), (70, 50), (64, 48), (58, 44), (61, 46), (66, 47))


def look(of: int, passed: int, past: tuple[tuple[int, int], ...] = WEEKS, signal: str = "payment") -> Look:
    return Look(signal, 0, 300_000, 180_000, (of, passed), past)


def test_chances_are_those_of_many_tries() -> None:
    chance = random.Random(1)
    tries = [sum(chance.random() < 0.7 for _ in range(20)) for _ in range(40_000)]
    for passed in (9, 11, 13):
        assert binomial_at_most(passed, 20, 0.7) == pytest.approx(sum(x <= passed for x in tries) / 40_000, abs=0.01)
    assert binomial_at_most(0, 10, 0.7) == pytest.approx(0.3**10)
    assert binomial_at_most(10, 10, 0.7) == 1.0
    assert binomial_at_most(3, 10, 0.0) == 1.0
    assert binomial_at_most(3, 10, 1.0) == 0.0
    assert 0 < binomial_at_most(60_000, 100_000, 0.61) < 1e-9
    assert poisson_at_most(0, 16) == pytest.approx(1.125e-7, rel=0.01)
    assert poisson_at_most(16, 16) == 1.0
    assert wilson(0, 50) < 0.01
    assert 0.6 < wilson(700, 1000) < 0.7


@pytest.mark.parametrize(
    ("of", "passed", "fell"),
    [
        (14, 0, False),  # a third to the 14th is not unlikely enough
        (15, 0, True),
        (60, 10, True),
        (60, 42, False),  # as usual
        (10_000, 6_500, False),  # not by chance, but not much either
        (10_000, 4_800, True),
        (10_000, 5_010, False),  # a third less than usual, and no more, is asked for
        (0, 0, False),
    ],
)
def test_a_step_has_fallen_when_it_is_far_below_normal_and_not_by_chance(of: int, passed: int, fell: bool) -> None:
    assert look(of, passed).fell(NORMAL) is fell


def test_how_closely_a_shop_is_watched_is_its_own_choice() -> None:
    fallen = {name: look(11, 0).fell(demand) for name, demand in DEMANDS.items()}
    assert fallen == {"low": False, "normal": False, "high": True}
    fallen = {name: look(400, 220).fell(demand) for name, demand in DEMANDS.items()}
    assert fallen == {"low": False, "normal": False, "high": True}


def test_a_shop_whose_weeks_differ_much_needs_more() -> None:
    uneven = ((60, 55), (70, 20), (64, 50), (58, 15), (61, 46), (66, 25))
    assert look(60, 10).fell(NORMAL)
    assert not look(60, 10, uneven).fell(NORMAL)


def test_one_broken_week_of_the_past_changes_nothing() -> None:
    assert look(25, 0, ((60, 0), *WEEKS[1:])).fell(NORMAL)


@pytest.mark.parametrize("past", [(), WEEKS[:2], ((10, 8), (11, 9), (12, 9)), ((60, 0), (60, 0), (60, 0))])
def test_without_enough_to_compare_with_nothing_is_said(past: tuple[tuple[int, int], ...]) -> None:
    assert not look(1000, 0, past).fell(NORMAL)
    assert not look(1000, 0, past, BOUGHT).fell(NORMAL)


@pytest.mark.parametrize(
    ("orders", "past", "fell"),
    [
        (0, (20, 25, 30), True),
        (2, (20, 25, 30), False),  # a tenth of the least
        (0, (16, 25, 30), False),
        (0, (20, 25), False),
        (0, (20, 25, 3), False),
        (3, (40, 45, 50), True),
        (100, (20, 25, 30), False),
    ],
)
def test_orders_have_stopped_when_each_week_had_many(orders: int, past: tuple[int, ...], fell: bool) -> None:
    assert look(orders, orders, tuple((n, n) for n in past), ORDERS).fell(NORMAL) is fell


def test_the_same_hour_is_the_same_by_the_clock_of_the_shop() -> None:
    at = to_ms(datetime(2026, 10, 26, 9, 0, tzinfo=UTC))  # 10:00 in Berlin, the day after summer time
    assert days_before(at, 7, ZoneInfo("Europe/Berlin")) == to_ms(datetime(2026, 10, 19, 8, 0, tzinfo=UTC))
    assert days_before(at, 7, UTC) == to_ms(datetime(2026, 10, 19, 9, 0, tzinfo=UTC))
