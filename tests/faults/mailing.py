"""What stands around the sender in the rows of mail: a server that keeps what it took, the roles, their readers."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from bench.reminders import abandonment
from cartwake import topics
from cartwake.model import Item, SubscriberCart, decode_message, encode
from cartwake.publish import Publisher
from cartwake.settings import Settings
from tests.faults.fleet import ROOT
from tests.faults.pipe import Reader

ENDS: Final = frozenset(
    "message." + end for end in ("sent", "suppressed", "recovered", "expired", "failed", "uncertain")
)
ITEMS: Final = (Item(sku="A1", name="Blue shirt", quantity=1),)
_ID: Final = re.compile(rb"(?mi)^Message-ID: <([0-9a-f]{32})@")
_STOP: Final = re.compile(rb"(?mi)^List-Unsubscribe: <([^>\r\n]+)>")


@dataclass(frozen=True)
class Taken:
    """A mail that the server took; `at` is when it heard DATA (epoch ms), `stop` the address of its one click."""

    plan_id: str
    at: int
    sender: str
    recipient: str
    stop: str


class Server:
    """An SMTP server that takes everything, `pause` seconds after each, and keeps what mails say of themselves."""

    def __init__(self, pause: float = 0.005) -> None:
        self.port = 0  # until it listens
        self._pause = pause
        self.mails: list[Taken] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    @property
    def taken(self) -> Counter[str]:
        """How often a mail of each plan was taken."""
        return Counter(mail.plan_id for mail in list(self.mails))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60), "the mail server does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        sender = recipient = ""
        try:
            while line := await reader.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    at = time.time_ns() // 1_000_000
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    await asyncio.sleep(self._pause)
                    self.mails.append(Taken(_found(_ID, content), at, sender, recipient, _found(_STOP, content)))
                    writer.write(b"250 taken\r\n")
                elif word == b"EHLO":
                    writer.write(b"250-here\r\n250 PIPELINING\r\n")
                elif word == b"QUIT":
                    break
                else:
                    address = line.partition(b"<")[2].partition(b">")[0].decode("ascii", "replace")
                    sender, recipient = (address if word == b"MAIL" else sender), address
                    writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the sender was killed
        finally:
            writer.close()


def _found(pattern: re.Pattern[bytes], content: bytes) -> str:
    found = pattern.search(content)
    return found[1].decode() if found else "?"


def sending(bootstrap: str, folder: Path, server: Server, **more: Any) -> Settings:
    """Settings of a sender to `server`, with topics of its own."""
    return Settings(
        **{"kafka_bootstrap": bootstrap, "data_dir": folder, "smtp_host": "127.0.0.1", "smtp_port": server.port,
           "smtp_tls": "none", "metrics_port": 0, "secret": "a secret for tests only, of no use elsewhere"} | more
    )  # fmt: skip


def started(settings: Settings, *command: str, stdin: Any = None, **environ: str) -> "subprocess.Popen[bytes]":
    """`python -m …` with these settings; what it says goes to a file in their folder."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / f"{'-'.join(command[:4]).replace('/', '_')}.log").open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, stdin=stdin, stdout=out, stderr=out,
            env={"PATH": "/usr/bin:/bin"} | settings.environment() | environ,
        )  # fmt: skip


def role(settings: Settings, name: str) -> "subprocess.Popen[bytes]":
    """A role of the pipeline."""
    return started(settings, "cartwake", "run", name)


def stop(*processes: "subprocess.Popen[bytes]") -> None:
    """End processes by SIGTERM."""
    for one in processes:
        one.terminate()
    for one in processes:
        one.wait(60)


def cart(number: int, at: int, name: str = "") -> SubscriberCart:
    """A cart that shopper `number` left `at` (epoch ms); another one for each `name`."""
    one = abandonment(number, at, ITEMS)
    if not name:
        return one
    ids = dict.fromkeys(("outcome_id", "cart_id", "abandonment_id"), f"{name}-{number}")
    outcome = msgspec.structs.replace(one.outcome, **ids)
    return msgspec.structs.replace(one, record_id=f"{name}-{number}", cart_id=f"{name}-{number}", outcome=outcome)


def leave(publisher: Publisher, *carts: SubscriberCart) -> None:
    """Write them as stage 2 does."""
    for one in carts:
        publisher.send(topics.SUBSCRIBER_CARTS, one.subscriber_id, encode(one))
    publisher.flush()


@dataclass
class Plan:
    """What `messages` says of a plan."""

    subscriber_id: str
    cart_id: str
    due_at: str
    ends: set[str]
    reason: str | None = None


def plans(messages: Reader) -> dict[str, Plan]:
    """Every plan, with all its ends."""
    found: dict[str, Plan] = {}
    for record in messages.all():
        said = msgspec.json.decode(record.value)
        plan = found.setdefault(said["plan_id"], Plan(said["subscriber_id"], "", "", set()))
        if said["type"] == "message.planned":
            plan.cart_id, plan.due_at = said["cart_id"], said["due_at"]
        elif said["type"] in ENDS:
            plan.ends.add(said["type"].removeprefix("message."))
            plan.reason = said.get("reason")
    return found


def ended(messages: Reader) -> set[tuple[str, str]]:
    """Plans with their ends."""
    said = [decode_message(record.value) for record in messages.all()]
    return {(message.plan_id, message.type) for message in said if message.type in ENDS}


def not_once(found: dict[str, Plan], taken: Counter[str], expected: int) -> list[str]:
    """Plans that have not exactly one end, and mails of no plan or of one that says another end."""
    wrong = [f"plan {plan_id} ended {sorted(plan.ends)}" for plan_id, plan in found.items() if len(plan.ends) != 1]
    if len(found) != expected:
        wrong.append(f"{len(found)} plans instead of {expected}")
    for plan_id in taken:
        ends = found[plan_id].ends if plan_id in found else set()
        if not ends & {"sent", "uncertain"}:
            wrong.append(f"the server took a mail of plan {plan_id}, which ended {sorted(ends)}")
    return wrong + [f"plan {x} is said to be sent" for x, p in found.items() if "sent" in p.ends and x not in taken]


def commits(reader: Reader, group: str, topic: str) -> dict[int, list[tuple[int, int]]]:
    """By partition, when a group committed (broker's time, epoch ms) and which offset, from `__consumer_offsets`."""
    found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for record in reader.all():
        if record.key is None or record.value is None or int.from_bytes(record.key[:2]) > 1:
            continue  # about members, or forgotten
        (of_group, rest), offset = _text(record.key[2:]), int.from_bytes(record.value[2:10])
        of_topic, rest = _text(rest)
        if (of_group, of_topic) == (group, topic):
            found[int.from_bytes(rest[:4])].append((record.timestamp, offset))
    return found


def _text(raw: bytes) -> tuple[str, bytes]:
    length = int.from_bytes(raw[:2])
    return raw[2 : 2 + length].decode(), raw[2 + length :]


def first(times: Sequence[tuple[int, int]], offset: int) -> int | None:
    """When an offset beyond `offset` was committed for the first time, or None."""
    return min((at for at, committed in times if committed > offset), default=None)
