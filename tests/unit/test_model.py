"""Records as shops send them: what is taken, and what is refused with a reason that names the field."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cartwake.errors import InvalidEvent
from cartwake.model import (
    CART_TYPES,
    DEVICE_TYPES,
    LATEST,
    MAX_BYTES,
    ORDER_TYPES,
    SUBSCRIBER_TYPES,
    decode_cart_event,
    decode_device_event,
    decode_order_event,
    decode_subscriber_event,
    derived_id,
    person_id,
    subscriber_id_for,
)
from streams.carts import AHEAD_MS, clamp

DECODERS: list[Callable[[bytes | None], Any]] = [
    decode_cart_event,
    decode_device_event,
    decode_order_event,
    decode_subscriber_event,
]
CART: dict[str, Any] = {
    "event_id": "e-1",
    "type": "cart.item_added",
    "shop_id": "main",
    "cart_id": "c-1",
    "occurred_at": "2026-11-23T10:15:00.120Z",
    "items": [{"sku": "A1", "quantity": 2, "price": "19.99"}],
}


def cart(**changes: Any) -> bytes:
    """A cart event with some fields changed; `...` leaves one out."""
    return json.dumps({k: v for k, v in (CART | changes).items() if v is not ...}).encode()


def item(**changes: Any) -> bytes:
    """A cart event whose one line has some fields changed."""
    return cart(items=[{k: v for k, v in ({"sku": "A1"} | changes).items() if v is not ...}])


def test_example_is_taken() -> None:
    event = decode_cart_event(cart())
    assert (event.cart_id, event.at, str(event.items[0].price)) == ("c-1", 1795428900120, "19.99")


def test_shop_is_main_when_none_is_named() -> None:
    assert decode_cart_event(cart(shop_id=...)).shop_id == "main"


def test_unknown_fields_are_ignored() -> None:
    assert decode_cart_event(cart(campaign={"deep": [1]})).cart_id == "c-1"


@pytest.mark.parametrize(
    ("moment", "ms"),
    [
        ("2026-11-23T10:15:00Z", 1795428900000),
        ("2026-11-23T12:15:00+02:00", 1795428900000),
        (1795428900000, 1795428900000),
        (0, 0),
        (LATEST, LATEST),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999Z", LATEST),
    ],
)
def test_moment_is_rfc3339_with_offset_or_epoch_milliseconds(moment: str | int, ms: int) -> None:
    assert decode_cart_event(cart(occurred_at=moment)).at == ms


@pytest.mark.parametrize(("written", "read"), [('"0.10"', "0.10"), ("0.10", "0.10"), ("19.99", "19.99"), ("5", "5")])
def test_money_is_read_as_it_is_written_never_through_a_float(written: str, read: str) -> None:
    event = decode_cart_event(item(price="P").replace(b'"P"', written.encode()))
    assert str(event.items[0].price) == read


BIG = 2**63
BAD_CARTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "not JSON": (b"cart", ""),
    "cut off": (cart()[:-5], "truncated"),
    "two objects": (cart() + cart(), "trailing"),
    "a list": (b"[]", "object"),
    "a number": (b"1", "object"),
    "null": (b"null", "object"),
    "BOM": (b"\xef\xbb\xbf" + cart(), ""),
    "UTF-16": (cart().decode().encode("utf-16"), ""),
    "bad UTF-8": (cart(cart_id="X").replace(b"X", b"\xff\xfe"), ""),
    "lone surrogate": (cart(cart_id="X").replace(b"X", b"\\ud800"), "surrogate"),
    "NUL": (cart() + b"\x00", ""),
    "10,000 deep": (b'{"x":' + b"[" * 10_000, ""),
    "10,000 deep and closed": (cart()[:-1] + b',"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "recursion"),
    "1 MB": (cart(cart_url="x" * 1_000_000), "bytes"),
    "just too long": (cart() + b" " * (MAX_BYTES + 1 - len(cart())), str(MAX_BYTES)),
    "no event_id": (cart(event_id=...), "event_id"),
    "empty event_id": (cart(event_id=""), "event_id"),
    "number as event_id": (cart(event_id=7), "event_id"),
    "endless event_id": (cart(event_id="x" * 201), "event_id"),
    "no type": (cart(type=...), "type"),
    "unknown type": (cart(type="cart.exploded"), "type"),
    "type of another topic": (cart(type="device.identified"), "type"),
    "no cart_id": (cart(cart_id=...), "cart_id"),
    "null cart_id": (cart(cart_id=None), "cart_id"),
    "empty cart_id": (cart(cart_id=""), "cart_id"),
    "no time": (cart(occurred_at=...), "occurred_at"),
    "naive time": (cart(occurred_at="2026-11-23T10:15:00"), "occurred_at"),
    "date only": (cart(occurred_at="2026-11-23"), "occurred_at"),
    "no time at all": (cart(occurred_at="soon"), "occurred_at"),
    "year 10000": (cart(occurred_at="10000-01-01T00:00:00Z"), "occurred_at"),
    "year 10000 in UTC": (cart(occurred_at="9999-12-31T23:59:59-10:00"), "occurred_at"),
    "year 10000 in ms": (cart(occurred_at=LATEST + 1), "occurred_at"),
    "before 1970": (cart(occurred_at="1969-12-31T23:59:59Z"), "occurred_at"),
    "year 1": (cart(occurred_at="0001-01-01T00:00:00+14:00"), "occurred_at"),
    "negative time": (cart(occurred_at=-1), "occurred_at"),
    "time of 2^63": (cart(occurred_at=BIG), "occurred_at"),
    "time of 2^64": (cart(occurred_at=2**64), "occurred_at"),
    "fraction of a time": (cart(occurred_at=0.5), "occurred_at"),
    "true as time": (cart(occurred_at=True), "occurred_at"),
    "unknown currency": (cart(currency="EURO"), "currency"),
    "small currency": (cart(currency="eur"), "currency"),
    "unknown step": (cart(type="checkout.step", step="dance"), "step"),
    "step missing": (cart(type="checkout.step"), "step"),
    "order without id": (cart(type="order.placed"), "order_id"),
    "nothing added": (cart(items=[]), "items"),
    "nothing removed": (cart(type="cart.item_removed", items=[]), "items"),
    "items as object": (cart(items={}), "items"),
    "null items": (cart(items=None), "items"),
    "10,000 items": (cart(items=[{"sku": "A"}] * 10_000), "items"),
    "1,001 items": (cart(items=[{"sku": "A"}] * 1_001), "items"),
    "no sku": (item(sku=...), "sku"),
    "empty sku": (item(sku=""), "items[0].sku"),
    "zero quantity": (item(quantity=0), "items[0].quantity"),
    "negative quantity": (item(quantity=-1), "items[0].quantity"),
    "quantity of 2^63": (item(quantity=BIG), "items[0].quantity"),
    "quantity of 2^64": (item(quantity=2**64), "items[0].quantity"),
    "half a piece": (item(quantity=0.5), "items[0].quantity"),
    "text as quantity": (item(quantity="2"), "items[0].quantity"),
    "true as quantity": (item(quantity=True), "items[0].quantity"),
    "negative price": (item(price="-0.01"), "items[0].price"),
    "negative price number": (item(price=-1), "items[0].price"),
    "NaN as text": (item(price="NaN"), "items[0].price"),
    "signalling NaN": (item(price="sNaN"), "items[0].price"),
    "infinite price": (item(price="Infinity"), "items[0].price"),
    "NaN": (item(price=float("nan")), ""),
    "price of 1E+400": (item(price="1E+400"), "items[0].price"),
    "price 1e400": (item(price="P").replace(b'"P"', b"1e400"), "items[0].price"),
    "price with seven decimals": (item(price="0.0000001"), "items[0].price"),
    "price with an exponent": (item(price="0E+100"), "items[0].price"),
    "price in words": (item(price="free"), "items[0].price"),
    "negative total": (cart(total="-1"), "total"),
    "endless name": (item(name="x" * 2_001), "items[0].name"),
    "endless e-mail": (cart(email="x" * 255), "email"),
    "e-mail as list": (cart(email=["a@example.com"]), "email"),
    "consent as text": (cart(consent="yes"), "consent"),
}


@pytest.mark.parametrize("name", BAD_CARTS)
def test_bad_cart_event_is_refused_with_a_reason_that_names_the_field(name: str) -> None:
    value, field = BAD_CARTS[name]
    with pytest.raises(InvalidEvent) as refused:
        decode_cart_event(value)
    assert field.lower() in str(refused.value).lower()
    assert 5 < len(str(refused.value)) <= 500


def test_second_line_is_named_by_its_number() -> None:
    with pytest.raises(InvalidEvent, match=r"items\[1\]\.price"):
        decode_cart_event(cart(items=[{"sku": "A"}, {"sku": "B", "price": "-1"}]))


@pytest.mark.parametrize("decode", DECODERS)
def test_null_value_is_refused(decode: Callable[[bytes | None], Any]) -> None:
    with pytest.raises(InvalidEvent, match="no value"):
        decode(None)


def test_largest_event_is_taken() -> None:
    assert decode_cart_event(cart() + b" " * (MAX_BYTES - len(cart()))).cart_id == "c-1"
    assert len(decode_cart_event(cart(items=[{"sku": str(n)} for n in range(1_000)])).items) == 1_000


def test_device_that_was_seen_with_nobody_is_refused() -> None:
    event = {"event_id": "e", "type": "device.identified", "occurred_at": 0, "device_id": "d"}
    for empty in ({}, {"email": ""}, {"email": None}):
        with pytest.raises(InvalidEvent, match="subscriber_id, customer_id, email"):
            decode_device_event(json.dumps(event | empty).encode())
    assert decode_device_event(json.dumps(event | {"type": "device.unlinked"}).encode()).device_id == "d"


def test_order_is_checked_like_a_cart() -> None:
    order = {"event_id": "e", "type": "order.placed", "occurred_at": 0, "order_id": "o"}
    for field, value in [("currency", "XXY"), ("total", "-1"), ("total", "NaN"), ("order_id", "")]:
        with pytest.raises(InvalidEvent, match=field):
            decode_order_event(json.dumps(order | {field: value}).encode())


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(DECODERS))
def test_no_bytes_raise_anything_but_invalid_event(value: bytes, decode: Callable[[bytes | None], Any]) -> None:
    with contextlib.suppress(InvalidEvent):
        decode(value)


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["sku", "price", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = "shop_id cart_id device_id order_id subscriber_id email items total consent step".split()
nearly = st.fixed_dictionaries(
    {
        "event_id": st.just("e") | anything,
        "type": st.sampled_from(sorted(CART_TYPES | DEVICE_TYPES | ORDER_TYPES | SUBSCRIBER_TYPES)),
    },
    optional=dict.fromkeys(
        ("shop_id", "cart_id", "device_id", "order_id", "subscriber_id", "email", "items", "total", "consent", "step"),
        anything,
    )
    | {
        "occurred_at": anything | st.integers(-1, LATEST + 1) | st.datetimes().map(lambda d: d.isoformat() + "Z"),
        "currency": anything,
    },
)


@settings(max_examples=500, deadline=None)
@given(nearly, st.data(), st.sampled_from(DECODERS))
def test_nearly_right_events_raise_nothing_but_invalid_event(
    event: dict[str, Any], data: st.DataObject, decode: Callable[[bytes | None], Any]
) -> None:
    raw = json.dumps(event).encode("utf-8", "surrogatepass")
    if data.draw(st.booleans()):  # a byte that fell over on the way
        place = data.draw(st.integers(0, len(raw) - 1))
        raw = raw[:place] + data.draw(st.binary(max_size=2)) + raw[place + 1 :]
    try:
        taken = decode(raw)
    except InvalidEvent:
        return
    msgspec.msgpack.encode(taken)  # what was taken can be kept
    assert 0 <= taken.at <= LATEST


@pytest.mark.parametrize(
    ("ahead", "kept"), [(-1, True), (0, True), (AHEAD_MS, True), (AHEAD_MS + 1, False), (10**12, False)]
)
def test_time_more_than_five_minutes_ahead_of_the_arrival_becomes_the_arrival(ahead: int, kept: bool) -> None:
    assert clamp(1_000_000 + ahead, 1_000_000) == (1_000_000 + ahead if kept else 1_000_000)


def test_derived_ids_keep_their_parts_apart() -> None:
    assert derived_id("a", "b") != derived_id("ab") != derived_id("b", "a")
    assert derived_id("a", 1) == derived_id("a", "1")
    assert len(derived_id("\ud800")) == 32


def test_person_is_whoever_reads_the_mailbox() -> None:
    assert person_id(" Ann@Example.com ") == person_id("ann@example.com")
    assert subscriber_id_for(email="ann@example.com", customer_id="k", subscriber_id="s") == person_id(
        "ann@example.com"
    )
    assert subscriber_id_for(email=None, customer_id="k", subscriber_id="s") == "s"
    assert subscriber_id_for(email="", customer_id="k") == "k"
    assert subscriber_id_for(email=None, customer_id=None) is None
