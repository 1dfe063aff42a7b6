"""Faults of the sender's clock: hours wrong, set while mails wait, and nights in which the hour is put on or back.

Mails are due by the broker's clock, which is this machine's; the sender alone has another one. The mail server notes
when it heard DATA: none before its time, none twice, none in quiet hours. So that Bucharest's clocks are changed while
somebody looks, the sender has a file of that time zone in which the night of the change is now.
"""

import itertools
import random
import struct
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import SystemClock
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from tests.faults.clocks import HOUR, MINUTE, PAST_S, SECOND, TOLERANCE_MS, Steps
from tests.faults.mailing import Server, cart, leave, plans, sending, started, stop
from tests.faults.pipe import Reader
from tests.faults.result import Ground, Result
from tests.patience import Late, until

ZONE: Final = "Europe/Bucharest"
DAY_S: Final = 86_400
GRACE_MS: Final = 5 * SECOND  # when quiet hours begin: a mail may be on its way, or still have to go
FOREVER: Final = 2**62
now_ms = SystemClock().now_ms


@dataclass(frozen=True)
class Night:
    """Quiet hours that begin or end in the middle of the window, by local time that is changed then or was before.

    `hour` is what the clock shows at that moment once it is changed, `before` an hour by how many seconds it was ahead.
    """

    quiet: tuple[str, str]
    hour: int
    before: int
    begins: bool
    changed_s: int = 0  # so long before the moment


NIGHTS: Final = {
    # 03:00 is 04:00: the end of the quiet hours
    "an hour is left out": Night(("22:00", "04:00"), hour=4, before=-3600, begins=False),
    # 04:00 is 03:00 again: quiet once more
    "an hour comes twice": Night(("22:00", "03:30"), hour=3, before=3600, begins=True),
    # the second 04:00 is the end of the quiet hours, not the first
    "the second time": Night(("22:00", "04:00"), hour=4, before=3600, begins=False, changed_s=3600),
}


@dataclass
class Found:
    """What a run amounts to."""

    mails: int = 0
    lost: int = 0
    double: int = 0
    worst_ms: int = 0  # latest after its time
    waited: int = 0  # for the end of quiet hours, or still waiting for it
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """When mails are due (epoch ms, by shopper), and when it is quiet."""

    due: Sequence[int]
    quiet_from: int
    quiet_until: int

    @property
    def ends(self) -> int:
        """From when on nothing may leave any more."""
        return self.quiet_from if self.quiet_until == FOREVER else FOREVER

    def leaves(self, number: int) -> int | None:
        """When a shopper's mail may leave, the earliest; None when the window is over before."""
        due = self.due[number]
        if not self.quiet_from <= due < self.quiet_until:
            return due
        return self.quiet_until if self.quiet_until < FOREVER else None


