"""Mail under faults: everything a server may answer, and kill -9 of the sender while thousands of mails leave."""

import asyncio
import logging
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from cartwake import topics
from cartwake.broker import ensure_topics
from cartwake.clock import SystemClock
from cartwake.model import encode
from cartwake.publish import Publisher
from cartwake.settings import Settings
from cartwake.shops import set_for
from local import stack
from sinks.audit import audit
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate_settings
from tests.conftest import free_port
from tests.faults.mailing import ENDS, Server, cart, ended, role, sending, stop
from tests.faults.pipe import Reader
from tests.faults.result import Ground, Result
from tests.patience import Late, until
from tests.reminders import bad_smtp


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
        settings = sending(
            ground.bootstrap, ground.folder, server, topic_prefix=f"sends{ground.seed}.", clickhouse_port=free_port()
        )
        with stack.embedded(settings, clickhouse=True) as running:
            ensure_topics(running, say=lambda _: None)
            with ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store:
                migrate_settings(store, running)
            _leave(running, carts)
            sink = role(running, "sink")
            messages = Reader(running.bootstrap, running.topic_prefix + topics.MESSAGES.name)
            process = role(running, "reminders")
            try:
                for number in range(kills):
                    share = carts * number // (kills + 1)
                    until(lambda share=share: len(ended(messages)) >= share, "plans that end")
                    time.sleep(draw.random())
                    before = len(ended(messages))
                    process.kill()
                    process.wait()
                    began = time.monotonic()
                    process = role(running, "reminders")
                    until(lambda before=before: len(ended(messages)) > before, "plans that end after a kill")
                    took.append(time.monotonic() - began)
                until(lambda: len(ended(messages)) >= carts, "every plan ends", 240)
                _read_by(sink, running, store_rows=carts)
            except Late as exc:
                wrong.append(str(exc))
            finally:
                stop(process, sink)
            ends = ended(messages)
            messages.close()
            with ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store:
                today = datetime.now(UTC).date()
                found = audit(store, from_=today - timedelta(days=1), to=today, now=SystemClock().now_ms())
    wrong += [f"audit: {one.check} {one.id} {one.words}" for one in found.wrong[:5]]
    if found.abandonments != carts:
        wrong.append(f"the audit counts {found.abandonments} of {carts} abandonments")
    wrong += [f"{plan} ended {n} times" for plan, n in Counter(plan for plan, _ in ends).items() if n > 1][:5]
    said = {plan for plan, end in ends if end in ("message.sent", "message.uncertain")}
    taken = server.taken
    wrong += [f"{plan} was taken by the server and is neither sent nor uncertain" for plan in set(taken) - said][:5]
    uncertain = sum(end == "message.uncertain" for _, end in ends)
    never = sum(end == "message.uncertain" and plan not in taken for plan, end in ends)
    return Result(
        "kill -9 of the sender of mails", 1, carts, kills,
        lost=sum(end == "message.sent" and plan not in taken for plan, end in ends),
        double=sum(n - 1 for n in taken.values()), recovered_s=tuple(round(x, 1) for x in took),
        seed=ground.seed, note=f"{uncertain} uncertain, {never} of them had not left; the audit adds up",
        wrong=tuple(wrong),
    )  # fmt: skip


ROWS = {"smtp": smtp, "sends": sends}


def _leave(settings: Settings, carts: int) -> None:
    now = SystemClock().now_ms()
    with Publisher(settings) as publisher:
        set_for(publisher, "main", "reminders", {"steps": [{}]})
        for number in range(carts):
            record = cart(number, now)
            publisher.send(topics.CART_OUTCOMES, record.cart_id, encode(record.outcome))
            publisher.send(topics.SUBSCRIBER_CARTS, record.subscriber_id, encode(record))
        publisher.flush()


def _read_by(sink: Any, settings: Settings, store_rows: int) -> None:
    """Return when the sink has put every end, and every abandonment, into ClickHouse."""
    with ClickHouse.open(settings.clickhouse_dsn, settings.clickhouse_database) as store:
        asked = "SELECT uniqExact(plan_id) AS n FROM messages WHERE type IN {ends:Array(String)}"
        for statement, what in ((asked, "end"), ("SELECT count() AS n FROM abandonments", "abandonment")):
            until(
                lambda statement=statement: (
                    store.query(statement, {"ends": sorted(ENDS)})[0]["n"] >= store_rows or sink.poll() is not None
                ),
                f"the sink has read every {what}", 120, 0.5,
            )  # fmt: skip
