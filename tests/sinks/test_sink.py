"""The sink with a real Kafka and a real ClickHouse: every record once, whatever is killed and whenever.

Counts are taken of `cart_events_log` itself, without FINAL and with merges stopped: a record inserted twice shows.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from cartwake.errors import Rejected, SinkUnavailable
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.topics import ALL, CART_EVENTS, DEAD_LETTERS, MESSAGES, SETTINGS, WATERMARK
from sinks.batches import Limits
from sinks.clickhouse import ClickHouse
from sinks.sink import Sink, Store
from tests.sinks.records import event, message, outcome

pytestmark = pytest.mark.stack
SMALL = Limits(rows=50, age=timedelta(milliseconds=50))
OTHER = Limits(rows=70, age=timedelta(milliseconds=50))  # after a restart bounds would fall elsewhere
EVENTS = 400
PATIENCE = 180.0


class Killed(BaseException):
    """Stands for the end of the process at a named point."""


class KillAt:
    """Ends the sink the `nth` time it passes `point`."""

    def __init__(self, point: str, nth: int) -> None:
        self.point, self.left = point, nth

    def __call__(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                raise Killed(point)


class Troubled:
    """A ClickHouse that fails `times`: before it has the rows, or after it has them but before it says so."""

    def __init__(self, client: ClickHouse, *, before: int = 0, after: int = 0) -> None:
        self.client, self.before, self.after = client, before, after

    def insert(self, statement: str, body: bytes, *, token: str) -> None:
        if self.before > 0:
            self.before -= 1
            raise SinkUnavailable("away")
        self.client.insert(statement, body, token=token)
        if self.after > 0:
            self.after -= 1
            raise SinkUnavailable("cut after the insert, before the reply")


def send(settings: Settings, numbers: range) -> None:
    with Publisher(settings) as publisher:
        for number in numbers:
            record = event(number, cart_id=f"c{number % 20}")
            publisher.send(CART_EVENTS, record["cart_id"], json.dumps(record).encode())


def physical(client: ClickHouse, table: str = "cart_events_log") -> tuple[int, int]:
    [found] = client.query(f"SELECT count() AS n, uniqExact(kafka_partition, kafka_offset) AS u FROM {table}")
    return found["n"], found["u"]


@contextmanager
def running(settings: Settings, store: Store) -> Iterator[Sink]:
    sink, stop = Sink(settings, store, limits=OTHER), threading.Event()
    thread = threading.Thread(target=sink.run, args=(stop,))
    thread.start()
    try:
        yield sink
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)


def committed(settings: Settings) -> int:
    """How many records of cart-events the group has behind it; -1 while its coordinator can't say."""
    reader = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": settings.topic_prefix + "sink"})
    try:
        places = [TopicPartition(settings.topic_prefix + CART_EVENTS.name, x) for x in range(2)]
        return sum(max(x.offset, 0) for x in reader.committed(places, timeout=60))
    except KafkaException:
        return -1
    finally:
        reader.close()


def test_every_topic_gets_to_its_table(topics: Settings, client: ClickHouse) -> None:
    records = {x.name: event(1) for x in ALL} | {
        "alerts": {"record_id": "r", "type": "alert.opened", "alert_id": "a", "shop_id": "main", "number": 1},
        "cart-outcomes": outcome(),
        "messages": message("planned"),
        "offer-codes": {"pool": "spring", "code": "SAVE-7"},
        "subscriber-carts": {**event(1), "record_id": "r"},
        "settings": {"shop_id": "main", "name": "idle", "value": 1},
    }
    with Publisher(topics) as publisher:
        for topic in ALL:
            publisher.send(topic, "main/idle", json.dumps(records[topic.name]).encode())
        publisher.send(SETTINGS, "main/idle", None)
        publisher.send(CART_EVENTS, "c", None)
        publisher.send(CART_EVENTS, "c", b"not JSON")
        publisher.send(CART_EVENTS, "c", b"", partition=1, headers={WATERMARK: b"1"})
        publisher.send(DEAD_LETTERS, "c", b"\xff\0", headers={"reason": b"bad", "offset": b"5", "topic": b"x"})
    with running(topics, client):
        wait(lambda: committed(topics) == 4)
        wait(lambda: physical(client, "messages_log")[0] == 1)
        wait(lambda: client.command(f"SELECT count() FROM {client.database}.alerts_log") == 1)
        wait(lambda: physical(client, "subscriber_carts_log")[0] == 1)
        wait(lambda: client.command(f"SELECT count() FROM {client.database}.offer_codes_log") == 1)
        wait(lambda: client.command(f"SELECT count() FROM {client.database}.dead_letters_log") == 2)
    for topic in ALL:
        wanted = 2 if topic in (DEAD_LETTERS,) else 1
        [found] = client.query(f"SELECT count() AS n FROM {topic.name.replace('-', '_')}")
        assert found["n"] == wanted, topic.name
    assert client.query("SELECT deleted FROM settings") == [{"deleted": True}]


