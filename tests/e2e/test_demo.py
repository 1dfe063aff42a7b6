"""`cartwake demo --once --json`, as the README runs it: its figures, that it leaves nothing behind, and that the
laboratory says of its events what the real stages said."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from typing import Any

import msgspec
import pytest

from cartwake.clock import to_ms
from cartwake.demo.show import products_of
from cartwake.demo.story import SHOP_ID, STEP, Story, tell
from cartwake.lab.tally import Tally
from cartwake.lab.trial import run
from cartwake.settings import Settings
from cartwake.topics import CART_EVENTS
from local import mailbox
from local.stack import embedded
from sinks.clickhouse import ClickHouse
from tests import oracle
from tests.conftest import free_port

pytestmark = pytest.mark.stack

KEYS = {
    "events", "carts", "abandonments", "identified", "messages_sent", "mailbox", "suppressed", "recovered",
    "clickhouse_rows", "console", "seconds",
}  # fmt: skip
PORTS = ("kafka_port", "clickhouse_port", "collector_port", "console_port")


def _arrivals(story: Story) -> dict[str, list[oracle.Arrival]]:
    """The story's cart events by cart."""
    arrivals: dict[str, list[oracle.Arrival]] = {}
    for heard in story.heard:
        if heard.topic is CART_EVENTS and heard.key != "cart-broken":
            event = msgspec.json.decode(heard.value)
            moment = msgspec.convert(event["occurred_at"], datetime)
            event |= {"shop_id": SHOP_ID, "occurred_at": to_ms(moment)}
            arrivals.setdefault(heard.key, []).append({"partition": 0, "arrival": heard.at, "event": event})
    return arrivals


def _outcomes(story: Story) -> list[list[oracle.Outcome]]:
    """What the oracle finds in the story's cart events, each cart by itself."""
    found = []
    for own in _arrivals(story).values():
        found += oracle.run(own, idle=7_200_000, until=max(story.end, own[-1]["arrival"])).outcomes.values()
    return found


def _rate(outcomes: list[list[oracle.Outcome]]) -> dict[str, Any]:
    """Carts decided and left, and their value, from what the oracle says in turn of each cart."""
    left, at_once, saved = [], [], 0
    for said in outcomes:
        episodes: list[oracle.Outcome] = []
        for number, outcome in enumerate(said):
            if outcome.type == "abandoned":
                episodes.append(outcome)
            elif outcome.type == "withdrawn":
                episodes.pop()
            elif outcome.type == "completed" and [x.type for x in said[number + 1 : number + 2]] != ["recovered"]:
                at_once.append(outcome)
        left += episodes
        saved += sum(x.type == "recovered" for x in said)
    gone = sum(x.value for x in left)
    value = gone + sum(x.value for x in at_once)
    carts = {"carts": len(left) + len(at_once), "abandoned": len(left), "recovered": saved}
    return carts | {"value": value, "abandoned_value": gone}


def _reached(story: Story) -> list[int]:
    """How many carts came to the cart, the five steps and the order."""
    steps = ["contact", "address", "shipping", "payment", "review"]
    far = []
    for own in _arrivals(story).values():
        events = [x["event"] for x in own]
        filled = any(x["type"] in {"cart.item_added", "cart.updated"} and x.get("items") for x in events)
        if filled and not any(x["type"] == "cart.merged" for x in events):
            reached = [steps.index(x["step"]) + 1 for x in events if x["type"] == "checkout.step"]
            far.append(6 if any(x["type"] == "order.placed" for x in events) else max(reached, default=0))
    return [sum(x >= number for x in far) for number in range(7)]


