"""Mail under faults: everything a server may answer, and kill -9 of the sender while thousands of mails leave."""

import asyncio
import logging
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from bench.reminders import abandonment
from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import SystemClock
from cartwake.model import Item, decode_message, encode
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from local import stack
from sinks.audit import audit
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate_settings
from tests.conftest import free_port
from tests.faults.fleet import ROOT
from tests.faults.pipe import Reader
from tests.faults.result import Ground, Result
from tests.patience import Late, until
from tests.reminders import bad_smtp

_ENDS: Final = frozenset(
    "message." + end for end in ("sent", "suppressed", "recovered", "expired", "failed", "uncertain")
)
_ID: Final = re.compile(rb"(?mi)^Message-ID: <([0-9a-f]{32})@")


def smtp(ground: Ground) -> Result:
    """Every answer, silence and end of a mail server."""
    messages, each = (400, 2) if ground.quick else (10_000, 100)
    logging.disable(logging.WARNING)  # thousands of pauses are meant
    try:
        tally = asyncio.run(bad_smtp.run(messages, each, ground.seed))
    finally:
        logging.disable(logging.NOTSET)
    return Result(
        "SMTP: every answer, silence and end", 1, messages, tally.faults, tally.lost, tally.double, (), ground.seed,
        f"{tally.sent} sent, {tally.failed} failed, {tally.uncertain} uncertain, {tally.pauses} pauses",
        tuple(tally.wrong),
    )  # fmt: skip


def sends(ground: Ground) -> Result:
    """kill -9 of the sender at random times while mails leave; the server's own count and `cartwake audit` decide."""
    carts, kills = (1_000, 3) if ground.quick else (10_000, 20)
    draw, wrong, took = random.Random(f"{ground.seed}/sends"), list[str](), list[float]()
    with Server() as server:
        settings = Settings(
            kafka_bootstrap=ground.bootstrap, topic_prefix=f"sends{ground.seed}.", data_dir=ground.folder,
            clickhouse_port=free_port(), smtp_host="127.0.0.1", smtp_port=server.port, smtp_tls="none", metrics_port=0,
        )  # fmt: skip
        with stack.embedded(settings, clickhouse=True) as running:
            ensure_topics(running, say=lambda _: None)
            with ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store:
                migrate_settings(store, running)
            _leave(running, carts)
            sink = _role(running, "sink")
            messages = Reader(running.bootstrap, running.topic_prefix + topics.MESSAGES.name)
            process = _role(running, "reminders")
            try:
                for number in range(kills):
                    share = carts * number // (kills + 1)
                    until(lambda share=share: len(_ended(messages)) >= share, "plans that end", 120)
                    time.sleep(draw.random())
                    before = len(_ended(messages))
                    process.kill()
                    process.wait()
                    began = time.monotonic()
                    process = _role(running, "reminders")
                    until(lambda before=before: len(_ended(messages)) > before, "plans that end after a kill", 120)
                    took.append(time.monotonic() - began)
                until(lambda: len(_ended(messages)) >= carts, "every plan ends", 240)
                _read_by(sink, running, store_rows=carts)
            except Late as exc:
                wrong.append(str(exc))
            finally:
                for one in (process, sink):
                    one.terminate()
                    one.wait(30)
            ends = _ended(messages)
            with ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store:
                today = datetime.now(UTC).date()
                found = audit(store, from_=today - timedelta(days=1), to=today, now=SystemClock().now_ms())
    wrong += [f"audit: {one.check} {one.id} {one.words}" for one in found.wrong[:5]]
    if found.abandonments != carts:
        wrong.append(f"the audit counts {found.abandonments} of {carts} abandonments")
    wrong += [f"{plan} ended {n} times" for plan, n in Counter(plan for plan, _ in ends).items() if n > 1][:5]
    said = {plan for plan, end in ends if end in ("message.sent", "message.uncertain")}
    wrong += [f"{plan} was taken by the server and is neither sent nor uncertain" for plan in set(server.taken) - said][
        :5
    ]
    uncertain = sum(end == "message.uncertain" for _, end in ends)
    never = sum(end == "message.uncertain" and plan not in server.taken for plan, end in ends)
    return Result(
        "kill -9 of the sender of mails", 1, carts, kills,
        lost=sum(end == "message.sent" and plan not in server.taken for plan, end in ends),
        double=sum(n - 1 for n in server.taken.values()), recovered_s=tuple(round(x, 1) for x in took),
        seed=ground.seed, note=f"{uncertain} uncertain, {never} of them had not left; the audit adds up",
        wrong=tuple(wrong),
    )  # fmt: skip


ROWS = {"smtp": smtp, "sends": sends}


class Server:
    """An SMTP server that takes everything, a little slowly, and counts the Message-IDs it took."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        try:
            while line := await reader.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    writer.write(b"354 go on\r\n")
                    content = await reader.readuntil(b"\r\n.\r\n")
                    await asyncio.sleep(0.005)
                    found = _ID.search(content)
                    self.taken[found[1].decode() if found else "?"] += 1
                    writer.write(b"250 taken\r\n")
                elif word == b"EHLO":
                    writer.write(b"250-here\r\n250 PIPELINING\r\n")
                elif word == b"QUIT":
                    break
                else:
                    writer.write(b"250 ok\r\n")
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the sender was killed
        finally:
            writer.close()


def _leave(settings: Settings, carts: int) -> None:
    now = SystemClock().now_ms()
    items = (Item(sku="A1", name="Blue shirt", quantity=1),)
    with Publisher(settings) as publisher:
        set_for(publisher, "main", "reminders", {"steps": [{}]})
        for number in range(carts):
            record = abandonment(number, now, items)
            publisher.send(topics.CART_OUTCOMES, record.cart_id, encode(record.outcome))
            publisher.send(topics.SUBSCRIBER_CARTS, record.subscriber_id, encode(record))
        publisher.flush()


def _role(settings: Settings, role: str) -> "subprocess.Popen[bytes]":
    log = settings.data_dir / f"{role}.log"
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "cartwake", "run", role],
            cwd=ROOT, env={"PATH": "/usr/bin:/bin"} | settings.environment(), stdout=out, stderr=out,
        )  # fmt: skip


def _ended(messages: Reader) -> set[tuple[str, str]]:
    said = [decode_message(record.value) for record in messages.all()]
    return {(message.plan_id, message.type) for message in said if message.type in _ENDS}


def _read_by(sink: Any, settings: Settings, store_rows: int) -> None:
    """Return when the sink has put every end into ClickHouse."""
    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
        statement = "SELECT uniqExact(plan_id) AS n FROM messages WHERE type IN {ends:Array(String)}"
        until(
            lambda: store.query(statement, {"ends": sorted(_ENDS)})[0]["n"] >= store_rows or sink.poll() is not None,
            "the sink has read every end", 120, 0.5,
        )  # fmt: skip
