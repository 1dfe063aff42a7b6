"""Who will be written to of the carts that were chosen, and why the others will not."""

from datetime import timedelta

import pytest

from console.forecast import Chosen, foresee, people
from sinks.carts import CartRow, Standing
from tests.console.memory import NOON, nobody, row


def foreseen(*rows: CartRow, **standing: object) -> list[Chosen]:
    """The forecast for these carts; `standing` is Ana's."""
    ana = Standing(shop_id="main", subscriber_id="p-ana", **standing)  # type: ignore[arg-type]
    by_id = {x.abandonment_id: x for x in rows}
    return list(foresee(list(by_id), by_id, {("main", "p-ana"): ana} if standing else {}))


def other(number: int, **changes: object) -> CartRow:
    return row(number, email="bo@example.com", subscriber_id="p-bo", **changes)


def test_each_person_of_whom_nothing_is_known_is_written_to() -> None:
    assert [x.against for x in foreseen(row(1), other(2))] == ["", ""]


@pytest.mark.parametrize(
    ("cart", "against", "words"),
    [
        (nobody(), "nobody", "Nobody is known"),
        (row(state="recovered"), "bought", "bought already"),
        (row(state="reactivated"), "returned", "came back"),
        (row(state="withdrawn"), "withdrawn", "had not been left"),
    ],
)
def test_what_is_known_of_the_cart_stands_against_it(cart: CartRow, against: str, words: str) -> None:
    [one] = foreseen(cart)

    assert (one.row, one.against) == (cart, against)
    assert words in one.why


@pytest.mark.parametrize("reason", ["no_consent", "unsubscribed", "bounced", "complained", "erased", "blocked"])
def test_what_is_known_of_the_person_stands_against_all_carts(reason: str) -> None:
    found = foreseen(row(1), other(2), row(3), against=reason)

    assert [x.against for x in found] == [reason, "", reason]
    assert found[0].why == found[2].why != ""


def test_a_reason_that_is_not_known_here_is_left_to_who_knows() -> None:
    assert [x.against for x in foreseen(row(1), against="moon_phase")] == [""]


def test_who_was_written_to_today_is_not_and_the_time_is_said() -> None:
    [one] = foreseen(row(1), written=1, written_at=NOON - timedelta(hours=3))

    assert one.against == "limit"
    assert one.why == "The person was already written to on 2026-11-23 at 09:00 (UTC); one mail per person and day."


def test_of_two_carts_of_one_person_the_first_one_chosen_counts() -> None:
    found = foreseen(row(1), other(2), row(3))

    assert [x.against for x in found] == ["", "", "same"]
    assert found[2].why == "Cart c-1 is the same person’s and comes first; one mail per person and day."


def test_a_cart_that_is_left_out_takes_no_place_of_another() -> None:
    assert [x.against for x in foreseen(row(1, state="recovered"), row(2))] == ["bought", ""]


def test_the_same_id_in_two_shops_is_two_people() -> None:
    assert [x.against for x in foreseen(row(1), row(2, shop_id="outlet"))] == ["", ""]


@pytest.mark.parametrize(
    ("written", "expected"), [(0, ["", "", "same"]), (1, ["", "same", "same"]), (2, ["limit"] * 3)]
)
def test_a_shop_that_lets_more_leave_has_more(written: int, expected: list[str]) -> None:
    found = foreseen(row(1), row(2), row(3), cap=2, written=written, written_at=NOON)

    assert [x.against for x in found] == expected
    assert "2 mails per person and day" in found[2].why


def test_a_cart_that_is_no_longer_kept_is_said() -> None:
    [one] = foresee(["gone"], {}, {})

    assert (one.abandonment_id, one.row, one.against) == ("gone", None, "gone")


def test_people_are_those_that_are_known() -> None:
    assert people([row(1), row(2), nobody(3)]) == {("main", "p-ana")}
