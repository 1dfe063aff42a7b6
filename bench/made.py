"""A worker's past: a changelog full of carts, written as the stage would have written it, and workers that read it."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec
from confluent_kafka import Producer

from cartwake import pipeline
from cartwake.model import Item
from cartwake.settings import Settings
from cartwake.shops import Shops
from streams.cart_stage import key_of
from streams.carts import KEPT, WAITING, Cart

GROUP: Final = "bench"
PARTITIONS: Final = 4
_MARK: Final = 1_111_111_111_111  # stands where a time goes
_NAME: Final = "c-%010d"
_pack = msgspec.msgpack.encode


def contents() -> dict[str, Item]:
    """Three lines: about 300 bytes where they are packed."""
    names = ("Blue linen shirt with long sleeves", "Wool scarf, hand-woven", "Leather belt, brown, 95 cm")
    return {
        f"A{n:05d}": msgspec.convert(
            {"sku": f"A{n:05d}", "name": name, "quantity": n + 1, "price": "19.95", "category": "clothes"}, Item
        )
        for n, name in enumerate(names)
    }


def template(phase: int) -> bytes:
    """A packed cart of three lines after six events, with marks where name and time go."""
    cart = Cart(
        "main", phase, _MARK, _MARK, _NAME % 0, 5, 0, contents(), _MARK, -1, bytes(48), currency="EUR", held=True,
        cart_url="https://shop.example.com/cart/" + _NAME % 0, device_id="d-0123456789", session_id="s-0123456789ab",
        weight=1_800,
    )  # fmt: skip
    return _pack(cart)


def overhead() -> tuple[int, int]:
    """(bytes of the contents, bytes of the rest) of one packed cart."""
    inside = len(_pack(contents()))
    return inside, len(template(WAITING)) - inside


def fill(bootstrap: str, prefix: str, carts: int, due: Iterator[int], waiting: float = 1.0) -> float:
    """Make the topics and write `carts` states; `due` gives each one's last activity (epoch ms). Returns seconds.

    A share of 1 - `waiting` has been abandoned before and lies there until it is forgotten.
    """
    settings = Settings(kafka_bootstrap=bootstrap, topic_prefix=prefix, data_dir=Path(tempfile.gettempdir()))
    app = pipeline.app(settings, GROUP, [pipeline.left(Shops())], say=lambda _text: None)  # makes the topics
    topic = app.changelog(app.stages[0])
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 50, "compression.type": "lz4", "log_level": 2,
         "queue.buffering.max.messages": 500_000}
    )  # fmt: skip
    mark, name = _pack(_MARK), (_NAME % 0).encode()
    forms, key = [template(KEPT), template(WAITING)], key_of("main", _NAME % 0)
    began = time.monotonic()
    for number in range(carts):
        own, at = (_NAME % number).encode(), _pack(next(due))
        value = forms[number % 1000 < waiting * 1000].replace(mark, at).replace(name, own)
        while True:
            try:
                producer.produce(topic, value, key.replace(name, own), number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(300):
        raise TimeoutError("the carts could not be written")
    return time.monotonic() - began


class Worker:
    """A process of `bench.worker`; what it says waits in `said`."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path, memory_mb: int = 0) -> None:
        self.said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.started = time.time()
        command = [sys.executable, "-m", "bench.worker", bootstrap, prefix, str(folder), str(memory_mb)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(json.loads(line))

    def hear(self, timeout: float = 1800) -> dict[str, Any]:
        """The next thing it says."""
        return self.said.get(timeout=timeout)

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def workers(number: int, bootstrap: str, prefix: str, folder: Path, memory_mb: int = 0) -> Iterator[list[Worker]]:
    """So many workers, ended afterwards."""
    found = [Worker(bootstrap, prefix, folder / str(n), memory_mb) for n in range(number)]
    try:
        yield found
    finally:
        for worker in found:
            worker.stop()


def settled(found: list[Worker]) -> list[dict[str, Any]]:
    """What each said last, when all partitions are held by somebody."""
    last: dict[int, dict[str, Any]] = {}
    while sum(said["partitions"] for said in last.values()) != PARTITIONS or len(last) < len(found):
        for number, worker in enumerate(found):
            if worker.process.poll() is not None:
                raise RuntimeError(f"a worker ended with {worker.process.returncode}")
            while not worker.said.empty():
                last[number] = worker.hear()
        time.sleep(0.02)
    return list(last.values())
