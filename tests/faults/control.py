"""The negative control: the same kills on stock Faust must lose events, or the test is blind."""

import random
import subprocess
import sys
import threading
import time
import uuid
from typing import Any, Final

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

from tests.faults.checker import Commits, Follower, patiently
from tests.faults.fleet import ROOT, Late, until
from tests.faults.result import Fault, Ground, Result

EVENTS, KILLS, RATE, PARTITIONS = 3_000, 2, 600.0, 8


def control(ground: Ground) -> Result:
    """Kill stock Faust until it has lost an event; it never commits what it has not done, it says."""
    chance = random.Random(ground.seed)
    runs = lost = double = 0
    while not lost and runs < (4 if ground.quick else 10):
        gone, again = _run(ground, chance)
        runs, lost, double = runs + 1, lost + gone, double + again
    note = f"stock Faust lost {lost} of {runs * EVENTS:,} events: the test sees"
    return Result(
        "negative control: stock Faust", runs, runs * EVENTS, runs * KILLS, lost, 0, (), ground.seed,
        f"{note}; {double} repeats", () if lost else ("the test is blind",),
    )  # fmt: skip


def _run(ground: Ground, chance: random.Random) -> tuple[int, int]:
    """One run: ids that never came out though their offsets are committed, and ids that came again."""
    name = f"stock{uuid.uuid4().hex[:8]}"
    _make(ground.bootstrap, f"{name}.in", f"{name}.out")
    commits = Commits(ground.bootstrap, name, f"{name}.in")
    feeder = threading.Thread(target=_feed, args=(ground.bootstrap, f"{name}.in"), daemon=True)
    feeder.start()
    out = Follower(ground.bootstrap, f"{name}.out")
    process = _start(ground, name)
    found: list[bytes] = []

    def read() -> int:
        found.extend(record.value for record in out.fresh())
        return len(found)

    try:
        for n in range(1, KILLS + 1):
            until(lambda n=n: read() >= n * EVENTS // (KILLS + 2), "stock Faust to work")
            time.sleep(chance.uniform(0.2, 1.0))
            process.kill()
            process.wait()
            process = _start(ground, name)
        feeder.join()
        until(lambda: sum(patiently(commits.now).values()) >= EVENTS, "stock Faust to commit all", 60)
        time.sleep(1)
    except Late:
        return 0, 0  # it hangs, which proves nothing about the test
    finally:
        process.kill()
        process.wait()
        read()
        out.close()
        commits.close()
    return EVENTS - len(set(found)), len(found) - len(set(found))


def _start(ground: Ground, name: str) -> subprocess.Popen[bytes]:
    folder = ground.folder / name
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("ab") as log:
        command = [sys.executable, "-m", "tests.faults.stock", ground.bootstrap, name, str(folder), "worker"]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _make(bootstrap: str, *names: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
        made.result(30)


def _feed(bootstrap: str, topic: str) -> None:
    producer: Any = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "log_level": 2})
    for n in range(EVENTS):
        producer.produce(topic, f'"{n}"', f'"k{n % 20}"')
        producer.poll(0)
        if n % 10 == 0:
            time.sleep(10 / RATE)
    producer.flush(30)


ROWS: Final[dict[str, Fault]] = {"control": control}
