"""Money: exact, bounded, with a currency there is."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import InvalidEvent
from cartwake.money import CURRENCIES, MOST, check_amount, check_currency, total


@dataclass(frozen=True)
class Line:
    quantity: int | None
    price: Decimal | None


def test_total_is_the_sum_of_quantity_times_price() -> None:
    assert total([Line(2, Decimal("19.99")), Line(3, Decimal("0.10"))]) == Decimal("40.28")


def test_line_without_price_counts_nothing_and_without_quantity_once() -> None:
    assert total([Line(5, None), Line(None, Decimal("1.50")), Line(0, Decimal(9))]) == Decimal("1.50")
    assert total([]) == 0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**12)), max_size=20))
def test_total_is_exact(lines: list[tuple[int, int]]) -> None:
    exact = sum(quantity * micros for quantity, micros in lines)
    assert total(Line(q, Decimal(m).scaleb(-6)) for q, m in lines) == Decimal(exact).scaleb(-6)


@pytest.mark.parametrize("amount", ["0", "-0", "0.000001", "19.99", "1E+2", "1E+12", "1000000000000.000000"])
def test_amount_in_range_is_fine(amount: str) -> None:
    check_amount(Decimal(amount), "price")
    check_amount(None, "price")


@pytest.mark.parametrize(
    "amount",
    ["-0.01", "NaN", "sNaN", "Infinity", "-Infinity", "1000000000000.01", "1E+13", "0.0000001", "0E+100", "0E-7"],
)
def test_amount_out_of_range_is_refused_by_its_name(amount: str) -> None:
    with pytest.raises(InvalidEvent, match=r"items\[3\]\.price"):
        check_amount(Decimal(amount), "items[3].price")


@given(st.decimals())
def test_any_decimal_is_fine_or_refused(amount: Decimal) -> None:
    try:
        check_amount(amount, "price")
    except InvalidEvent:
        return
    assert 0 <= amount <= MOST
    assert amount == amount.quantize(Decimal("0.000001"))


def test_every_currency_has_three_capitals() -> None:
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCIES)
    assert {"EUR", "USD", "JPY", "KWD"} <= CURRENCIES


@pytest.mark.parametrize("code", ["", "eur", "EURO", "€", "XXY", "EUR "])
def test_unknown_currency_is_refused_with_an_example(code: str) -> None:
    with pytest.raises(InvalidEvent, match=r"currency.*EUR"):
        check_currency(code)
    check_currency("EUR")
    check_currency(None)
