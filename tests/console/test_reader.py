"""What the console relies on in a CartReader; the store in memory and the real one keep the same promises."""

import pytest

from cartwake.errors import Rejected
from console.reader import CartReader
from tests.console.memory import MemoryCarts, row

ROWS = [row(n, state="recovered" if n % 3 == 0 else "open", stage="payment" if n % 2 else "cart") for n in range(1, 12)]


@pytest.fixture
def carts() -> CartReader:
    return MemoryCarts(ROWS)


def test_pages_join_to_the_whole_list_without_gap_or_repeat(carts: CartReader) -> None:
    seen, cursor = [], None
    while True:
        page = carts.page(cursor=cursor, limit=4)
        assert len(page.rows) <= 4
        seen += [x.abandonment_id for x in page.rows]
        cursor = page.next
        if cursor is None:
            break

    assert seen == [x.abandonment_id for x in ROWS]


def test_the_last_page_has_no_next_even_when_it_is_full(carts: CartReader) -> None:
    assert carts.page(limit=len(ROWS)).next is None


def test_oldest_first_is_the_reverse(carts: CartReader) -> None:
    assert [x.cart_id for x in carts.page(sort="oldest").rows] == [x.cart_id for x in reversed(ROWS)]


@pytest.mark.parametrize("cursor", ["x", "'; DROP TABLE x --", "é" * 300])
def test_a_cursor_that_is_none_is_refused(carts: CartReader, cursor: str) -> None:
    with pytest.raises(Rejected):
        carts.page(cursor=cursor)


def test_filters_hold_together(carts: CartReader) -> None:
    found = carts.page(state="open", stage="payment", search="ANA@").rows

    assert [x.cart_id for x in found] == ["c-1", "c-5", "c-7", "c-11"]


@pytest.mark.parametrize("search", ["%", "_", "\\", "'"])
def test_a_search_has_no_wildcards(carts: CartReader, search: str) -> None:
    assert carts.page(search=search).rows == ()


def test_counts_add_up_to_the_list(carts: CartReader) -> None:
    counts = carts.counts()

    assert {x.state: x.carts for x in counts} == {"open": 8, "recovered": 3}
    assert sum(x.value for x in counts) == sum(x.value for x in ROWS)
    assert carts.counts(shop="another") == ()


def test_one_is_found_by_its_id_and_no_other(carts: CartReader) -> None:
    detail = carts.detail(ROWS[4].abandonment_id)

    assert detail is not None
    assert (detail.row.cart_id, [x.sku for x in detail.lines]) == ("c-5", ["A1"])
    assert carts.detail("none") is None


def test_a_request_without_an_outcome_has_none(carts: CartReader) -> None:
    assert carts.request_result("2e102e04-eb32-4277-ac64-d3b29f076911") is None
