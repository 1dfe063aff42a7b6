"""Faults of clocks: the worker's is hours wrong, or is set while it runs; local time changes.

What is demanded is by the broker's clock, which stamps every record as it is appended (LogAppendTime): no abandonment
is told before its deadline, and each cart that was left is told once, at the latest when the clock is right again.
"""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import msgspec

from cartwake import topics
from cartwake.clock import SystemClock, to_ms
from cartwake.model import encode
from tests.faults.pipe import Pipe
from tests.faults.result import Fault, Ground, Result
from tests.patience import Late, until

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
IDLE_S: Final = 3  # of the shop `short`; `long` has the default of two hours
FOREVER: Final = 2**62
TOLERANCE_MS: Final = 20  # two readings of one clock
PAST_S: Final = 120  # what a timer may need on a busy machine once time has come
now_ms = SystemClock().now_ms


@dataclass
class Watch:
    """What was sent: by cart, the times of its activity."""

    left: dict[str, list[int]] = field(default_factory=dict)
    busy: dict[str, list[int]] = field(default_factory=dict)
    patient: dict[str, list[int]] = field(default_factory=dict)
    events: int = 0

    def deadlines(self) -> dict[str, set[int]]:
        """When each cart of the shop `short` is abandoned: after its last activity, and in a gap as long as that."""
        idle = IDLE_S * SECOND
        return {
            cart: {at + idle for at, after in itertools.pairwise([*times, FOREVER]) if after - at >= idle}
            for cart, times in [*self.left.items(), *self.busy.items()]
        }


@dataclass
class Found:
    """What a run amounts to."""

    events: int = 0
    lost: int = 0
    double: int = 0
    told: int = 0
    while_wrong: int = 0  # carts told before the clock was right again, of those that were due by then
    due_while_wrong: int = 0
    worst_ms: int = 0  # latest after its deadline
    early: list[int] = field(default_factory=list)  # ms before the deadline
    wrong: list[str] = field(default_factory=list)


class Shop:
    """Sends carts of three kinds: left at once, touched again and again, and left in a shop that is patient."""

    def __init__(self, pipe: Pipe, zone: timezone = UTC) -> None:
        self._pipe, self._zone = pipe, zone
        self.watch = Watch()
        self._lock = threading.Lock()

    def leave(self, count: int) -> None:
        """So many carts are filled and left."""
        self._fill(self.watch.left, "left", "short", range(len(self.watch.left), len(self.watch.left) + count))

    def touch(self, count: int) -> None:
        """The busy carts are touched."""
        self._fill(self.watch.busy, "busy", "short", range(count))

    def wait(self, count: int) -> None:
        """So many carts are left where nobody is in a hurry."""
        self._fill(self.watch.patient, "patient", "long", range(count))

    def _fill(self, kind: dict[str, list[int]], prefix: str, shop: str, numbers: Iterable[int]) -> None:
        with self._lock:
            for number in numbers:
                at = now_ms()
                cart_id = f"{prefix}-{number}"
                event = {"event_id": f"{cart_id}-{at}-{self.watch.events}", "type": "cart.item_added", "shop_id": shop}
                told = datetime.fromtimestamp(at / 1000, self._zone).isoformat(timespec="milliseconds")
                filled = event | {"cart_id": cart_id, "occurred_at": told, "items": [{"sku": "a", "price": "1"}]}
                self._pipe.send(topics.CART_EVENTS, cart_id, encode(filled))
                kind.setdefault(cart_id, []).append(at)
                self.watch.events += 1
            self._pipe.flush()


#: What is done to the clock while carts come and go: seconds to wait, then by how much it is wrong.
Steps = Sequence[tuple[float, int]]


