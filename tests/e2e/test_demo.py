"""`cartwake demo --once --json`, as the README runs it: its figures, and that it leaves nothing behind."""

import json
import re
import socket
import subprocess
import sys
from collections import Counter
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cartwake.clock import to_ms
from cartwake.demo.show import products_of
from cartwake.demo.story import SHOP_ID, Story, tell
from cartwake.settings import Settings
from cartwake.topics import CART_EVENTS
from local import mailbox
from tests import oracle
from tests.conftest import free_port

pytestmark = pytest.mark.stack

KEYS = {
    "events", "carts", "abandonments", "identified", "messages_sent", "mailbox", "suppressed", "recovered",
    "clickhouse_rows", "console", "seconds",
}  # fmt: skip


def _outcomes(story: Story) -> Counter[str]:
    """What the oracle finds in the story's cart events, each cart by itself."""
    arrivals: dict[str, list[oracle.Arrival]] = {}
    for heard in story.heard:
        if heard.topic is CART_EVENTS and heard.key != "cart-broken":
            event = msgspec.json.decode(heard.value)
            moment = msgspec.convert(event["occurred_at"], datetime)
            event |= {"shop_id": SHOP_ID, "occurred_at": to_ms(moment)}
            arrivals.setdefault(heard.key, []).append({"partition": 0, "arrival": heard.at, "event": event})
    found: Counter[str] = Counter()
    for own in arrivals.values():
        for said in oracle.run(own, idle=7_200_000, until=max(story.end, own[-1]["arrival"])).outcomes.values():
            found.update(outcome.type for outcome in said)
    return found


def _code(message: EmailMessage) -> str | None:
    """The offer's code in a mail."""
    body = message.get_body(("plain",))
    found = re.search(r"BACK-[0-9A-F]{8}", body.get_content() if body else "")
    return found[0] if found else None


def test_the_demo_tells_its_story_and_leaves_nothing_running(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("kafka_port", "clickhouse_port", "collector_port", "console_port")}
    settings = Settings(data_dir=tmp_path, mailbox_port=free_port(below=24_000), **ports)
    done = subprocess.run(
        [sys.executable, "-m", "cartwake", "demo", "--once", "--json"],
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert figures.keys() == KEYS
    assert figures["events"] >= 5_000
    assert figures["carts"] >= 200
    assert figures["mailbox"] == figures["messages_sent"] == len(mailbox.mails(tmp_path / "demo"))
    assert figures["messages_sent"] > 50

    minute = 1_790_000_040_000 // 60_000 * 60_000
    expected = _outcomes(tell(end=minute, products=products_of(settings), shop_url="https://shop.example.com/"))
    assert figures["abandonments"] == expected["abandoned"] - expected["withdrawn"]
    assert figures["recovered"] == expected["recovered"]

    all_ = [mailbox.parse(path) for path in mailbox.mails(tmp_path / "demo")]
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

    for port in (*ports.values(), settings.mailbox_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on {port}"
