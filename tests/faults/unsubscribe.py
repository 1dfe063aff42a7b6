"""Thousands stop their mails in every way there is while these are leaving, and the sender is killed meanwhile.

A mail is one too many when the server heard its DATA later than LATE_S after stage 3 had committed the offset of what
stopped it, by the broker's own topic of commits (QUICK_LATE_S in the quick form).
Tokens that are forged or cut, and links that are only looked at, must change nothing.
"""

import itertools
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import SystemClock
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from tests.conftest import free_port
from tests.faults.mailing import (
    Plan,
    Server,
    Taken,
    cart,
    commits,
    first,
    leave,
    not_once,
    plans,
    role,
    sending,
    started,
    stop,
)
from tests.faults.pipe import Reader
from tests.faults.result import Ground, Result
from tests.patience import until
from tests.reminders.mailservers import PASSWORD, USER, Imap, Stored
from tests.reminders.returned import complaint, report

ONE_CLICK: Final = b"List-Unsubscribe=One-Click"
LATE_S: Final = 2.0  # for a mail on its way, and two processes that look at one clock on a busy machine
QUICK_LATE_S: Final = 4.0  # with other faults beside it; acts come up to 8 s before their mail
HOUR_MS: Final = 3_600_000
now_ms = SystemClock().now_ms
#: What ends the mails, and the reason that must be said.
STOPS: Final = {
    "one click": "unsubscribed", "one click, twice": "unsubscribed", "page: no mails": "unsubscribed",
    "page: nothing more": "unsubscribed", "bounce": "bounced", "complaint": "complained", "erasure": "erased",
}  # fmt: skip
#: What must change nothing.
IDLE: Final = (
    "forged token", "cut token", "another shop's", "looked at", "page: no text messages", "forged bounce",
    "bounce without a token", "cut complaint",
)  # fmt: skip


@dataclass(frozen=True)
class Deed:
    """What a person does, and when (epoch ms)."""

    at: int
    what: str
    who: int


class People:
    """Does what people do, and keeps the answers that were wrong."""

    def __init__(self, settings: Settings, mails: dict[str, Taken], box: Imap, seed: int) -> None:
        self._events = f"{settings.collector_url}/v1/events"
        self._mails, self._box, self._seed = mails, box, seed
        self._uid = itertools.count(1)
        self.wrong: list[str] = []

    def do(self, deed: Deed) -> None:
        """One deed."""
        mail = self._mails[f"shopper-{deed.who}@example.com"]
        draw = random.Random(f"{self._seed}/{deed.who}/{deed.what}")
        if (raw := _returned(deed.what, mail, draw)) is not None:
            self._box.mails.append(Stored(next(self._uid), raw))
            return
        url, body, expected = self._asked(deed, mail, draw)
        status = until(lambda: (found := ask(url, body)) != 503 and found, f"an answer to {deed.what}", pause=0.5)
        if status != expected:  # 503: try again, as it says itself
            self.wrong.append(f"{deed.what}: {url} answers {status}, not {expected}")

    def _asked(self, deed: Deed, mail: Taken, draw: random.Random) -> tuple[str, bytes | None, int]:
        page, _, token = mail.stop.rpartition("/")
        about = {"event_id": f"erase-{deed.who}", "type": "subscriber.erased", "email": mail.recipient}
        asked: dict[str, tuple[str, bytes | None, int]] = {
            "page: no mails": (mail.stop, b"do=stop&channel=email", 200),
            "page: nothing more": (mail.stop, b"do=all", 200),
            "page: no text messages": (mail.stop, b"do=stop&channel=sms", 200),
            "forged token": (f"{page}/{_forged(token, draw)}", ONE_CLICK, 404),
            "cut token": (f"{page}/{token[: draw.randrange(1, len(token))]}", ONE_CLICK, 404),
            "another shop's": (f"{mail.stop}.c2hvcA", b"do=all", 404),
            "looked at": (mail.stop, None, 200),
            "erasure": (self._events, msgspec.json.encode(about | {"occurred_at": now_ms()}), 202),
        }
        return asked.get(deed.what, (mail.stop, ONE_CLICK, 200))


def _returned(what: str, mail: Taken, draw: random.Random) -> bytes | None:
    """The mail that comes back to the shop, or None where it is not by mail."""
    local, _, host = mail.sender.partition("@")
    name, _, token = local.partition("+")
    match what:
        case "bounce":
            return report(to=mail.sender)
        case "forged bounce":
            return report(to=f"{name}+{_forged(token, draw)}@{host}")
        case "bounce without a token":
            return report(answer=f"550 5.1.1 <{mail.recipient}>: User unknown", to=USER)
        case "complaint":
            return complaint(original=f"Return-Path: <{mail.sender}>\nTo: {mail.recipient}\n\nHello\n")
        case "cut complaint":
            cut = f"{name}+{token[: draw.randrange(len(token))]}@{host}"
            return complaint(original=f"Return-Path: <{cut}>\nTo: {mail.recipient}\n\nHello\n")
    return None


