"""The negative control: the same kills on stock Faust must lose events, or the test is blind."""

import random
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

from tests.faults.checker import Commits, Follower, patiently
from tests.faults.fleet import ROOT
from tests.faults.load import Load
from tests.faults.result import Fault, Ground, Result
from tests.faults.scene import Scene, Score
from tests.faults.workers import SHORT
from tests.patience import Late, until

EVENTS, KILLS, PARTITIONS = 3_000, 2, 8
AT_ONCE: Final = 3
QUIET_S: Final = 8.0


def control(ground: Ground) -> Result:
    """Kill stock Faust until it has lost an event: one that never came out though its offset is committed."""
    chance = random.Random(ground.seed)
    runs = lost = double = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while not lost and runs < 4 * AT_ONCE:
            seeds = [chance.random() for _ in range(AT_ONCE)]
            for gone, again in pool.map(lambda seed: _run(ground, random.Random(seed)), seeds):
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
    _feed(ground.bootstrap, f"{name}.in")
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
        _wait_for_rest(commits)
    except Late:
        pass  # it hangs: what it has committed by then counts all the same
    finally:
        process.kill()
        process.wait()
        read()
        out.close()
    committed = patiently(commits.now)
    commits.close()
    heard = Follower(ground.bootstrap, f"{name}.in")
    done = {record.value for record in heard.fresh() if record.offset < committed.get(record.partition, 0)}
    heard.close()
    return len(done - set(found)), len(found) - len(set(found))


def _wait_for_rest(commits: Commits) -> None:
    """Return when all is committed, or nothing moves any more: it may hang for good."""
    total, since = -1, time.monotonic()
    while total < EVENTS and time.monotonic() - since < QUIET_S:
        before, total = total, sum(patiently(commits.now).values())
        since = time.monotonic() if total != before else since
        time.sleep(0.3)
    time.sleep(0.5)


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
    producer.flush(30)


def forgetful(ground: Ground) -> Result:
    """Workers that commit without writing their state, one of them killed: the checker must say so."""
    score = Score("negative control: no changelog", ground.seed)
    # far more than is fed before the kill, on however slow a machine: what is over by then can't be lost
    with Scene(ground, Load(ground.seed, 60_000), partitions=1) as scene:
        (worker,) = scene.begin(1, rate=1_500, config=SHORT, forget=True)
        scene.pause(0.5, 1.0)
        over = scene.feeder.done
        moment = time.monotonic()
        scene.fleet.kill(worker)
        score.kills += 1
        scene.fleet.start(config=SHORT)
        scene.recover(score, moment, {0})
        scene.settle(score)
    score.notes = [f"the checker says: {'; '.join(one[:60] for one in score.wrong) or 'nothing'}"]
    if over:
        score.wrong = ["all had been fed before the kill: this run shows nothing"]
    elif score.lost and any(one.startswith("I5") for one in score.wrong):
        score.wrong = []
    else:
        score.wrong = ["the checker is blind"]
    return score.result()


ROWS: Final[dict[str, Fault]] = {"control": control, "control state": forgetful}
