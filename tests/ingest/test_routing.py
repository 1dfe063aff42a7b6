"""Where events go, what must be added to them, and what is refused with which words."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartwake.model import (
    CART_TYPES,
    DEVICE_TYPES,
    MAX_BYTES,
    ORDER_TYPES,
    SUBSCRIBER_TYPES,
    decode_subscriber_event,
    person_id,
)
from ingest.jsontext import MAX_DEPTH, depth
from ingest.routing import Refused, route
from tests.ingest.shop_events import AT_MS, event, raw

NEEDED = {"step": "payment", "order_id": "o-7", "device_id": "d-9", "subscriber_id": "s-3", "email": "a@example.com"}


@pytest.mark.parametrize(
    ("types", "topic", "key"),
    [
        (CART_TYPES, "cart-events", "c-81"),
        (DEVICE_TYPES, "device-events", "d-9"),
        (ORDER_TYPES - {"order.placed"}, "order-events", "o-7"),
        (SUBSCRIBER_TYPES, "subscriber-events", "s-3"),
    ],
)
def test_every_type_of_the_model_goes_to_its_topic_under_its_key(types: set[str], topic: str, key: str) -> None:
    for kind in types:
        record = route(raw(type=kind, **NEEDED))
        assert (record.topic.name, record.key, record.at) == (topic, key, AT_MS), kind


def test_the_bytes_of_an_event_pass_untouched_with_unknown_fields_and_spaces() -> None:
    sent = b'{ "colour":"bl\\u00fcu" ,"n":1.10,' + raw()[1:]
    assert route(sent).value == sent


@pytest.mark.parametrize("cart_id", [{}, {"cart_id": None}])
def test_an_order_by_phone_is_an_order_event(cart_id: dict[str, None]) -> None:
    order = event(type="order.placed", order_id="o-7", cart_id=None) | cart_id
    record = route(json.dumps(order).encode())
    assert (record.topic.name, record.key) == ("order-events", "o-7")


def test_an_order_of_a_cart_is_the_carts_event_only() -> None:
    record = route(raw(type="order.placed", order_id="o-7"))
    assert (record.topic.name, record.key) == ("cart-events", "c-81")


def test_an_order_of_a_cart_needs_its_order_id() -> None:
    with pytest.raises(Refused, match="order_id"):
        route(raw(type="order.placed"))


def test_a_person_named_by_mailbox_gets_the_id_of_that_mailbox() -> None:
    record = route(raw(type="subscriber.consented", email=" Ada@Example.com", cart_id=None, extra={"kept": 1.10}))
    assert record.key == person_id("ada@example.com")
    assert decode_subscriber_event(record.value).subscriber_id == record.key
    assert json.loads(record.value)["extra"] == {"kept": 1.10}


def test_a_person_named_by_customer_id_gets_that_and_a_null_is_not_kept_beside_it() -> None:
    nulled = event(type="subscriber.erased", customer_id="77") | {"subscriber_id": None}
    record = route(json.dumps(nulled).encode())
    assert record.key == "77"
    assert record.value.count(b"subscriber_id") == 1


def test_a_given_subscriber_id_is_kept() -> None:
    sent = raw(type="subscriber.erased", subscriber_id="s-3", email="a@example.com")
    record = route(sent)
    assert (record.key, record.value) == ("s-3", sent)


@pytest.mark.parametrize("nobody", [{}, {"email": "  "}, {"customer_id": ""}])
def test_a_subscriber_event_about_nobody_is_refused(nobody: dict[str, str]) -> None:
    with pytest.raises(Refused, match="subscriber_id, email, customer_id"):
        route(raw(type="subscriber.erased", **nobody))


def test_a_shop_is_added_only_where_the_event_names_none() -> None:
    assert json.loads(route(raw(), "second").value)["shop_id"] == "second"
    named = raw(shop_id="main")
    assert route(named, "second").value == named


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [
        (raw(event_id=None), "field", "event_id is missing: send one that stays the same"),
        (raw(occurred_at=None), "field", "occurred_at is missing"),
        (raw(occurred_at="2026-11-23T10:15:00"), "field", "timezone"),
        (raw(occurred_at=2**63), "field", "1970"),
        (raw(cart_id=None), "field", "cart_id"),
        (raw(type=None), "field", "type"),
        (raw(type="cart.update"), "type", "did you mean cart.updated"),
        (raw(type="subscriber-carts"), "type", "not known"),
        (raw(items=[{"sku": "A1", "quantity": 2**63}]), "field", "quantity"),
        (raw(items=[{"sku": "A1", "price": "-1"}]), "field", "negative"),
        (raw(note="x" * MAX_BYTES), "size", "262144"),
        (raw(note="\0"), "json", "NUL"),
        (raw()[:-1] + b',"u":"\\ud800"}', "json", "surrogate"),
        (raw()[:-1] + b',"u":"\\udc00 and more"}', "json", "surrogate"),
        (raw()[:-1] + b',"u":NaN}', "json", "NaN is no JSON number"),
        (raw()[:-1] + b',"u":"\xff"}', "json", "not UTF-8"),
        (raw()[:-1] + b',"\xc3":1}', "json", "not UTF-8"),
        (raw()[:-1] + b',"u":"\0"}', "json", "NUL"),
        (b"\xef\xbb\xbf" + raw(), "json", "byte order mark"),
        (raw().decode().encode("utf-16"), "json", "UTF-16"),
        (raw()[:-1], "json", "truncated"),
        (raw() + b"{}", "json", "trailing"),
        (b"", "json", "empty"),
        (b"[]", "field", "object"),
        (raw()[:-1] + b',"u":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "json", "nested"),
        (b"[" * 100_000, "json", "nested"),
        (b'{"a":' * 30_000, "json", "nested"),
    ],
)
def test_bad_input_is_refused_with_words_for_a_developer(bad: bytes, kind: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        route(bad)
    assert words in str(caught.value)
    assert caught.value.kind == kind


def test_the_id_of_a_refused_event_is_said_when_it_can_be_read() -> None:
    with pytest.raises(Refused) as caught:
        route(raw(type="cart.update", event_id="e-9"))
    assert caught.value.event_id == "e-9"


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert route(raw(note="\\u0000")).key == "c-81"


@pytest.mark.parametrize(("levels", "taken"), [(MAX_DEPTH - 1, True), (MAX_DEPTH, False)])
def test_depth_counts_the_event_itself(levels: int, taken: bool) -> None:
    nested = raw()[:-1] + b',"u":' + b"[" * levels + b"]" * levels + b"}"
    if taken:
        assert route(nested).value == nested
    else:
        with pytest.raises(Refused):
            route(nested)


def test_brackets_inside_texts_are_no_depth() -> None:
    assert route(raw(note='[{"' * 1_000)).key == "c-81"


@given(st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_depth_is_that_of_the_decoded_value(value: object) -> None:
    def levels(x: object) -> int:
        inner = x.values() if isinstance(x, dict) else x if isinstance(x, list) else None
        return 0 if inner is None else 1 + max(map(levels, inner), default=0)

    assert depth(json.dumps(value).encode()) == levels(value)


@given(st.binary(max_size=300) | st.binary(max_size=40).map(lambda x: raw()[:-1] + b"," + x + b"}"))
def test_no_bytes_raise_anything_but_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        assert route(data).value == data
