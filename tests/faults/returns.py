"""Reports on mails come by pipe and from a mailbox, and who takes them in is killed again and again.

What must come of each report is known from its making (`reports`). The topics are read by kafka-python, and at the end
everybody is left a cart: who is written to then, the mail server says.
"""

import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import SystemClock
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from tests.faults.mailing import Server, cart, leave, plans, role, sending, started, stop
from tests.faults.pipe import Reader
from tests.faults.reports import Person, Told, Writer, utc_now
from tests.faults.result import Ground, Result
from tests.patience import until
from tests.reminders.mailservers import PASSWORD, USER, Imap

TRY_AGAIN: Final = 75
#: How a person who is written to no more is called, by what was told.
_KINDS: Final = {"subscriber.bounced": "", "subscriber.complained": "complained", "subscriber.withdrawn": "withdrawn"}


def bounces(ground: Ground) -> Result:
    """Ten thousand reports; the intake is killed at random times and run again."""
    reports, by_pipe, kills = (120, 4, 2) if ground.quick else (10_000, 100, 12)
    draw = random.Random(f"{ground.seed}/bounces")
    began = time.monotonic()
    with Server() as server:
        settings = sending(ground.bootstrap, ground.folder, server, topic_prefix=f"back{ground.seed}.")
        ensure_topics(settings, say=lambda _: None)
        people = Writer(draw, settings.secret, utc_now()).people(reports)
        mails = [raw for person in people for raw in person.reports]
        draw.shuffle(mails)
        killed = _pipe(settings, mails[:by_pipe], draw)
        with Imap(mails[by_pipe:]) as box:
            killed += _fetch(settings, box, kills, draw)
        with Publisher(settings) as publisher:
            set_for(publisher, "main", "reminders", {"steps": [{}], "cap": 5})
            leave(publisher, *(cart(person.number, SystemClock().now_ms()) for person in people))
        messages = Reader(settings.bootstrap, settings.topic_prefix + topics.MESSAGES.name)
        sender = role(settings, "reminders")
        try:
            until(lambda: len(_ends(messages)) >= len(people), "everybody's plan ends", 240, 0.5)
        finally:
            stop(sender)
        events = Reader(settings.bootstrap, settings.topic_prefix + topics.SUBSCRIBER_EVENTS.name)
        told = _told(events.all())
        written_to = Counter(mail.recipient for mail in server.mails)
        found = _judge(people, told, _ends(messages), written_to)
        messages.close()
        events.close()
    groups = Counter(person.group for person in people)
    return Result(
        "bounces: the intake is killed", 1, len(mails), killed, found.lost, found.double, (), ground.seed,
        f"{len(people):,} people ({', '.join(f'{n} {group}' for group, n in groups.items())}), "
        f"{found.silenced:,} not written to any more, {told.repeats} records repeated under one id; "
        f"{time.monotonic() - began:.0f} s",
        tuple(found.wrong[:20]),
    )  # fmt: skip


ROWS = {"bounces": bounces}


# -- taking in -----------------------------------------------------------------------------------------------------
def _pipe(settings: Settings, mails: Sequence[bytes], draw: random.Random) -> int:
    """Hand each over as a mail server does, again when it was killed or asked for that; how many were killed."""
    killed = 0
    for number, raw in enumerate(mails):
        for patience in (*([draw.random()] if number % 2 else []), None):
            with (settings.data_dir / "mail").open("w+b") as file:
                file.write(raw)
                file.seek(0)
                process = started(settings, "cartwake", "bounces", "pipe", stdin=file)
                try:
                    code = process.wait(patience or 60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = process.wait()
                    killed += 1
            if code == 0:
                break
        else:
            raise AssertionError(f"the pipe ended with {code}")
    return killed


def _fetch(settings: Settings, box: Imap, kills: int, draw: random.Random) -> int:
    """Look into the mailbox until nothing is new; killed so often on the way."""
    url = f"imap://{USER.replace('@', '%40')}@127.0.0.1:{box.port}"
    at = sorted(draw.randrange(len(box.mails)) for _ in range(kills))
    killed = 0
    while any(not mail.flags for mail in box.mails):
        process = started(
            settings, "cartwake", "bounces", "fetch", "--plain", "--url", url, CARTWAKE_BOUNCES_PASSWORD=PASSWORD
        )  # fmt: skip
        while process.poll() is None:
            if at and sum(bool(mail.flags) for mail in box.mails) >= at[0]:
                time.sleep(draw.random() / 20)
                process.kill()
                at.pop(0)
                killed += 1
            time.sleep(0.002)
        if process.returncode not in (0, -9):
            raise AssertionError(f"bounces fetch ended with {process.returncode}")
    return killed


# -- judging -------------------------------------------------------------------------------------------------------
@dataclass
class Heard:
    """What the topic says of each person; `repeats` are records under an id that had been there."""

    of: dict[str, Counter[Told]] = field(default_factory=lambda: defaultdict(Counter))
    repeats: int = 0


@dataclass
class Found:
    """What it amounts to. `lost`: reports without effect; `double`: effects without a report, or counted twice."""

    lost: int = 0
    double: int = 0
    silenced: int = 0
    wrong: list[str] = field(default_factory=list)


def _told(records: Sequence[Any]) -> Heard:
    heard, known = Heard(), dict[str, str]()
    for record in records:
        said = msgspec.json.decode(record.value)
        if said["event_id"] in known:
            heard.repeats += 1
            continue
        known[said["event_id"]] = said["type"]
        what = _KINDS[said["type"]] or said["reason"].partition(":")[0]
        day = int(datetime.fromisoformat(said["occurred_at"]).timestamp()) // 86_400
        heard.of[said["subscriber_id"]][Told(what, "", day)] += 1
    return heard


def _ends(messages: Reader) -> dict[str, tuple[str, str | None]]:
    """By cart, how its plan ended."""
    found = {}
    for plan in plans(messages).values():
        if plan.cart_id and plan.ends:
            (end,) = plan.ends
            found[plan.cart_id] = end, plan.reason
    return found


def _judge(
    people: Sequence[Person], told: Heard, ends: dict[str, tuple[str, str | None]], written_to: Counter[str]
) -> Found:
    found = Found()
    for person in people:
        heard = told.of[person.subscriber_id]
        wanted = Counter((one.what, one.day) for one in person.told)
        got: Counter[tuple[str, int | None]] = Counter()
        for one, times in heard.items():
            got[one.what, one.day if (one.what, one.day) in wanted else None] += times
        lost, double = (wanted - got).total(), (got - wanted).total()
        end, reason = ends[f"c-{person.number}"]
        times = written_to[f"shopper-{person.number}@example.com"]
        right = ("suppressed", person.silenced) if person.silenced else ("sent", None)
        lost += times > 0 if person.silenced else times == 0
        found.silenced += times == 0
        found.lost, found.double = found.lost + lost, found.double + double + max(0, times - 1)
        if lost or double or (end, reason) != right:
            found.wrong.append(
                f"shopper {person.number} ({person.group}): events {dict(got)} instead of {dict(wanted)}, "
                f"plan {end} {reason}, {times} mails"
            )
    return found