@pytest.mark.parametrize("nth", [1, 2, 4])
@pytest.mark.parametrize("point", ["before intent", "after intent", "after insert", "after commit"])
def test_killed_at_a_point_and_started_again_writes_each_record_once(
    topics: Settings, client: ClickHouse, point: str, nth: int
) -> None:
    send(topics, range(EVENTS))
    with pytest.raises(Killed):
        Sink(topics, client, limits=SMALL, at=KillAt(point, nth)).run(threading.Event())
    send(topics, range(EVENTS, EVENTS + 100))
    with running(topics, client):
        wait(lambda: committed(topics) == EVENTS + 100)
    assert physical(client) == (EVENTS + 100, EVENTS + 100)


def test_killed_again_and_again_while_recovering(topics: Settings, client: ClickHouse) -> None:
    send(topics, range(EVENTS))
    for point in ("after insert", "after intent", "after insert", "after insert", "before intent"):
        with pytest.raises(Killed):
            Sink(topics, client, limits=SMALL, at=KillAt(point, 1)).run(threading.Event())
    with running(topics, client) as sink:
        wait(lambda: committed(topics) == EVENTS)
    assert physical(client) == (EVENTS, EVENTS)
    assert sink.counters.repeated > 0


def test_reply_cut_off_after_the_insert_writes_nothing_twice(topics: Settings, client: ClickHouse) -> None:
    send(topics, range(EVENTS))
    with running(topics, Troubled(client, after=5)) as sink:
        wait(lambda: committed(topics) == EVENTS)
    assert physical(client) == (EVENTS, EVENTS)
    assert sink.counters.retries == 5


def test_clickhouse_away_loses_nothing_and_keeps_the_partitions(topics: Settings, client: ClickHouse) -> None:
    store = Troubled(client, before=10**9)
    with running(topics, store) as sink:
        send(topics, range(EVENTS))
        wait(lambda: sink.counters.retries >= 3)
        send(topics, range(EVENTS, 2 * EVENTS))
        assert committed(topics) == 0
        assert physical(client) == (0, 0)
        store.before = 0
        wait(lambda: committed(topics) == 2 * EVENTS)
    assert physical(client) == (2 * EVENTS, 2 * EVENTS)


def test_members_that_come_and_go_write_each_record_once(topics: Settings, client: ClickHouse) -> None:
    send(topics, range(EVENTS))
    with running(topics, Troubled(client, after=1)):
        with running(topics, Troubled(client, after=1)):
            send(topics, range(EVENTS, 2 * EVENTS))
            time.sleep(1)
        send(topics, range(2 * EVENTS, 3 * EVENTS))
        wait(lambda: committed(topics) == 3 * EVENTS)
    assert physical(client) == (3 * EVENTS, 3 * EVENTS)


@pytest.mark.parametrize("nth", [1, 2])
def test_both_tables_of_a_topic_have_each_record_once_after_a_cut(
    topics: Settings, client: ClickHouse, nth: int
) -> None:
    class Cut(Troubled):
        calls = 0

        def insert(self, statement: str, body: bytes, *, token: str) -> None:
            self.calls += 1
            self.after = int(self.calls == nth)
            super().insert(statement, body, token=token)

    with Publisher(topics) as publisher:
        said = message("sent", code="SAVE-7")
        publisher.send(MESSAGES, said["subscriber_id"], json.dumps(said).encode())
    with running(topics, Cut(client)) as sink:
        wait(lambda: sink.counters.rows == 1)
    assert sink.counters.retries == 1
    for table in ("messages_log", "offer_codes_log"):
        assert client.query(f"SELECT count() AS n FROM {table}") == [{"n": 1}], table


def test_final_no_of_clickhouse_stops_the_sink_loudly(topics: Settings) -> None:
    class Refusing:
        def insert(self, statement: str, body: bytes, *, token: str) -> None:
            raise Rejected("no")

    send(topics, range(10))
    with pytest.raises(Rejected):
        Sink(topics, Refusing(), limits=SMALL).run(threading.Event())
    assert committed(topics) == 0


def test_stop_while_clickhouse_is_away_ends_soon(topics: Settings, client: ClickHouse) -> None:
    send(topics, range(10))
    with running(topics, Troubled(client, before=10**9)) as sink:
        wait(lambda: sink.counters.retries >= 2)
        started = time.monotonic()
    assert time.monotonic() - started < 10