def run(
    ground: Ground, steps: Steps, *, first: int = 0, ends: str = "", zone: timezone = UTC, wave: int = 5, **environ: str
) -> Found:
    """One worker whose clock is wrong by `first` ms and then as `steps` say; the last step makes it right."""
    found = Found()
    with Pipe(ground) as pipe:
        pipe.idle("short", f"{IDLE_S}s")
        clock = ground.folder / f"{pipe.settings.topic_prefix}clock"
        clock.write_text(str(first))
        worker = pipe.start(clock=clock, **environ)
        shop = Shop(pipe, zone)
        try:
            shop.touch(5)
            until(lambda: pipe.is_read() or not worker.alive, "the worker reads")
            shop.wait(60)
            for pause, offset in steps:
                _trade(shop, wave, pause)
                found.due_while_wrong = _due(shop.watch)
                found.while_wrong = len({cart for cart in _told(pipe) if cart in shop.watch.left})
                clock.write_text(str(offset))
            _trade(shop, wave, 2)
            until(lambda: not worker.alive or _all_told(pipe, shop.watch), "all are told", IDLE_S + PAST_S)
        except Late as exc:
            found.wrong.append(str(exc))
        if not worker.alive:
            found.wrong.append(f"the process ended: {worker.last_words()}")
        if ends and not any(ends in line for line in worker.said):
            found.wrong.append(f"local time never became {ends}: {worker.said}")
        worker.stop()
        _judge(pipe, shop.watch, found)
    return found


def _trade(shop: Shop, wave: int, seconds: float) -> None:
    """Carts are left, then there is silence but for the busy ones, which no timer may take for left."""
    shop.leave(wave)
    end = time.monotonic() + seconds
    while (rest := end - time.monotonic()) > 0:
        time.sleep(min(rest, IDLE_S / 3))
        shop.touch(5)


def _told(pipe: Pipe) -> dict[str, list[tuple[int, int]]]:
    """By cart, deadline and time of its abandonments, the same outcome once; without those that were taken back.

    On a busy machine an event may reach the broker after its cart's deadline: then both are right.
    """
    told: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    records = pipe.reader(topics.CART_OUTCOMES).all()
    outcomes = [msgspec.json.decode(record.value) | {"at": record.timestamp} for record in records if record.value]
    back = {said["abandonment_id"] for said in outcomes if said["type"] == "cart.withdrawn"}
    for said in outcomes:
        if said["type"] == "cart.abandoned" and said["abandonment_id"] not in back:
            deadline = to_ms(datetime.fromisoformat(said["abandoned_at"]))
            told[said["cart_id"]].setdefault(said["outcome_id"], (deadline, said["at"]))
    return {cart: list(abandonments.values()) for cart, abandonments in told.items()}


def _all_told(pipe: Pipe, watch: Watch) -> bool:
    told = _told(pipe)
    return all(
        deadlines <= {deadline for deadline, _ in told.get(cart, [])} for cart, deadlines in watch.deadlines().items()
    )


def _due(watch: Watch) -> int:
    """How many of the left carts have been past their deadline by the right clock for a second."""
    return sum(now_ms() >= at + (IDLE_S + 1) * SECOND for (at,) in watch.left.values())


def _judge(pipe: Pipe, watch: Watch, found: Found) -> None:
    told = _told(pipe)
    found.events = watch.events
    early: dict[str, list[int]] = defaultdict(list)
    for cart, abandonments in told.items():
        kind = cart.partition("-")[0]
        for deadline, at in abandonments:
            if at < deadline - TOLERANCE_MS:
                early[kind].append(deadline - at)
            found.worst_ms = max(found.worst_ms, at - deadline)
    for cart, deadlines in watch.deadlines().items():
        mine = [deadline for deadline, _ in told.get(cart, [])]
        right = deadlines & set(mine)
        found.told += len(right)
        found.lost += len(deadlines) - len(right)
        found.double += len(mine) - len(right)
    found.double += sum(len(told.get(cart, [])) for cart in watch.patient)
    for kind, by in sorted(early.items()):
        found.early += by
        found.wrong.append(
            f"{len(by)} abandonments of {kind} carts told before their deadline, by up to {max(by) / SECOND:,.1f} s"
        )


