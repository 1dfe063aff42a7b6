"""What ClickHouse refuses: the row goes to dead-letters, once, with the reason, and its neighbours to their table."""

import json
import threading

import pytest
from confluent_kafka import Consumer, TopicPartition

from cartwake.errors import Rejected, SinkUnavailable
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.topics import CART_EVENTS, DEAD_LETTERS
from sinks.clickhouse import ClickHouse
from sinks.inserts import MOST_REFUSED
from sinks.sink import Sink
from tests.sinks.records import event, put
from tests.sinks.test_sink import SMALL, KillAt, Killed, Troubled, committed, physical, running, send, wait

pytestmark = pytest.mark.stack


def forbid(client: ClickHouse, condition: str) -> None:
    client.execute(f"ALTER TABLE cart_events_log ADD CONSTRAINT allowed CHECK {condition}")


def dead(settings: Settings) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
    """All records of dead-letters."""
    topic = settings.topic_prefix + DEAD_LETTERS.name
    reader = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "reader"})
    try:
        ends = {n: reader.get_watermark_offsets(TopicPartition(topic, n), timeout=60)[1] for n in range(2)}
        reader.assign([TopicPartition(topic, n, 0) for n in ends])
        found = reader.consume(sum(ends.values()), 10) if any(ends.values()) else []
        return [(x.key(), x.value(), dict(x.headers() or ())) for x in found]
    finally:
        reader.close()


def test_refused_row_goes_to_dead_letters_once_and_its_neighbours_to_the_table(
    topics: Settings, client: ClickHouse
) -> None:
    forbid(client, "event_id NOT IN ('e7', 'e150')")
    send(topics, range(200))
    with running(topics, Troubled(client, after=3)) as sink:
        wait(lambda: committed(topics) == 200)
        wait(lambda: client.query("SELECT count() AS n FROM dead_letters") == [{"n": 2}])
    assert physical(client) == (198, 198)
    assert sink.counters.refused == 2
    found = dead(topics)
    assert sorted(json.loads(value or b"")["event_id"] for _, value, _ in found) == ["e150", "e7"]
    for key, value, said in found:
        assert key == json.loads(value or b"")["cart_id"].encode()
        assert said["stage"] == b"sink"
        assert said["topic"] == (topics.topic_prefix + CART_EVENTS.name).encode()
        assert b"Constraint" in said["reason"]
    rows = client.query("SELECT source_partition, source_offset, stage FROM dead_letters")
    assert {(x["source_partition"], x["source_offset"]) for x in rows} == {
        (int(said["partition"]), int(said["offset"])) for _, _, said in found
    }


def test_killed_after_a_refusal_writes_each_neighbour_once(topics: Settings, client: ClickHouse) -> None:
    forbid(client, "event_id != 'e7'")
    send(topics, range(200))
    for _ in range(2):
        with pytest.raises(Killed):
            Sink(topics, client, limits=SMALL, at=KillAt("after insert", 1)).run(threading.Event())
    with running(topics, client):
        wait(lambda: committed(topics) == 200)
        wait(lambda: client.query("SELECT count() AS n FROM dead_letters") == [{"n": 1}])
    assert physical(client) == (199, 199)


def test_no_row_is_put_aside_when_none_would_be_taken(topics: Settings) -> None:
    class Refusing:
        def insert(self, statement: str, body: bytes, *, token: str) -> None:
            raise Rejected("no")

    send(topics, range(10))
    with pytest.raises(Rejected, match=r"^no$"):
        Sink(topics, Refusing(), limits=SMALL).run(threading.Event())
    assert committed(topics) == 0
    assert dead(topics) == []


def test_what_is_wrong_everywhere_stops_the_sink_and_does_not_drain_the_topic(
    topics: Settings, client: ClickHouse
) -> None:
    forbid(client, "event_id = ''")
    send(topics, range(4 * MOST_REFUSED))
    with pytest.raises(Rejected, match="Constraint"):
        Sink(topics, client).run(threading.Event())
    assert committed(topics) == 0
    assert dead(topics) == []


def test_dead_letter_waits_for_clickhouse_like_everything_else(topics: Settings, client: ClickHouse) -> None:
    forbid(client, "event_id != 'e7'")
    send(topics, range(100))
    store = Troubled(client)

    class Away(Troubled):
        def insert(self, statement: str, body: bytes, *, token: str) -> None:
            if b'"e7"' in body and len(body) < 1_000 and self.before:
                self.before -= 1
                raise SinkUnavailable("away while halving")
            store.insert(statement, body, token=token)

    with running(topics, Away(client, before=2)) as sink:
        wait(lambda: committed(topics) == 100)
    assert sink.counters.retries == 2
    assert physical(client) == (99, 99)
    assert len(dead(topics)) == 1


def test_drift_stops_nothing_and_is_kept(topics: Settings, client: ClickHouse) -> None:
    drifted = [
        event(1, loyalty={"tier": "gold", "points": [1, 2]}),
        event(2, items="a text", total=[1], currency={"code": "EUR"}, cart_id="c2"),
        event(3, type="cart.shared", with_whom="ben"),
    ]
    with Publisher(topics) as publisher:
        for record in drifted:
            publisher.send(CART_EVENTS, record["cart_id"], json.dumps(record).encode())
    with running(topics, client) as sink:
        wait(lambda: committed(topics) == 3)
    rows = client.query("SELECT event_id, type, raw, items, total FROM cart_events ORDER BY event_id")
    assert [json.loads(x["raw"]) for x in rows] == drifted
    assert [x["type"] for x in rows] == ["cart.item_added", "cart.item_added", "cart.shared"]
    assert (rows[1]["items"], rows[1]["total"]) == ([], None)
    assert sink.counters.refused == 0
    assert dead(topics) == []


def test_unknown_fields_are_read_from_what_is_left_of_a_cut_record(client: ClickHouse) -> None:
    put(client, "cart-events", event(1, loyalty={"tier": "gold"}))
    asked = "SELECT JSONExtractString(raw, 'loyalty', 'tier') AS tier, cut FROM cart_events_log"
    assert client.query(asked) == [{"tier": "gold", "cut": True}]