def run(ground: Ground, name: str, steps: Steps, first: int, mails: int, night: Night | None) -> Found:
    """One sender whose clock is wrong by `first` ms and then as `steps` say, while mails come due."""
    draw, found = random.Random(f"{ground.seed}/{name}"), Found()
    folder = ground.folder / name.replace(" ", "-")
    seconds = sum(pause for pause, _ in steps)
    with Server() as server:
        settings = sending(ground.bootstrap, folder, server, topic_prefix=f"{folder.name}{ground.seed}.")
        ensure_topics(settings, say=lambda _: None)
        folder.mkdir()
        clock = folder / "clock"
        clock.write_text(str(first))
        with Publisher(settings) as publisher:
            rules = {"steps": [{"after": "1h"}], "expiry": "1h"}
            set_for(publisher, "main", "reminders", rules)
            leave(publisher, cart(mails, now_ms() - HOUR), cart(mails + 1, now_ms() + HOUR))
            command = ("tests.faults.clock_worker", str(clock), "reminders")
            sender = started(settings, *command, PYTHONTZPATH=str(folder / "zones"))
            try:
                until(lambda: server.mails or sender.poll() is not None, "the sender writes")
                middle = now_ms() // SECOND * SECOND + mails // 2 + int((4 + seconds / 2) * SECOND)
                if night is not None:
                    middle = middle // SECOND * SECOND
                    write_zone(folder / "zones", night, middle // SECOND)
                    set_for(publisher, "main", "shop", {"time_zone": ZONE})
                    begin, end = night.quiet
                    set_for(publisher, "main", "reminders", rules | {"quiet_hours": {"begin": begin, "end": end}})
                    if not night.begins:
                        leave(publisher, cart(mails + 2, now_ms() - HOUR))
                        until(lambda: _is_held(settings), "the sender knows of the quiet hours", pause=0.2)
                began = middle - int(seconds * SECOND / 2)
                window = _window([began + draw.randrange(int(seconds * SECOND)) for _ in range(mails)], middle, night)
                leave(publisher, *(cart(number, at - HOUR) for number, at in enumerate(window.due)))
                time.sleep(max(0, began - now_ms()) / SECOND)
                for pause, offset in steps:
                    time.sleep(pause)
                    clock.write_text(str(offset))
                beside = 1 if night is None or night.begins else 2
                _wait(server, beside + sum(at < window.ends - GRACE_MS for at in window.due), found, name)
                if sender.poll() is not None:
                    found.wrong.append(f"{name}: the sender ended")
            finally:
                stop(sender)
        _judge(settings, server, window, found, name)
    return found


def _is_held(settings: Settings) -> bool:
    """Whether a mail waits for the end of quiet hours."""
    with closing(Reader(settings.bootstrap, settings.topic_prefix + topics.MESSAGES.name)) as messages:
        return any(b'"quiet_hours"' in record.value for record in messages.all())


def _wait(server: Server, mails: int, found: Found, name: str) -> None:
    """Return when so many have left, or too much time is over, which the judge sees as well."""
    try:
        until(lambda: len(server.mails) >= mails, "all have left", PAST_S)
    except Late as exc:
        found.wrong.append(f"{name}: {exc}")


def _window(due: Sequence[int], middle: int, night: Night | None) -> Window:
    if night is None:
        return Window(due, 0, 0)
    return Window(due, middle, FOREVER) if night.begins else Window(due, 0, middle)


def write_zone(folder: Path, night: Night, at: int) -> None:
    """The file of a time zone (RFC 8536, version 1) in which it is `night.hour` o'clock at `at` (epoch seconds)."""
    after = (night.hour * 3600 - at + DAY_S // 2) % DAY_S - DAY_S // 2
    change = at - night.changed_s
    moves = ((change - 180 * DAY_S, 0), (change, 1))
    kinds = ((after + night.before, night.before > 0, 0), (after, night.before < 0, 4))
    names = b"OLD\0NEW\0"
    raw = struct.pack(">4s16x6I", b"TZif", 0, 0, 0, len(moves), len(kinds), len(names))
    raw += b"".join(struct.pack(">i", when) for when, _ in moves) + bytes(kind for _, kind in moves)
    raw += b"".join(struct.pack(">i?B", *kind) for kind in kinds) + names
    path = folder / ZONE
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)


def _judge(settings: Settings, server: Server, window: Window, found: Found, name: str) -> None:
    messages = Reader(settings.bootstrap, settings.topic_prefix + topics.MESSAGES.name)
    said = {plan.cart_id: plan.ends for plan in plans(messages).values()}
    messages.close()
    heard: dict[str, list[int]] = {}
    for mail in server.mails:
        heard.setdefault(mail.recipient, []).append(mail.at)
    found.mails = len(window.due)
    for number, due in enumerate(window.due):
        at, leaves = heard.get(f"shopper-{number}@example.com", []), window.leaves(number)
        found.double += max(0, len(at) - 1)
        found.waited += leaves != due
        ends = said.get(f"c-{number}", set())
        if not at:
            may_wait = due > window.ends - GRACE_MS
            found.lost += not may_wait
            if ends:
                found.wrong.append(f"{name}: shopper {number} had no mail, the plan ended {sorted(ends)}")
        elif leaves is None or at[0] > window.ends + GRACE_MS:
            found.wrong.append(f"{name}: shopper {number} had a mail in quiet hours")
        elif at[0] < leaves - TOLERANCE_MS:
            found.wrong.append(f"{name}: shopper {number} had a mail {leaves - at[0]} ms too early")
        else:
            found.worst_ms = max(found.worst_ms, at[0] - leaves)
            if ends != {"sent"}:
                found.wrong.append(f"{name}: shopper {number} had a mail, the plan ended {sorted(ends)}")
    patient = f"c-{len(window.due) + 1}"
    if heard.get(f"shopper-{len(window.due) + 1}@example.com") or said.get(patient) != set():
        found.wrong.append(f"{name}: what is due in two hours ended {said.get(patient)}")


def mail_clock(ground: Ground) -> Result:
    """The clock hours ahead, hours behind, set again and again; quiet hours in the nights in which it is changed."""
    pause, mails, nightly = (8, 60, 40) if ground.quick else (75, 1_500, 600)
    around = [MINUTE, 0, -MINUTE, 0] * (1 if ground.quick else 4)
    length = 2 * pause / len(around)
    runs: dict[str, tuple[Steps, int, int, Night | None]] = {
        "3 h ahead": ([(2 * pause, 3 * HOUR)], 3 * HOUR, mails, None),
        "3 h behind": ([(2 * pause, -3 * HOUR)], -3 * HOUR, mails, None),
        "steps of 60 s": ([(length, offset) for offset in around], 0, mails, None),
    }
    wrong = itertools.cycle((3 * HOUR, -3 * HOUR))
    for (name, night), offset in zip(NIGHTS.items(), wrong, strict=False):
        runs[name] = [(pause, offset), (pause, 0)], offset, nightly, night
    with ThreadPoolExecutor(len(runs)) as pool:
        found = list(pool.map(lambda name: run(ground, name, *runs[name]), runs))
    return Result(
        "clock of the sender of mails", len(runs), sum(f.mails for f in found), 0, sum(f.lost for f in found),
        sum(f.double for f in found), (), ground.seed,
        f"{', '.join(runs)}; {sum(f.waited for f in found)} waited for the end of quiet hours; the latest "
        f"{max(f.worst_ms for f in found) / SECOND:.1f} s after its time",
        tuple(line for f in found for line in f.wrong)[:20],
    )  # fmt: skip


ROWS = {"mail-clock": mail_clock}
