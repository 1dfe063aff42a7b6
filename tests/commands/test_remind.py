"""`cartwake remind`: what the console's button does, with the outcome as exit code."""

import threading
from collections.abc import Callable

import confluent_kafka
import pytest

from cartwake.commands import remind
from cartwake.errors import CartwakeError, Rejected
from cartwake.model import decode_subscriber_event, person_id
from cartwake.settings import Settings
from console.asking import MOST_AT_ONCE
from sinks.clickhouse import ClickHouse
from tests.commands.conftest import Run
from tests.sinks.records import match, message, outcome, put

pytestmark = pytest.mark.stack

ANA = person_id("ana@example.com")


@pytest.fixture
def left(store: ClickHouse, topics: Settings) -> ClickHouse:
    """Ana's cart c1 and nobody's cart c12, both left."""
    put(store, "cart-outcomes", outcome(), outcome(number=12))
    put(store, "subscriber-carts", match(ANA))
    return store


@pytest.fixture
def answered(left: ClickHouse, settings: Settings) -> Callable[..., threading.Thread]:
    """Plays stage 3 and the sink: the next request is answered with `kind`."""

    def answer(kind: str, **more: str) -> threading.Thread:
        def go() -> None:
            consumer = confluent_kafka.Consumer({"bootstrap.servers": settings.bootstrap, "group.id": "test"})
            name = settings.topic_prefix + "subscriber-events"
            consumer.assign([confluent_kafka.TopicPartition(name, p, 0) for p in range(4)])
            asked = consumer.poll(20)
            assert asked is not None
            event = decode_subscriber_event(asked.value())
            assert (event.type, event.cart_id, event.subscriber_id) == ("subscriber.reminder_requested", "c1", ANA)
            assert asked.key() == ANA.encode()
            assert event.request_id is not None
            consumer.close()
            with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as own:
                put(own, "messages", message(kind, request_id=event.request_id, subscriber_id=ANA, **more))

        thread = threading.Thread(target=go)
        thread.start()
        return thread

    return answer


def test_a_sent_reminder_is_said(run: Run, answered: Callable[..., threading.Thread]) -> None:
    thread = answered("sent")
    said = run("remind", "c1")
    thread.join()
    assert said.exit_code == 0, said.exception
    assert said.stdout.startswith("sent: ")


def test_a_refusal_is_an_error_with_its_words(run: Run, answered: Callable[..., threading.Thread]) -> None:
    thread = answered("suppressed", reason="daily_limit", words="One mail a day is enough.")
    said = run("remind", "c1")
    thread.join()
    assert isinstance(said.exception, Rejected)
    assert "One mail a day is enough." in str(said.exception)


def test_a_cart_nobody_knows_and_one_of_nobody_are_refused(run: Run, left: ClickHouse) -> None:
    assert "no abandoned cart 'c'" in str(run("remind", "c").exception)
    assert "no abandoned cart 'c1' in shop 'other'" in str(run("remind", "c1", "--shop", "other").exception)
    assert "Nobody is known" in str(run("remind", "c12").exception)


def test_no_answer_in_time_says_what_must_run(run: Run, left: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remind, "_PATIENCE_S", 1.0)
    said = run("remind", "c1")
    assert isinstance(said.exception, CartwakeError)
    assert "cartwake doctor" in str(said.exception)


def test_of_many_carts_each_has_its_account(run: Run, answered: Callable[..., threading.Thread]) -> None:
    thread = answered("sent")
    said = run("remind", "c1", "c12", "nobody", "c1", "--text", "Your cart is still here.")
    thread.join()
    lines = said.stdout.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["c1", "c12", "nobody"]
    assert lines[0].startswith("c1  sent: ")
    assert "Nobody is known" in lines[1]
    assert "no abandoned cart 'nobody'" in lines[2]
    assert isinstance(said.exception, Rejected)
    assert str(said.exception) == "2 of 3 reminders were not sent"


@pytest.mark.parametrize("text", ["", "x" * 2_001])
def test_own_words_that_are_too_long_or_none_are_refused_before_anything_is_asked(run: Run, text: str) -> None:
    said = run("remind", "c1", "--text", text, kafka_bootstrap="127.0.0.1:1")
    assert "at most 2,000" in str(said.exception)


@pytest.mark.parametrize(
    ("text", "words"), [("  ", "is empty"), ("x\n" * 61 + "y", "62 lines are too many; at most 60")]
)
def test_own_words_that_would_not_be_shown_are_refused(run: Run, text: str, words: str) -> None:
    said = run("remind", "c1", "--text", text, kafka_bootstrap="127.0.0.1:1")
    assert words in str(said.exception)


def test_as_many_at_once_as_the_console_takes(run: Run) -> None:
    said = run("remind", *(f"c{n}" for n in range(MOST_AT_ONCE + 1)), kafka_bootstrap="127.0.0.1:1")
    assert "101 carts are too many at once; at most 100" in str(said.exception)