# -- rows ------------------------------------------------------------------------------------------------------
def _result(ground: Ground, name: str, found: Sequence[Found], note: str) -> Result:
    return Result(
        fault=name,
        runs=len(found),
        events=sum(f.events for f in found),
        kills=0,
        lost=sum(f.lost for f in found),
        double=sum(f.double for f in found),
        recovered_s=(),
        seed=ground.seed,
        note=note,
        wrong=tuple(line for f in found for line in f.wrong),
    )


def _hours(name: str, offset: int) -> Fault:
    """The worker's clock is wrong from its start, and put right at the end."""

    def fault(ground: Ground) -> Result:
        pauses = [3] if ground.quick else [10] * 12
        steps = [*((pause, offset) for pause in pauses), (IDLE_S + 2, 0)]
        found = run(ground, steps, first=offset, wave=5 if ground.quick else 50)
        note = (
            f"{found.told} abandonments told; of {found.due_while_wrong} that were due while the clock was wrong "
            f"{found.while_wrong} were told then; the latest {found.worst_ms / SECOND:.1f} s after its deadline; "
            f"{len(found.early)} too early"
        )
        return _result(ground, name, [found], note)

    return fault


def clock_steps(ground: Ground) -> Result:
    """The clock jumps a minute ahead and back, and a minute back and ahead, while carts are left."""
    around = [(2, MINUTE), (2, 0), (2, -MINUTE), (4, 0)]
    if not ground.quick:
        around = [(10, MINUTE), (10, 0), (10, -MINUTE), (10, 0)] * 3 + [(70, -MINUTE), (70, 0)]
    found = run(ground, around, wave=5 if ground.quick else 20)
    note = (
        f"{len(around)} steps of 60 s; {found.told} abandonments told, the latest {found.worst_ms / SECOND:.1f} s "
        f"after its deadline; {len(found.early)} too early"
    )
    return _result(ground, "clock steps of 60 s", [found], note)


def daylight_saving(ground: Ground) -> Result:
    """Local time goes an hour ahead, and back, while carts are left; and a worker in New York."""
    soon = 10 if ground.quick else 30
    change = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=soon)
    day = change.timetuple().tm_yday
    at = f"{change:%H:%M:%S}"
    back = f"{change.hour + 1}{change:%:%M:%S}"  # the end of summer is given in summer time
    pauses: Steps = [(soon, 0), (IDLE_S, 0)]
    places: dict[str, Callable[[], Found]] = {
        "an hour ahead": lambda: run(
            ground, pauses, TZ=f"WIN0SUM,J{_julian(change)}/{at},J{_julian(change) + 1}/0", ends="SUM +0100"
        ),
        "an hour back": lambda: run(
            ground, pauses, TZ=f"WIN0SUM,J{max(1, day - 9)}/0,J{_julian(change)}/{back}", ends="WIN +0000",
            zone=timezone(timedelta(hours=1)),
        ),
        "New York": lambda: run(ground, pauses, TZ="America/New_York", ends="-0", zone=timezone(timedelta(hours=-5))),
    }  # fmt: skip
    with ThreadPoolExecutor(len(places)) as pool:
        found = list(pool.map(lambda place: place(), places.values()))
    worst = max(f.worst_ms for f in found) / SECOND
    note = (
        f"{', '.join(places)}; {sum(f.told for f in found)} abandonments told, the latest {worst:.1f} s "
        f"after its deadline; {sum(len(f.early) for f in found)} too early"
    )
    return _result(ground, "daylight saving", found, note)


def _julian(moment: datetime) -> int:
    """The day of the year as POSIX counts it with J: February has 28 days."""
    day = moment.timetuple().tm_yday
    is_leap = (moment.replace(month=12, day=31).timetuple().tm_yday) == 366
    return day - 1 if is_leap and moment.month > 2 else day


ROWS: Final[dict[str, Fault]] = {
    "clock 3 h ahead": _hours("clock 3 h ahead", 3 * HOUR),
    "clock 3 h behind": _hours("clock 3 h behind", -3 * HOUR),
    "clock steps of 60 s": clock_steps,
    "daylight saving": daylight_saving,
}
