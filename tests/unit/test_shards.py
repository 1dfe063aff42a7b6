"""The dict that grows without standing still is a dict, and what is new never enlarges its first part."""

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.shards import Shards

KEYS = st.binary(max_size=2)


@given(
    st.dictionaries(KEYS, st.binary(max_size=3)),
    st.lists(st.tuples(st.sampled_from(("set", "del", "pop")), KEYS, st.binary(max_size=3))),
)
def test_it_is_a_dict(first: dict[bytes, bytes], changes: list[tuple[str, bytes, bytes]]) -> None:
    shards, model = Shards(), dict(first)
    shards.first.update(first)
    for kind, key, value in changes:
        if kind == "set":
            shards[key] = model[key] = value
        elif kind == "pop":
            assert shards.pop(key, None) == model.pop(key, None)
        elif key in model:
            del shards[key], model[key]
        assert (key in shards) == (key in model)
        assert shards.get(key) == model.get(key)
    assert len(shards) == len(model)
    assert sorted(shards) == sorted(model)
    assert dict(shards.items()) == model
    assert sorted(shards.values()) == sorted(model.values())
    assert set(shards.first) <= set(first)


def test_what_is_new_does_not_make_the_first_part_grow() -> None:
    shards = Shards()
    shards.first.update({b"%d" % n: b"" for n in range(1_000)})
    size = shards.first.__sizeof__()
    for n in range(5_000):
        shards[b"%d" % n] = b"x"
    assert shards.first.__sizeof__() == size
    assert len(shards) == 5_000
