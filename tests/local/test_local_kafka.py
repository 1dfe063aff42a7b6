"""The embedded Kafka is a real one: durable, alone on its folder, gone when stopped."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from local_probes import alive, free_port

from cartwake.errors import ConfigurationError
from local.kafka import LocalKafka, answers
from tests.patience import until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    with LocalKafka(tmp_path_factory.mktemp("broker"), free_port()) as kafka:
        yield kafka


def make_topic(kafka: LocalKafka, name: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(20)


def produce(kafka: LocalKafka, topic: str, *values: bytes, codec: str = "none") -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "compression.type": codec, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(kafka: LocalKafka, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[bytes] = []
    until(lambda: found.extend(m.value() for m in consumer.consume(count, 0.5)) or len(found) >= count, "the records")
    consumer.close()
    return found


def test_kill_9_loses_nothing_and_a_restart_takes_another_controller_port(tmp_path: Path, port: int) -> None:
    with LocalKafka(tmp_path, port) as kafka:
        make_topic(kafka, "t")
        produce(kafka, "t", b"kept")
        assert kafka.process is not None
        pid = kafka.process.pid
        kafka.process.kill()
    assert not alive(pid)
    with LocalKafka(tmp_path, port) as again:
        assert consume(again, "t", 1) == [b"kept"]
        assert again.process is not None
        pid = again.process.pid
    assert not alive(pid)
    assert not answers(again.bootstrap)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_broker_takes_and_gives_every_codec(broker: LocalKafka, codec: str) -> None:
    make_topic(broker, f"codec-{codec}")
    produce(broker, f"codec-{codec}", *[b"x" * 1000] * 100, codec=codec)
    assert consume(broker, f"codec-{codec}", 100) == [b"x" * 1000] * 100


def test_broker_compresses_itself_with_zstd(broker: LocalKafka) -> None:
    """The native library works in the trimmed Java."""
    make_topic(broker, "recompressed", **{"compression.type": "zstd"})
    produce(broker, "recompressed", b"y" * 1000)
    assert consume(broker, "recompressed", 1) == [b"y" * 1000]


def test_topics_are_stamped_by_the_broker_kept_and_never_made_by_accident(broker: LocalKafka) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    config = {name: entry.value for name, entry in admin.describe_configs([resource])[resource].result(20).items()}
    assert config["log.message.timestamp.type"] == "LogAppendTime"
    assert config["log.retention.ms"] == "-1"
    assert config["auto.create.topics.enable"] == "false"
    assert config["offsets.topic.replication.factor"] == "1"


def test_record_of_two_mebibytes_is_taken(broker: LocalKafka) -> None:
    make_topic(broker, "large")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 4_000_000})
    failed: list[object] = []
    producer.produce("large", b"z" * (2 * 1024 * 1024 + 1000), on_delivery=lambda error, _: failed.append(error))
    producer.flush(20)
    assert failed == [None]


def test_second_kafka_on_the_same_folder_is_refused_and_the_first_goes_on(broker: LocalKafka) -> None:
    with pytest.raises(ConfigurationError, match=rf"already running on .*port {broker.port}.*CARTWAKE_DATA_DIR"):
        LocalKafka(broker.data_dir, free_port()).start()
    make_topic(broker, "still-there")


def test_taken_port_is_said_with_the_setting_and_an_example(tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(ConfigurationError, match=rf"Port {port} .*CARTWAKE_KAFKA_PORT=19092"):
            LocalKafka(tmp_path, port).start()
        command = [sys.executable, "-m", "local.kafka", "--data-dir", str(tmp_path), "--port", str(port)]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 1
    assert "CARTWAKE_KAFKA_PORT=19092" in done.stderr
    assert "Traceback" not in done.stderr


def test_broker_listens_on_loopback_only(broker: LocalKafka) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no other address")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no other address")
    assert not answers(f"{address}:{broker.port}")
    assert answers(broker.bootstrap)


def test_silent_or_foreign_listener_is_no_kafka(port: int) -> None:
    assert not answers(f"127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", port)):
        assert not answers(f"127.0.0.1:{port}", timeout_s=0.2)
    assert not answers("nonsense")


def test_nothing_of_kafka_reaches_the_terminal(tmp_path: Path, port: int) -> None:
    script = (
        "import sys; from pathlib import Path; from local.kafka import LocalKafka\n"
        f"with LocalKafka(Path({str(tmp_path)!r}), {port}): pass"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "started" in (tmp_path / "kafka" / "logs" / "server.log").read_text()


def test_topic_that_was_not_made_is_unknown(broker: LocalKafka) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "topic.metadata.propagation.max.ms": 500})
    failed: list[KafkaException | None] = []
    producer.produce("nobody-made-this", b"x", on_delivery=lambda error, _: failed.append(error))
    producer.flush(20)
    assert failed[0] is not None
