"""The file formats: what each line becomes, and what every adapter promises."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.model import decode_cart_event
from ingest.adapters import READERS
from ingest.line import MAX_LINE, Line
from tests.ingest.shop_events import AT_MS, raw

HEADER = b"event_time,event_type,product_id,price,user_id,user_session"
OCTOBER = 1_664_582_400_000  # 2022-10-01 00:00:00 UTC
ROW = "2022-10-01 00:00:00 UTC,cart,5773203,2.62,463240011,s-1"


def rees46(*rows: str, header: bytes = HEADER, file_name: str = "oct.csv", shop_id: str = "main") -> list[Line]:
    lines = [header, *(row.encode() for row in rows)]
    return list(READERS["rees46"](iter(lines), shop_id=shop_id, file_name=file_name))


def said(line: Line) -> Any:
    assert line.error is None
    decode_cart_event(line.value)
    return json.loads(line.value)


# -- cartwake ------------------------------------------------------------------------------------------------
def cartwake(*lines: bytes, shop_id: str = "main") -> list[Line]:
    return list(READERS["cartwake"](iter(lines), shop_id=shop_id, file_name="f"))


def test_a_line_is_the_record_it_would_be_over_http() -> None:
    phone = raw(type="order.placed", cart_id=None, order_id="o-7")
    cart, order = cartwake(raw() + b"\r", phone)
    assert cart.topic is not None
    assert (cart.topic.name, cart.key, cart.value, cart.at) == ("cart-events", "c-81", raw(), AT_MS)
    assert order.topic is not None
    assert (order.topic.name, order.key) == ("order-events", "o-7")


def test_blank_lines_are_not_counted_but_numbers_are_those_of_the_file() -> None:
    assert [(x.number, x.error is None) for x in cartwake(b"", b"  \r", raw(), b"", b"{")] == [(3, True), (5, False)]


def test_a_byte_order_mark_is_allowed_only_before_the_first_line() -> None:
    first, second = cartwake(b"\xef\xbb\xbf" + raw(), b"\xef\xbb\xbf" + raw())
    assert first.value == raw()
    assert second.error is not None


def test_the_shop_of_the_command_is_given_to_events_without_one() -> None:
    assert json.loads(cartwake(raw(), shop_id="b")[0].value)["shop_id"] == "b"


# -- rees46 --------------------------------------------------------------------------------------------------
def test_a_cart_row_adds_one_at_its_price() -> None:
    (line,) = rees46(ROW)
    added = said(line)
    assert line.at == OCTOBER
    assert (added["type"], added["cart_id"], added["customer_id"]) == ("cart.item_added", "s-1", "463240011")
    assert added["items"] == [{"sku": "5773203", "quantity": 1, "price": "2.62"}]
    assert added["occurred_at"] == "2022-10-01T00:00:00Z"


def test_a_removal_takes_one_away() -> None:
    removed = said(rees46(ROW.replace("cart", "remove_from_cart"))[0])
    assert (removed["type"], removed["items"][0]["quantity"]) == ("cart.item_removed", 1)


def test_the_rows_of_one_order_share_its_id_and_are_events_of_their_own() -> None:
    row = ROW.replace(",cart,", ",purchase,")
    first, second, later = map(said, rees46(row, row, row.replace("00:00:00", "00:00:01")))
    assert first["type"] == "order.placed"
    assert first["order_id"] == second["order_id"] != later["order_id"]
    assert first["event_id"] != second["event_id"]


def test_a_view_is_counted_and_its_time_known_but_it_is_no_record() -> None:
    (line,) = rees46(ROW.replace(",cart,", ",view,"))
    assert (line.topic, line.error, line.at) == (None, None, OCTOBER)


def test_the_same_file_gives_the_same_ids_and_another_file_or_shop_gives_others() -> None:
    def ids(**place: str) -> set[str]:
        return {said(line)["event_id"] for line in rees46(ROW, ROW, **place)}

    assert ids() == ids()
    assert len(ids() | ids(file_name="nov.csv") | ids(shop_id="b")) == 6


def test_the_public_data_sets_longer_header_is_read_by_name() -> None:
    header = b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    (line,) = rees46('2022-10-01 00:00:00 UTC,cart,1,9,"appliances, small","a ""b""",2.62,4,s-1', header=header)
    assert said(line)["items"] == [{"sku": "1", "quantity": 1, "price": "2.62", "category": "appliances, small"}]


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    (line,) = rees46(ROW + "\r", header=b"\xef\xbb\xbf" + HEADER + b"\r")
    assert said(line)["cart_id"] == "s-1"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (ROW + ",more", "7 fields; the header has 6"),
        (ROW.rpartition(",")[0], "5 fields"),
        (ROW.replace(" UTC", ""), "event_time"),
        (ROW.replace("10-01", "13-01"), "event_time"),
        (ROW.replace("2.62", ""), "price: '' is no number"),
        (ROW.replace("2.62", "-2.62"), "negative"),
        (ROW.replace("2.62", "-2.62").replace(",cart,", ",view,"), "negative"),
        (ROW.replace("2.62", "NaN"), "price"),
        (ROW.replace("2.62", "1_0"), "price"),
        (ROW.replace("2.62", "9" * 20), "out of range"),
        (ROW.replace("s-1", ""), "user_session: empty"),
        (ROW.replace("s-1", "s" * 201), "cart_id"),
        (ROW.replace("s-1", "s\0"), "NUL"),
        (ROW.replace(",cart,", ",click,"), "'click' is none of view, cart"),
        (ROW.replace("5773203", ""), "sku"),
        (ROW.replace("s-1", '"s-1'), "not CSV"),
        (ROW.replace("s-1", '"' + "s" * 140_000 + '"'), "not CSV"),
        (ROW + "x" * MAX_LINE, "longer than"),
    ],
)
def test_a_bad_row_is_an_error_with_its_line_number_and_the_next_goes_on(bad: str, words: str) -> None:
    good, wrong, next_one = rees46(ROW, bad, ROW)
    assert wrong.error is not None
    assert words in wrong.error
    assert (wrong.number, wrong.at) == (3, None)
    assert good.error is None
    assert next_one.error is None


@pytest.mark.parametrize("header", [b"event_time,event_type", b"\xff", ROW.encode()])
def test_a_file_without_the_columns_is_one_error(header: bytes) -> None:
    (line,) = rees46(ROW, ROW, header=header)
    assert line.error is not None
    assert line.error.startswith("header: ")


# -- every adapter -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", READERS)
@given(lines=st.lists(st.binary(max_size=80) | st.sampled_from([HEADER, ROW.encode(), raw()])))
def test_no_line_makes_an_adapter_raise_and_each_is_a_record_nothing_or_an_error(name: str, lines: list[bytes]) -> None:
    def endless() -> Iterator[bytes]:
        yield from lines

    read = list(READERS[name](endless(), shop_id="main", file_name="f"))
    numbers = [line.number for line in read]
    assert numbers == sorted(set(numbers))
    for line in read:
        assert (line.error is None) == (line.at is not None)
        assert (line.topic is None) == (line.value == b"") == (line.key == "")


@pytest.mark.parametrize("name", READERS)
def test_a_cut_off_line_is_an_error(name: str) -> None:
    lines = [HEADER, b"x" * (MAX_LINE + 1)]
    assert list(READERS[name](iter(lines), shop_id="main", file_name="f"))[-1].error