def _forged(token: str, draw: random.Random) -> str:
    """One character of it is another one; not the last, of which not all bits count."""
    at = draw.randrange(len(token) - 1)
    return f"{token[:at]}{'b' if token[at] != 'b' else 'c'}{token[at + 1 :]}"


def ask(url: str, body: bytes | None = None) -> int:
    """The status of an answer, of a POST if there is a body; 0 when there is none."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if "/v1/" in url else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code
    except OSError:
        return 0


def unsubscribe(ground: Ground) -> Result:
    """People stop their mails before and while these leave; the sender is killed in between."""
    people, kills, seconds = (300, 1, 8) if ground.quick else (10_000, 5, 150)
    draw = random.Random(f"{ground.seed}/unsubscribe")
    with Server(pause=0.2) as server, Imap([]) as box:
        settings = sending(
            ground.bootstrap, ground.folder, server, topic_prefix=f"unsub{ground.seed}.", collector_port=free_port(),
            bounce_address=USER, smtp_connections=32,
        )  # fmt: skip
        ensure_topics(settings, say=lambda _: None)
        seen = Seen(settings)
        with Publisher(settings) as publisher, _around(settings, box), Sender(settings) as sender:
            set_for(publisher, "main", "reminders", {"steps": [{"after": "1h"}], "cap": 5})
            leave(publisher, *(cart(n, now_ms() - 2 * HOUR_MS) for n in range(people)))
            until(lambda: len(server.mails) >= people, "everybody has a mail to unsubscribe from", 300)
            mine = People(settings, {mail.recipient: mail for mail in server.mails}, box, ground.seed)
            base = now_ms() + people // 2 + 2_000
            due = [base + draw.randrange(1_000 * seconds) for _ in range(people)]
            leave(publisher, *(cart(n, due[n] - HOUR_MS, "second") for n in range(people)))
            deeds = _deeds(draw, due)
            kill = [Deed(base + draw.randrange(1_000 * seconds), "kill", 0) for _ in range(kills)]
            with ThreadPoolExecutor(8) as pool:
                done = []
                for deed in sorted([*deeds, *kill], key=lambda deed: deed.at):
                    time.sleep(max(0, deed.at - now_ms()) / 1_000)
                    if deed.what == "kill":
                        sender.kill()
                    else:
                        done.append(pool.submit(mine.do, deed))
                for each in done:
                    each.result()
            until(lambda: seen.ended() >= 2 * people, "every plan ends", 180, 0.5)
            until(lambda: all(mail.flags for mail in box.mails), "every report is taken in", 180, 0.5)
            until(seen.is_folded, "everything is folded and committed", pause=0.5)
    late_s = QUICK_LATE_S if ground.quick else LATE_S
    found = _judge(server, plans(seen.messages), deeds, seen.stopped(), people, late_s)
    seen.close()
    ways = Counter(deed.what for deed in deeds)
    stopped = sum(ways[what] for what in STOPS)
    note = (
        f"{stopped:,} acts that stop, {sum(ways[what] for what in IDLE):,} that must not; {found.sent:,} "
        f"mails sent, {found.suppressed:,} called off, {found.uncertain} uncertain; DATA {found.latest_ms} ms after "
        f"the commit at most ({late_s:g} s are a fault), that {found.folded_ms / 1_000:.1f} s after the act at most"
    )
    lines = (*mine.wrong, *found.wrong, *([] if found.suppressed else ["no act came before its mail"]))
    return Result(
        "unsubscribing while mails leave", 1, people, kills, found.lost, found.double, (), ground.seed, note, lines[:20]
    )


ROWS = {"unsubscribe": unsubscribe}


# -- what runs -----------------------------------------------------------------------------------------------------
class Sender:
    """The role `reminders`, which is killed and started again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process = role(settings, "reminders")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process)

    def kill(self) -> None:
        """kill -9, and another one at once."""
        self._process.kill()
        self._process.wait()
        self._process = role(self._settings, "reminders")


@contextmanager
def _around(settings: Settings, box: Imap) -> Iterator[None]:
    """The collector, and who looks into the mailbox for bounces."""
    url = f"imap://{USER.replace('@', '%40')}@127.0.0.1:{box.port}"
    fetch = ("bounces", "fetch", "--plain", "--every", "1s", "--url", url)
    processes = role(settings, "collector"), started(settings, "cartwake", *fetch, CARTWAKE_BOUNCES_PASSWORD=PASSWORD)
    try:
        until(lambda: ask(f"{settings.collector_url}/healthz") == 200, "the collector listens")
        yield
    finally:
        stop(*processes)


