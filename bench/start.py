"""Start: from the command to the first event committed, in a group that waits for nobody else."""

import argparse
import json
import tempfile
import time
import uuid
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.broker import broker
from bench.made import GROUP, fill, settled, workers
from cartwake import topics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--json", action="store_true")


def main(arguments: argparse.Namespace) -> int:
    """Start a worker again and again, with one event waiting each time."""
    taken = []
    with broker(arguments.bootstrap, together_ms=0) as bootstrap, tempfile.TemporaryDirectory() as folder:
        prefix = f"start{uuid.uuid4().hex[:6]}."
        fill(bootstrap, prefix, 0, iter(()))
        topic = prefix + topics.CART_EVENTS.name
        offsets = Consumer({"bootstrap.servers": bootstrap, "group.id": prefix + GROUP, "log_level": 2})
        producer = Producer({"bootstrap.servers": bootstrap, "log_level": 2})
        for run in range(arguments.runs):
            value = f'{{"event_id":"{run}","type":"cart.viewed","cart_id":"c","occurred_at":{time.time_ns() // 10**6}}}'
            producer.produce(topic, value, "c", 0)
            producer.flush(30)
            with workers(1, bootstrap, prefix, Path(folder)) as found:
                settled(found)
                while offsets.committed([TopicPartition(topic, 0)], timeout=10)[0].offset <= run:
                    time.sleep(0.01)
                taken.append(time.time() - found[0].started)
        offsets.close()
    taken.sort()
    print(f"from the command to the first event committed: {taken[0]:.2f} / {taken[len(taken) // 2]:.2f} / "
          f"{taken[-1]:.2f} s (min/median/max)")  # fmt: skip
    if arguments.json:
        print(json.dumps({"start_s": taken}))
    return 0
