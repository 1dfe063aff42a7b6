"""The record of what is bought together: what fits in it, and what it proposes beside a cart."""

from hypothesis import given
from hypothesis import strategies as st

from cartwake.companions import MOST, MOST_BYTES, Companions, beside, gather
from cartwake.model import Item, Setting, encode


def item(sku: str, **more: str) -> Item:
    return Item(sku=sku, name=f"Product {sku}", url=f"https://shop.example.com/{sku}", **more)


def made(**of: list[str]) -> Companions:
    return gather((sku, item(other)) for sku, others in of.items() for other in others)


def shown(companions: Companions, *skus: str) -> list[str]:
    return [found.sku for found in beside(companions, skus)]


def test_a_companion_of_many_is_written_once() -> None:
    found = made(a=["x", "y"], b=["y", "x"])
    assert [product.sku for product in found.products] == ["x", "y"]
    assert found.of == {"a": (0, 1), "b": (1, 0)}


def test_a_product_has_four_companions_at_most() -> None:
    assert made(a=["v", "w", "x", "y", "z"]).of == {"a": (0, 1, 2, 3)}


def test_a_cart_is_shown_the_best_of_its_products_and_nothing_that_is_in_it() -> None:
    found = made(a=["x", "y", "z", "b"], b=["a", "y", "w", "v"])
    assert shown(found, "a") == ["x", "y", "z", "b"]
    assert shown(found, "a", "b") == ["x", "y", "z", "w"]
    assert shown(found, "b", "a") == ["y", "x", "w", "z"]
    assert shown(found, "a", "a") == ["x", "y", "z", "b"]
    assert shown(found, "unknown") == shown(Companions(), "a") == shown(found) == []


def test_a_place_that_is_none_proposes_nothing() -> None:
    assert shown(Companions(products=(item("x"),), of={"a": (7, 0)}), "a") == ["x"]


def test_what_sells_best_is_kept_when_there_is_no_room_for_all() -> None:
    all_of_them = [(f"sku-{n}", item(f"other-{n}")) for n in range(9_000)]
    found = gather(all_of_them)
    assert 3_000 < len(found.of) < 9_000
    assert list(found.of) == [sku for sku, _ in all_of_them[: len(found.of)]]
    assert len(encode(Setting(shop_id="s" * 200, name="companions", value=found))) <= MOST_BYTES + 1_000


def test_a_name_without_end_is_cut() -> None:
    assert len(gather([("a", Item(sku="x", name="n" * 2_000, url="https://x"))]).products[0].name or "") == 200


_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(st.lists(st.tuples(_texts, _texts, _texts), max_size=60), st.integers(300, 3_000))
def test_the_record_is_never_larger_than_it_may_be(found: list[tuple[str, str, str]], most: int) -> None:
    made = gather(((sku, Item(sku=other, name=name)) for sku, other, name in found), most_bytes=most)
    assert len(encode(made)) <= most
    assert all(len(places) <= MOST for places in made.of.values())
    assert all(place < len(made.products) for places in made.of.values() for place in places)