class Seen:
    """What an independent reader sees on the topics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic_prefix + topics.SUBSCRIBER_EVENTS.name
        self.messages = Reader(settings.bootstrap, settings.topic_prefix + topics.MESSAGES.name)
        self._events = Reader(settings.bootstrap, self._topic)
        self._offsets: Reader | None = None  # the broker makes that topic for its first group

    def ended(self) -> int:
        """How many plans have ended."""
        return sum(bool(plan.ends) for plan in plans(self.messages).values())

    def is_folded(self) -> bool:
        """Whether stage 3 has committed all there is."""
        last = {place: max(offset for _, offset in made) for place, made in self._commits().items()}
        return all(last.get(place, 0) >= end for place, end in self._events.ends().items() if end)

    def stopped(self) -> dict[str, tuple[int, int | None]]:
        """By person, when what stopped the mails was on the broker, and when stage 3 had committed that."""
        made, found = self._commits(), dict[str, tuple[int, int | None]]()
        for record in sorted(self._events.all(), key=lambda record: record.offset):
            said = msgspec.json.decode(record.value)
            kind = said["type"].removeprefix("subscriber.")
            ends = {"withdrawn": "email" in (said.get("channels") or ["email"]), "complained": True, "erased": True,
                    "bounced": str(said.get("reason")).startswith("hard")}  # fmt: skip
            if ends.get(kind):
                folded = first(made[record.partition], record.offset)
                found.setdefault(said.get("subscriber_id") or "", (record.timestamp, folded))
        return found

    def close(self) -> None:
        """Let go of the broker."""
        for reader in (self.messages, self._events, self._offsets):
            if reader is not None:
                reader.close()

    def _commits(self) -> dict[int, list[tuple[int, int]]]:
        self._offsets = self._offsets or Reader(self._settings.bootstrap, "__consumer_offsets")
        return commits(self._offsets, f"{self._settings.topic_prefix}reminders", self._topic)


def _deeds(draw: random.Random, due: Sequence[int]) -> list[Deed]:
    """Half of the people stop their mails around the time one is due, a quarter does what looks like it."""
    deeds = []
    for who, at in enumerate(due):
        chance = draw.random()
        what = draw.choice(list(STOPS)) if chance < 0.5 else draw.choice(IDLE) if chance < 0.75 else ""
        when = at + draw.randrange(-8_000, 1_500)
        deeds += [Deed(when, what, who)] if what else []
        deeds += [Deed(when + draw.randrange(3_000), what, who)] if what.endswith("twice") else []
    return deeds


# -- judging -------------------------------------------------------------------------------------------------------
@dataclass
class Found:
    """What it amounts to. `double`: mails that must not have been; `lost`: those that have not been."""

    lost: int = 0
    double: int = 0
    sent: int = 0
    suppressed: int = 0
    uncertain: int = 0
    latest_ms: int = 0  # the latest DATA after the commit of what stopped it
    folded_ms: int = 0
    wrong: list[str] = field(default_factory=list)


def _judge(
    server: Server, found: dict[str, Plan], deeds: Sequence[Deed], stopped: dict[str, tuple[int, int | None]],
    people: int, late_s: float,
) -> Found:  # fmt: skip
    heard = {mail.plan_id: mail.at for mail in server.mails}
    taken = server.taken
    tally = Found(wrong=not_once(found, taken, 2 * people)[:8], double=sum(n - 1 for n in taken.values()))
    did = {deed.who: deed.what for deed in deeds}
    second = {plan.cart_id: (plan_id, plan) for plan_id, plan in found.items()}
    for who in range(people):
        plan_id, plan = second[f"second-{who}"]
        what, (end,) = did.get(who, "nothing"), plan.ends
        tally.sent, tally.suppressed = tally.sent + (end == "sent"), tally.suppressed + (end == "suppressed")
        tally.uncertain += end == "uncertain"
        if what not in STOPS:
            if end not in ("sent", "uncertain") or plan.subscriber_id in stopped:
                tally.lost += 1
                tally.wrong.append(f"after {what} the plan of shopper {who} ended {end}, {plan.reason}")
            continue
        at, folded = stopped.get(plan.subscriber_id, (0, None))
        if folded is None:
            tally.wrong.append(f"{what} of shopper {who} was not heard or not committed")
            continue
        tally.folded_ms = max(tally.folded_ms, folded - at)
        tally.latest_ms = max(tally.latest_ms, heard.get(plan_id, 0) - folded)
        if heard.get(plan_id, 0) > folded + late_s * 1_000:
            tally.double += 1
            tally.wrong.append(f"{what} of shopper {who} was committed {heard[plan_id] - folded} ms before DATA")
        if end == "suppressed" and plan.reason != STOPS[what]:
            tally.wrong.append(f"after {what} the plan of shopper {who} ended {plan.reason}")
    return tally
