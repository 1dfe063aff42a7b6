"""Alarms on weeks of checkouts with a daily rhythm: what breaks is found in minutes, said once, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from bench.checkouts import DAY, HOUR, MINUTE, MONDAY, WEEK, Memory, World
from cartwake.alarms import LONGEST_PAUSE_MS, Alarm, AlarmRules, Alarms, decide, mailed, to_mail
from cartwake.clock import rfc3339
from cartwake.flow import Watcher
from cartwake.model import Alert, Jump

IDLE = 2 * HOUR
BREAK = MONDAY + 3 * WEEK + 2 * DAY + 18 * HOUR  # a Wednesday, 18:00
RULES = AlarmRules(admins=("ana@example.com",))
Said = list[tuple[int, Alert]]


def watch(
    memory: Memory, begin: int, end: int, *, every: int = 1, alarms: Alarms | None = None, rules: AlarmRules = RULES
) -> Said:
    """What is said when the shop is looked at every so many minutes."""
    watcher, alarms, said = Watcher(memory), alarms or Alarms(), []
    for now in range(begin, end, every * MINUTE):
        looks = watcher.looks("main", now=now, where=UTC, idle=IDLE)
        alert = decide(alarms.last("main"), looks, rules, shop_id="main", now=now, idle=IDLE)
        if alert is not None:
            said.append((now, alert))
            alarms.apply(alert, now)
    return said


def broken(step: str, begin: int, end: int, left: float = 0.0) -> Callable[[int, str], float]:
    """Of those who are at `step` from `begin` to `end` only so many go on."""
    return lambda at, where: left if where == step and begin <= at < end else 1.0


@pytest.fixture(scope="module")
def an_hour_without_payment() -> Memory:
    return World(500, 3.6, go_on=broken("payment", BREAK, BREAK + HOUR)).memory()


def test_a_broken_payment_is_found_within_ten_minutes_and_said_once_with_its_end(
    an_hour_without_payment: Memory,
) -> None:
    (at, opened), (until, closed) = watch(an_hour_without_payment, BREAK - DAY, BREAK + DAY)
    assert BREAK < at <= BREAK + 10 * MINUTE
    assert (opened.type, opened.signal, opened.number) == ("alert.opened", "payment", 1)
    assert "who reached the step payment" in (opened.words or "")
    assert (closed.type, closed.alert_id, closed.reason) == ("alert.closed", opened.alert_id, "back")
    assert BREAK + HOUR < until <= BREAK + HOUR + 25 * MINUTE
    # two hours later the carts of that hour are left: they are no second alarm


def test_a_restart_in_between_says_nothing_twice(an_hour_without_payment: Memory) -> None:
    once = watch(an_hour_without_payment, BREAK - HOUR, BREAK + 4 * HOUR)
    alarms, said = Alarms(), []
    for begin in range(BREAK - HOUR, BREAK + 4 * HOUR, 7 * MINUTE):  # a new process each time
        said += watch(an_hour_without_payment, begin, begin + 7 * MINUTE, alarms=alarms)
    assert said == once
    # the process died before it knew that it had said it: the same again a minute later is the same record
    (at, opened), *_ = once
    again = watch(an_hour_without_payment, at + MINUTE, at + 2 * MINUTE)
    assert [alert.record_id for _, alert in again] == [opened.record_id]
    told = Alarms()
    for when, alert in (*once[:1], *again, *once[1:], *once):
        told.apply(alert, when)
    assert [(alarm.opened_at, alarm.open) for alarm in told] == [(at, False)]


def test_half_of_the_payments_failing_is_found_too() -> None:
    carts = World(600, 3.5, go_on=broken("payment", BREAK, BREAK + 3 * HOUR, 0.4)).memory()
    (at, opened), (until, _) = watch(carts, BREAK - 2 * HOUR, BREAK + 5 * HOUR)
    assert BREAK < at <= BREAK + 30 * MINUTE
    assert opened.signal == "payment"
    assert BREAK + 3 * HOUR < until <= BREAK + 3 * HOUR + 25 * MINUTE


def test_a_checkout_that_does_not_open_is_found_by_its_missing_orders() -> None:
    carts = World(300, 3.5, more=lambda at: 0.0 if BREAK <= at < BREAK + HOUR else 1.0).memory()
    (at, opened), (_, closed) = watch(carts, BREAK - HOUR, BREAK + 4 * HOUR)
    assert BREAK < at <= BREAK + 25 * MINUTE
    assert (opened.signal, closed.reason) == ("orders", "back")


def test_a_flash_sale_is_no_alarm_neither_when_it_begins_nor_when_it_ends() -> None:
    sale = World(100, 3.6, more=lambda at: 10.0 if BREAK <= at < BREAK + HOUR else 1.0, most=10.0).memory()
    assert watch(sale, BREAK - HOUR, BREAK + DAY) == []


def test_a_quiet_night_is_no_alarm() -> None:
    night = MONDAY + 3 * WEEK + 2 * DAY + 2 * HOUR  # in which some eight orders are usual
    quiet = World(30, 3.4, more=lambda at: 0.0 if night <= at < night + 4 * HOUR else 1.0).memory()
    assert watch(quiet, night - HOUR, night + 8 * HOUR) == []


def test_nothing_is_said_of_a_shop_that_is_new_and_after_a_few_days_it_is_watched() -> None:
    first = MONDAY + DAY + 18 * HOUR
    assert watch(World(300, 0.5, go_on=broken("payment", first, first + HOUR)).memory(), first, first + 2 * HOUR) == []
    later = MONDAY + 5 * DAY + 18 * HOUR
    said = watch(World(300, 1, go_on=broken("payment", later, later + HOUR)).memory(), later - HOUR, later + 2 * HOUR)
    assert [alert.signal for _, alert in said] == ["payment", "payment"]


def test_events_that_come_late_put_the_look_off_and_make_no_alarm(an_hour_without_payment: Memory) -> None:
    late = replace(an_hour_without_payment, late=10 * MINUTE)
    (at, _), *_ = watch(late, BREAK - HOUR, BREAK + 2 * HOUR)
    assert BREAK + 10 * MINUTE < at <= BREAK + 20 * MINUTE
    assert watch(replace(late, late=2 * HOUR), BREAK - HOUR, BREAK + 2 * HOUR) == []


def test_ordinary_weeks_of_a_slow_and_of_an_uneven_shop_have_no_alarm() -> None:
    # a hundred weeks of several shops: `python -m bench alarms`, docs/alarms.md
    slow = World(4, 12, seed=7, week_to_week=0.2).memory()
    assert watch(slow, MONDAY + 3 * WEEK, MONDAY + 12 * WEEK, every=10) == []
    uneven = World(60, 6, seed=8, week_to_week=0.2).memory()
    assert watch(uneven, MONDAY + 3 * WEEK, MONDAY + 6 * WEEK, every=10) == []


def test_switching_alarms_off_ends_the_one_that_is_open(an_hour_without_payment: Memory) -> None:
    off = AlarmRules(enabled=False)
    assert watch(an_hour_without_payment, BREAK, BREAK + HOUR, rules=off) == []
    alarms = Alarms()
    watch(an_hour_without_payment, BREAK, BREAK + 20 * MINUTE, alarms=alarms)
    ((_, closed),) = watch(an_hour_without_payment, BREAK + 20 * MINUTE, BREAK + HOUR, alarms=alarms, rules=off)
    assert closed.reason == "disabled"


def test_an_alarm_that_nothing_is_heard_of_ends_after_a_day() -> None:
    alarms = Alarms()
    alarms.apply(opened(), BREAK)
    last = alarms.last("main")
    for at, reason in ((BREAK + DAY - 1, None), (BREAK + DAY, "no_data")):
        alert = decide(last, [], RULES, shop_id="main", now=at, idle=IDLE)
        assert (alert.reason if alert else None) == reason


# -- what is folded from the topic ---------------------------------------------------------------------------------
def opened(number: int = 1, **changes: Any) -> Alert:
    jump = Jump(signal="payment", minutes=5, of=20, passed=0, share=0.0, usual=0.75)
    facts: dict[str, Any] = {
        "record_id": f"r{number}", "type": "alert.opened", "alert_id": f"a{number}", "shop_id": "main",
        "number": number, "occurred_at": rfc3339(BREAK), "signal": "payment", "jumps": (jump,), "words": "It fell.",
    }  # fmt: skip
    return Alert(**(facts | changes))


def over(number: int = 1) -> Alert:
    return opened(number, record_id=f"c{number}", type="alert.closed", jumps=())


def told(alarms: Alarms, now: int, rules: AlarmRules = RULES) -> list[tuple[str, str]]:
    return [(alert.type, to) for alarm in alarms for alert, to in to_mail(alarm, rules, now)]


def test_reminders_wait_while_an_alarm_is_open_and_a_day_at_most() -> None:
    alarms = Alarms()
    assert not alarms.pauses("main", BREAK)
    alarms.apply(opened(), BREAK)
    assert alarms.pauses("main", BREAK + LONGEST_PAUSE_MS - 1)
    assert not alarms.pauses("main", BREAK + LONGEST_PAUSE_MS)
    assert not alarms.pauses("other", BREAK)
    alarms.apply(over(), BREAK + HOUR)
    assert not alarms.pauses("main", BREAK + HOUR)
    alarms.apply(opened(2), BREAK + 2 * HOUR)
    assert alarms.pauses("main", BREAK + 2 * HOUR)


def test_each_admin_is_told_once_of_the_beginning_and_once_of_the_end() -> None:
    alarms = Alarms()
    alarms.apply(opened(), BREAK)
    assert told(alarms, BREAK) == [("alert.opened", "ana@example.com")]
    record = mailed(opened(), "ana@example.com", sent=True, words="250 ok", now=BREAK)
    alarms.apply(record, BREAK)
    assert record == mailed(opened(), "ana@example.com", sent=True, words="250 ok", now=BREAK)
    assert told(alarms, BREAK) == []
    both = AlarmRules(admins=("ana@example.com", "bob@example.com"))
    assert told(alarms, BREAK, both) == [("alert.opened", "bob@example.com")]
    alarms.apply(over(), BREAK + HOUR)
    assert told(alarms, BREAK + HOUR, both) == [("alert.closed", "ana@example.com")]  # bob never heard of it
    assert told(alarms, BREAK + 3 * DAY, both) == []
    assert told(alarms, BREAK, AlarmRules()) == []


def test_an_end_without_a_beginning_and_one_that_comes_twice_change_nothing() -> None:
    alarms = Alarms()
    alarms.apply(over(), BREAK)
    assert alarms.last("main") is None
    alarms.apply(opened(), BREAK)
    alarms.apply(over(), BREAK + HOUR)
    alarms.apply(over(), BREAK + 2 * HOUR)
    alarms.apply(opened(), BREAK + 3 * HOUR)
    alarm = alarms.last("main")
    assert isinstance(alarm, Alarm)
    assert (alarm.opened_at, alarm.closed_at) == (BREAK, BREAK + HOUR)
