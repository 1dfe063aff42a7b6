"""Reminders: complete messages a second from one process, planning alone, weight of a pending plan, lateness of a step.

The messages go to Debian's `smtp-sink`, which takes mails and throws them away. Beside them, in the same run, the plain
way: EmailMessage and aiosmtplib around the same templates' texts, with as many connections.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import aiosmtplib  # noqa: TID251 - the plain way is what we are compared with
import jinja2
import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from bench.broker import broker
from bench.run import cpu_seconds
from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import rfc3339, to_ms
from cartwake.model import (
    CartOutcome,
    Consent,
    Evidence,
    Item,
    Message,
    SubscriberCart,
    decode_message,
    encode,
    person_id,
)  # fmt: skip
from cartwake.publish import Publisher
from cartwake.rules import ReminderRules
from cartwake.settings import Settings
from cartwake.shops import set_for
from local.kafka import free_port
from local.mailbox import answers
from reminders.person import Cart, Line, Person
from reminders.planning import Left, plan

CONNECTIONS: Final = 16
_WARM: Final = 500
_ENDED: Final = ("message.sent", "message.failed", "message.uncertain", "message.suppressed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--plain", type=int, default=3_000, help="messages of the plain way")
    parser.add_argument(
        "--pending", type=int, default=1_000_000, help="plans that wait, for their weight; 0: not measured"
    )
    parser.add_argument("--rate", type=int, default=200, help="steps that come due a second, for their lateness")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")


def main(arguments: argparse.Namespace) -> int:
    """All four, and a line for each."""
    figures: dict[str, Any] = {"decisions_per_second": decisions()}
    print(f"planning alone: {figures['decisions_per_second']:,.0f} decisions/s")
    with broker(together_ms=0) as bootstrap, tempfile.TemporaryDirectory() as folder, sink() as port:
        ours, plain = [], []
        for _ in range(arguments.runs):
            with Role(bootstrap, port, Path(folder)) as role:
                ours.append(role.throughput(arguments.messages))
                cpu = role.cpu_us
            plain.append(asyncio.run(plainly(port, arguments.plain)))
            print(
                f"complete messages: {ours[-1]:,.0f}/s, {cpu:.0f} µs of CPU each with the start; "
                f"plain EmailMessage and aiosmtplib: {plain[-1]:,.0f}/s",
                flush=True,
            )
        figures |= {"messages_per_second": sorted(ours), "plain_per_second": sorted(plain)}
        with Role(bootstrap, port, Path(folder), after="20s") as role:
            figures["lateness_ms"] = role.lateness(arguments.rate, arguments.seconds)
        print(f"a due step behind its time, ms: {figures['lateness_ms']}")
        if arguments.pending:
            with Role(bootstrap, port, Path(folder), after="1d") as role:
                figures["pending_bytes"] = role.weight(arguments.pending)
            print(f"{arguments.pending:,} pending plans: {figures['pending_bytes'] / 2**20:,.0f} MiB in the process")
    for name in ("messages_per_second", "plain_per_second"):
        low, middle, high = figures[name][0], figures[name][len(figures[name]) // 2], figures[name][-1]
        print(f"{name}: {low:,.0f} / {middle:,.0f} / {high:,.0f} (min/median/max)")
    if arguments.json:
        print(json.dumps(figures))
    return 0


# -- planning alone ----------------------------------------------------------------------------------------------------
def decisions(number: int = 30_000) -> float:
    """Decisions a second of the pure function, three steps with conditions and variants."""
    only = {"value_from": "20", "stages": ["cart", "shipping"]}
    variants = [{"name": "a", "share": 50}, {"name": "b", "share": 50}]
    steps = [{"variants": variants}, {"after": "1d", "only": only}, {"after": "2d", "channel": "sms"}]
    rules = msgspec.convert({"steps": steps, "holdout": 5}, ReminderRules)
    person, lines = Person(), tuple(map(Line.of, _items()))
    carts = [
        Left(("main", f"p-{n:024x}"), f"c-{n}", Cart(
            revision=1, touched_at=0, abandonment_id=f"{n:032x}", stage="shipping", value="57.93", currency="EUR",
            lines=lines, units=3,
        ))
        for n in range(number // len(steps))
    ]  # fmt: skip
    began = time.process_time()
    made = sum(len(plan(person, left, now=0, rules=rules)) for left in carts)
    return made / (time.process_time() - began)


# -- the role ----------------------------------------------------------------------------------------------------------
class Role:
    """`cartwake run reminders`, one process, on topics of its own."""

    def __init__(self, bootstrap: str, smtp_port: int, folder: Path, after: str = "0s") -> None:
        self._prefix = f"r{uuid.uuid4().hex[:8]}."
        self._settings = Settings(
            kafka_bootstrap=bootstrap, topic_prefix=self._prefix, data_dir=folder / self._prefix, smtp_host="127.0.0.1",
            smtp_port=smtp_port, smtp_tls="none", metrics_port=0,
        )  # fmt: skip
        ensure_topics(self._settings, say=lambda _: None)
        with Publisher(self._settings) as publisher:
            set_for(publisher, "main", "shop", {"title": "The Quiet Kitchen", "url": "https://shop.example.com"})
            set_for(publisher, "main", "reminders", {"steps": [{"after": after}], "hold_when_orders_stop": False})
        self._process: subprocess.Popen[bytes] | None = None
        self._told = 0
        self.cpu_us = 0.0

    def __enter__(self) -> "Role":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cartwake", "run", "reminders"], env=os.environ | self._settings.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def throughput(self, number: int) -> float:
        """Messages a second from the first that was sent to the last, all with consent and due."""
        self._leave(number + _WARM, time.time_ns() // 1_000_000)
        self._start()
        sent = sorted(at for message, at in self._ends(number + _WARM) if message.type == "message.sent")
        if len(sent) != number + _WARM:
            raise SystemExit(f"{len(sent)} of {number + _WARM} messages were sent")
        assert self._process is not None
        self.cpu_us = cpu_seconds(self._process.pid) * 1e6 / (number + _WARM)  # the start is in it
        return number / ((sent[-1] - sent[_WARM - 1]) / 1000)

    def lateness(self, rate: int, seconds: int) -> dict[str, float]:
        """How far behind its time a step is said to be sent (broker's time less due time, ms)."""
        self._start()
        for _ in range(seconds):
            began = time.monotonic()
            self._leave(rate, time.time_ns() // 1_000_000)
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))
        due: dict[str, int] = {}
        late = []
        for message, at in self._read(rate * seconds):
            if message.type == "message.planned" and message.due_at:
                due[message.plan_id] = to_ms(datetime.fromisoformat(message.due_at))
            elif message.type == "message.sent":
                late.append(at - due[message.plan_id])
        late.sort()
        return {"n": len(late), "p50": late[len(late) // 2], "p99": late[int(len(late) * 0.99)], "max": late[-1]}

    def weight(self, number: int) -> int:
        """Bytes of the process with so many plans waiting."""
        self._leave(number, time.time_ns() // 1_000_000)
        self._start()
        group = Consumer({"bootstrap.servers": self._settings.bootstrap, "group.id": self._prefix + "reminders"})
        places = [TopicPartition(self._prefix + topics.SUBSCRIBER_CARTS.name, n) for n in range(4)]
        with closing(group):
            while _taken(group, places) < number:
                time.sleep(0.2)
        assert self._process is not None
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _leave(self, number: int, at: int) -> None:
        producer = Producer(
            {"bootstrap.servers": self._settings.bootstrap, "partitioner": "murmur2_random", "linger.ms": 20,
             "log_level": 2, "queue.buffering.max.messages": 500_000}
        )  # fmt: skip
        topic, items = self._prefix + topics.SUBSCRIBER_CARTS.name, _items()
        for _ in range(number):
            self._told += 1
            record = abandonment(self._told, at, items)
            while True:
                try:
                    producer.produce(topic, encode(record), record.subscriber_id)
                    break
                except BufferError:
                    producer.poll(0.05)
        if producer.flush(120):
            raise TimeoutError("the abandonments could not be written")

    def _ends(self, number: int) -> Iterator[tuple[Message, int]]:
        return ((message, at) for message, at in self._read(number) if message.type in _ENDED)

    def _read(self, ends: int) -> Iterator[tuple[Message, int]]:
        """What is said on `messages` with the broker's time, until so many plans have ended."""
        consumer = Consumer({"bootstrap.servers": self._settings.bootstrap, "group.id": "bench", "log_level": 2})
        consumer.assign([TopicPartition(self._prefix + topics.MESSAGES.name, n, 0) for n in range(4)])
        until = time.monotonic() + 600
        with closing(consumer):
            while ends and time.monotonic() < until:
                for record in consumer.consume(1_000, timeout=0.2):
                    if record.error() is None and record.value():
                        message = decode_message(record.value())
                        ends -= message.type in _ENDED
                        yield message, record.timestamp()[1]


def _taken(group: Consumer, places: list[TopicPartition]) -> int:
    """Records that the group has committed; 0 while the broker is still looking for who keeps that."""
    try:
        return sum(max(0, place.offset) for place in group.committed(places, timeout=30))
    except KafkaException as exc:
        if not exc.args[0].retriable() and exc.args[0].code() != KafkaError.NOT_COORDINATOR:
            raise
        return 0


def abandonment(number: int, at: int, items: tuple[Item, ...]) -> SubscriberCart:
    """A cart of somebody who agreed, left `at` (epoch ms)."""
    email, cart_id = f"shopper-{number}@example.com", f"c-{number}"
    outcome = CartOutcome(
        outcome_id=f"{number:032x}", type="cart.abandoned", shop_id="main", cart_id=cart_id, revision=1, episode=1,
        occurred_at=rfc3339(at), abandonment_id=f"{number:032x}", abandoned_at=rfc3339(at),
        last_activity=rfc3339(at - 7_200_000), stage="shipping", currency="EUR", items=items,
        cart_url=f"https://shop.example.com/cart/{cart_id}",
    )  # fmt: skip
    return SubscriberCart(
        record_id=f"{number:032x}", type="cart.abandoned", subscriber_id=person_id(email), shop_id="main",
        cart_id=cart_id, occurred_at=rfc3339(at), evidence=Evidence(how="checkout", words="typed at checkout"),
        outcome=outcome, email=email, consent=Consent(),
    )  # fmt: skip


def _items() -> tuple[Item, ...]:
    pictures = "https://shop.example.com/pictures"
    return tuple(
        Item(
            sku=f"A{n}", name=name, quantity=n, price=Decimal("19.31"), image=f"{pictures}/A{n}.jpg", category="clothes"
        )
        for n, name in enumerate(("Blue linen shirt", "Wool scarf, hand-woven", "Leather belt"), 1)
    )


# -- the plain way -----------------------------------------------------------------------------------------------------
async def plainly(port: int, number: int) -> float:
    """Messages a second with EmailMessage and aiosmtplib, rendered by Jinja2, over as many connections."""
    html = jinja2.Environment(autoescape=True).from_string(
        "<html><body><h1>{{ title }}</h1><table>{% for item in items %}<tr><td><img src='{{ item.image }}' alt=''></td>"
        "<td>{{ item.name }}</td><td>{{ item.quantity }}</td><td>{{ item.price }}</td></tr>{% endfor %}</table>"
        "<p><a href='{{ url }}'>Back to your cart</a></p>" + "<p>The Quiet Kitchen</p>" * 40 + "</body></html>"
    )
    text = jinja2.Environment().from_string(
        "{% for item in items %}{{ item.quantity }} {{ item.name }}\n{% endfor %}{{ url }}"
    )
    numbers, items = iter(range(number)), _items()

    async def connection() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
        async with client:
            for n in numbers:
                values = {"title": "Still interested?", "items": items, "url": f"https://shop.example.com/cart/{n}"}
                message = EmailMessage()
                message["From"], message["To"] = "Shop <carts@example.com>", f"shopper-{n}@example.com"
                message["Subject"] = "Your cart is waiting"
                message["List-Unsubscribe"] = f"<https://t.example.com/u/{n}>"
                message.set_content(text.render(values))
                message.add_alternative(html.render(values), subtype="html")
                await client.send_message(message)

    began = time.monotonic()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return number / (time.monotonic() - began)


@contextmanager
def sink() -> Iterator[int]:
    """The port of an `smtp-sink` that lives as long as the block."""
    program = shutil.which("smtp-sink", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise SystemExit("smtp-sink is missing. On Debian: apt-get install --no-install-recommends postfix")
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    process = subprocess.Popen([program, *user, f"127.0.0.1:{port}", "256"])
    try:
        while not answers(port):
            if process.poll() is not None:
                raise SystemExit(f"smtp-sink ended with {process.returncode}")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)
