"""Kafka that is not there yet, and Kafka that is killed: the roles wait, say so, and go on. And `cartwake up`."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.group import answers, role_part
from cartwake.model import encode
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from local.kafka import LocalKafka
from local.supervisor import Supervisor
from tests.conftest import free_port
from tests.patience import until

pytestmark = pytest.mark.stack


def _leave_a_cart(publisher: Publisher) -> str:
    cart = f"c-{uuid.uuid4().hex[:6]}"
    event = {
        "event_id": uuid.uuid4().hex, "type": "cart.item_added", "cart_id": cart, "currency": "EUR",
        "occurred_at": rfc3339(time.time_ns() // 1_000_000), "items": [{"sku": "A", "price": "1.00"}],
    }  # fmt: skip
    publisher.send_and_wait(topics.CART_EVENTS, cart, encode(event), timeout=60)
    return cart


def _abandoned(settings: Settings) -> set[str]:
    consumer: Any = KafkaConsumer(bootstrap_servers=settings.bootstrap, enable_auto_commit=False)
    try:
        places = [TopicPartition("cartwake.cart-outcomes", n) for n in range(settings.partitions)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends, found = consumer.end_offsets(places), []
        while any(consumer.position(place) < ends[place] for place in places):
            for batch in consumer.poll(timeout_ms=300).values():
                found += [msgspec.json.decode(record.value) for record in batch]
        return {outcome["cart_id"] for outcome in found if outcome["type"] == "cart.abandoned"}
    finally:
        consumer.close()


def test_streams_wait_for_kafka_and_outlive_its_death(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, kafka_port=free_port())
    kafka = LocalKafka(tmp_path, settings.kafka_port)
    with Supervisor([role_part("streams", settings)], tmp_path, lambda _text: None) as supervisor:
        until(lambda: "waiting for Kafka" in supervisor.log("streams").read_text(), "it says that it waits")
        process = supervisor.pids()["streams"]
        kafka.start()
        try:
            until(lambda: "partitions assigned" in supervisor.log("streams").read_text(), "it begins")
            with Publisher(settings) as publisher:
                set_for(publisher, "main", "carts", {"idle": "1s", "trial": True})
                first = _leave_a_cart(publisher)
                until(lambda: first in _abandoned(settings), "the first cart")

                assert kafka.process is not None
                kafka.process.kill()
                kafka.process.wait()
                time.sleep(2)
                kafka.start()
                second = _leave_a_cart(publisher)
                until(lambda: second in _abandoned(settings), "the cart after Kafka's death")
            assert _abandoned(settings) == {first, second}
            os.kill(process, 0)  # still the same process
        finally:
            kafka.stop()


def test_up_starts_everything_and_ends_it_on_ctrl_c(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("kafka_port", "clickhouse_port", "collector_port", "console_port")}
    settings = Settings(data_dir=tmp_path, mailbox_port=free_port(below=24_000), **ports)
    process = subprocess.Popen(
        [sys.executable, "-m", "cartwake", "up"],
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert settings.console_url in process.stdout.read(len("console    ") + len(settings.console_url))
        until(lambda: answers(f"{settings.console_url}/healthz"), "the console")
        until(lambda: answers(f"{settings.collector_url}/readyz"), "the collector")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdout.close()
    for port in (*ports.values(), settings.mailbox_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on {port}"