def _report(settings: Settings, *words: str) -> list[dict[str, Any]]:
    """A report of what the demo has left, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "cartwake", "report", *words, "--shop", SHOP_ID, "--format", "json"],
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def _code(message: EmailMessage) -> str | None:
    """The offer's code in a mail."""
    body = message.get_body(("plain",))
    found = re.search(r"BACK-[0-9A-F]{8}", body.get_content() if body else "")
    return found[0] if found else None


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, subprocess.CompletedProcess[str]]:
    """The demo has been shown: its settings, and what it said."""
    ports = {name: free_port() for name in PORTS}
    settings = Settings(data_dir=tmp_path_factory.mktemp("demo"), mailbox_port=free_port(below=24_000), **ports)
    done = subprocess.run(
        [sys.executable, "-m", "cartwake", "demo", "--once", "--json"],
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return settings, done


def test_the_demo_tells_its_story_and_leaves_nothing_running(
    demo: tuple[Settings, subprocess.CompletedProcess[str]],
) -> None:
    settings, done = demo
    folder = settings.data_dir / "demo"
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert figures.keys() == KEYS
    assert figures["events"] >= 5_000
    assert figures["carts"] >= 200
    assert figures["mailbox"] == figures["messages_sent"] == len(mailbox.mails(folder))
    assert figures["messages_sent"] > 50

    minute = 1_790_000_040_000 // 60_000 * 60_000
    story = tell(end=minute, products=products_of(settings), shop_url="https://shop.example.com/")
    outcomes = _outcomes(story)
    expected = Counter(x.type for said in outcomes for x in said)
    assert figures["abandonments"] == expected["abandoned"] - expected["withdrawn"]
    assert figures["recovered"] == expected["recovered"]

    all_ = [mailbox.parse(path) for path in mailbox.mails(folder)]
    ways = Counter(message["X-Cartwake-Channel"] or "mail" for message in all_)
    assert (ways["sms"], ways["push"]) == (1, 1), "the reader's alone"
    to = Counter(message["To"] for message in all_ if message["X-Cartwake-Channel"] is None)
    assert max(to.values()) == 2, "a first and a second mail, on two days"
    assert to["reader@example.com"] == 2
    codes = [code for message in all_ if (code := _code(message))]
    assert len(codes) == len(set(codes)) > 10, "each code for one person"
    assert _code(next(message for message in all_ if message["To"] == "guest@example.com"))
    written = set(to)
    assert {f"{who}@example.com" for who in ("reader", "guest", "returning", "second", "later", "careful")} <= written
    never = ("quick", "late", "phone", "wrong", "no-consent", "withdrawn", "first")
    assert not {f"{who}@example.com" for who in never} & written

    for port in (*(getattr(settings, name) for name in PORTS), settings.mailbox_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on {port}"

    # the reports, from what lies in ClickHouse, against the story itself
    left_behind = msgspec.structs.replace(settings, data_dir=settings.data_dir / "demo")
    rates = _report(left_behind, "abandonment-rate", "--by", "currency")
    for name, number in _rate(outcomes).items():
        assert sum(Decimal(x[name]) for x in rates) == number, name
    devices = _report(left_behind, "abandonment-rate", "--by", "device")
    assert {x["slice"] for x in devices} == {"desktop", "mobile", "tablet", "unknown"}
    assert sum(x["carts"] for x in devices) == sum(x["carts"] for x in rates)
    assert [x["carts"] for x in _report(left_behind, "funnel")] == _reached(story)
    counted = _report(left_behind, "messages")
    assert sum(x["sent"] for x in counted) == figures["messages_sent"]
    assert sum(x["suppressed"] for x in counted) == figures["suppressed"]
    audited = _report(left_behind, "conservation")
    assert {x["what"]: x["number"] for x in audited if x["part"] == "wrong" and x["number"]} == {}
    assert sum(x["number"] for x in audited if x["part"] == "plans") == sum(x["planned"] for x in counted)


def test_the_laboratory_says_what_the_real_stages_said(
    demo: tuple[Settings, subprocess.CompletedProcess[str]],
) -> None:
    settings, done = demo
    assert done.returncode == 0, done.stderr
    sms = {"sms_preset": "twilio", "sms_account": "demo", "sms_secret": "demo", "sms_sender": "+15005550006"}
    settings = msgspec.structs.replace(settings, data_dir=settings.data_dir / "demo", **sms)
    today = datetime.now(UTC).date()
    with (
        embedded(settings, clickhouse=True) as running,
        ClickHouse.open(running.clickhouse_dsn, running.clickhouse_database) as store,
    ):
        counted = (
            "SELECT name, total_rows FROM system.tables WHERE database = currentDatabase() AND endsWith(name, '_log') "
            "ORDER BY name"
        )
        before = store.query(counted)
        trial = asyncio.run(run(store, running, [], begin=today - timedelta(days=3), end=today))
        left = store.query("SELECT abandonment_id FROM abandonments WHERE state != 'withdrawn'")
        plans = store.query("SELECT * FROM plans WHERE request_id = '' AND planned_at IS NOT NULL AND ending != ''")
        assert store.query(counted) == before

    tally: Tally = trial.before
    assert tally.episodes.keys() - tally.withdrawn == {row["abandonment_id"] for row in left}
    assert len(plans) > 500
    other = []
    for row in plans:
        ours = tally.plans[row["plan_id"]]
        assert (ours.step, ours.channel, ours.person[1]) == (row["step"], row["channel"], row["subscriber_id"])
        if (ours.ending, ours.reason) != (row["ending"], row["reason"]):
            # the demo judges together what is heard within half an hour, and on a busy machine some of it with the
            # next half hour; the laboratory judges each at its own moment
            assert abs(ours.at - to_ms(row["ended_at"])) <= 2 * STEP, row
            other.append(row["ending"])
    assert len(other) <= len(plans) // 100
    assert "sent" not in other
    assert sum(row["ending"] == "sent" for row in plans) > 100
