"""One abandonment in full: its cart, its devices and its person in order of time, and every message about it.

in   the row, and the logs of five topics
out  CartDetail
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, Final

import sql
from cartwake.clock import DAY_MS, to_ms
from cartwake.topics import CART_EVENTS, CART_OUTCOMES, DEVICE_EVENTS, MESSAGES, SUBSCRIBER_CARTS
from sinks.clickhouse import ClickHouse
from sinks.rows import CartDetail, CartLine, CartRow, Mail, TimelineEntry
from sinks.timeline import record_of, words

_MOST: Final = 2_000  # entries
_BEFORE_MS: Final = DAY_MS  # for clocks that differ
_BESIDE: Final = (CART_OUTCOMES.name, SUBSCRIBER_CARTS.name, MESSAGES.name)
#: What people and servers did with a message; all else is its status.
_REACTIONS: Final = frozenset({"message.opened", "message.clicked", "message.bounced", "message.complained"})
_GOES_ON: Final = frozenset({"message.planned", "message.held", "message.sending"})
_WRITTEN: Final = frozenset({"message.sending", "message.sent"})
#: What is read from the record itself.
_TEXTS: Final = (
    "shop_id", "subscriber_id", "cart_id", "abandonment_id", "request_id", "reason", "words", "to", "subject", "text",
    "html", "template", "variant", "code",
)  # fmt: skip

Record = Mapping[str, Any]


def detail(client: ClickHouse, row: CartRow, lines: tuple[CartLine, ...]) -> CartDetail:
    """What surrounds `row`: at most 2,000 entries, the newest ones; of the clicks of one message, the first 2,000.

    Each log is a statement of its own, and they are asked at once. It takes longer to plan one than to run it, so they
    switch off what pays for long ones: threads and compiled expressions.
    """
    since = to_ms(min(row.created_at, row.abandoned_at)) - _BEFORE_MS
    keys = {"shop_id": row.shop_id, "cart_id": row.cart_id, "abandonment_id": row.abandonment_id}
    asked = {**keys, "since": since, "most": _MOST}

    def rows(topic: str, **more: Any) -> list[dict[str, Any]]:
        return client.query(sql.read(f"console/timeline/{topic}.sql"), asked | more)

    def of_devices(devices: set[str]) -> list[dict[str, Any]]:
        return rows(DEVICE_EVENTS.name, devices=sorted(devices)) if devices else []

    known = {row.device_id} - {""}  # most carts have no other
    with ThreadPoolExecutor(len(_BESIDE) + 1) as beside:
        asking = {topic: beside.submit(rows, topic) for topic in _BESIDE}
        asking[DEVICE_EVENTS.name] = beside.submit(of_devices, known)
        happened = rows(CART_EVENTS.name)
        others = of_devices({x["device_id"] for x in happened} - known - {""})
        found = {CART_EVENTS.name: happened, **{topic: answer.result() for topic, answer in asking.items()}}
    found[DEVICE_EVENTS.name] += others
    found[MESSAGES.name] = list({x["id"]: x for x in found[MESSAGES.name]}.values())
    entries = [_entry(topic, x) for topic, some in found.items() for x in some]
    entries.sort(key=lambda x: (x.at, x.source, x.id))
    return CartDetail(row=row, lines=lines, timeline=tuple(entries[-_MOST:]), mails=mails(found[MESSAGES.name]))


def _entry(source: str, x: Record) -> TimelineEntry:
    said = words(source, x["type"], x["raw"])
    return TimelineEntry(at=x["at"], source=source, type=x["type"], id=x["id"], words=said, raw=x["raw"])


def mails(records: Iterable[Record]) -> tuple[Mail, ...]:
    """The messages that records of the topic speak of, newest first: what the view `sent_messages` says of them.

    Planning that view for a few messages takes ClickHouse longer than all the rest; a test holds the two together.
    But a record that is no JSON to us (a number beyond a double in a field nobody reads) has no texts here.
    """
    told = ({**_texts(x["raw"]), **x} for x in records)
    plans = groupby(sorted(told, key=lambda x: x["plan_id"]), key=lambda x: x["plan_id"])
    found = [_mail(list(some)) for _, some in plans]
    return tuple(sorted(filter(None, found), key=lambda x: (-x.status_at.timestamp(), x.plan_id)))


def _texts(raw: str) -> dict[str, str]:
    said = record_of(raw)
    return {name: text if isinstance(text := said.get(name), str) else "" for name in _TEXTS}


def _mail(records: list[Record]) -> Mail | None:
    told = sorted(records, key=lambda x: x["at"])
    states = [x for x in told if x["type"] not in _REACTIONS]
    if not states:  # they are no longer kept
        return None
    # one that ends it outlives one that does not, whatever their clocks said
    status = max(states, key=lambda x: (x["type"] not in _GOES_ON, x["at"], x["type"] != "message.planned"))
    text = sorted(told, key=lambda x: (x["type"] in _WRITTEN, x["type"] == "message.sent", x["at"]))

    def last(name: str, among: list[Record] = told) -> str:
        return next((x[name] for x in reversed(among) if x[name]), "")

    def first(kind: str, *, machine: bool | None = None) -> Any:
        return next((x["at"] for x in told if x["type"] == kind and machine in (None, x["machine"])), None)

    return Mail(
        plan_id=last("plan_id"),
        shop_id=last("shop_id"),
        subscriber_id=last("subscriber_id"),
        channel=states[-1]["channel"],
        cart_id=last("cart_id"),
        abandonment_id=last("abandonment_id"),
        request_id=last("request_id"),
        status=status["type"].removeprefix("message."),
        reason=status["reason"],
        words=status["words"],
        status_at=status["at"],
        to=last("to", text),
        subject=last("subject", text),
        text=last("text", text),
        html=last("html", text),
        due_at=max((x["due_at"] for x in told if x["due_at"].timestamp() > 0), default=None),
        sent_at=max((x["at"] for x in told if x["type"] == "message.sent"), default=None),
        opened_at=first("message.opened", machine=False),
        clicked_at=first("message.clicked", machine=False),
        bounced_at=first("message.bounced"),
        complained_at=first("message.complained"),
        machine_opened_at=first("message.opened", machine=True),
        machine_clicked_at=first("message.clicked", machine=True),
        step=max(x["step"] for x in told),
        template=last("template"),
        variant=last("variant"),
        code=last("code"),
    )
