"""Where a key lies, and which topics must agree about it."""

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from cartwake.errors import ConfigurationError
from cartwake.topics import ALL, JOINED, check_joined, partition_of

# org.apache.kafka.common.utils.UtilsTest.testMurmur2
KAFKA: dict[bytes, int] = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
MOST = 2**31  # as many partitions as there are hashes: the partition is the hash


@pytest.mark.parametrize("key", KAFKA)
def test_key_lies_where_kafkas_own_clients_put_it(key: bytes) -> None:
    assert partition_of(key, MOST) == KAFKA[key] & 0x7FFFFFFF


@given(st.binary(max_size=64), st.integers(1, 1000))
def test_key_lies_where_aiokafka_puts_it(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2_of_aiokafka(key) & 0x7FFFFFFF) % partitions


@given(st.binary(max_size=64), st.integers(1, 1000))
def test_partition_is_one_of_the_topics(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def test_joined_topics_with_equal_partitions_are_fine() -> None:
    check_joined({f"p.{topic.name}": 8 for topic in ALL}, "p.")


def test_topics_that_are_not_joined_may_differ() -> None:
    counts = {f"p.{topic.name}": 4 for topic in ALL}
    check_joined(counts | {"p.cart-events": 16, "p.dead-letters": 1, "p.order-events": 2}, "p.")


def test_topics_that_are_not_there_yet_are_not_judged() -> None:
    check_joined({"p.cart-outcomes": 4}, "p.")
    check_joined({}, "p.")


@pytest.mark.parametrize("group", JOINED)
def test_joined_topics_that_differ_are_refused_with_the_command_that_helps(group: tuple[object, ...]) -> None:
    names = [f"p.{topic.name}" for topic in group]  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError) as refused:
        check_joined(dict.fromkeys(names, 8) | {names[0]: 4}, "p.")
    assert f"{names[0]} has 4" in str(refused.value)
    assert f"--alter --topic {names[0]} --partitions 8" in str(refused.value)
    assert f"--topic {names[1]}" not in str(refused.value)


def test_every_topic_keeps_the_brokers_own_time() -> None:
    assert {topic.config["message.timestamp.type"] for topic in ALL} == {"LogAppendTime"}
