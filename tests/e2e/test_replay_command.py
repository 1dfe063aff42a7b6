"""`cartwake replay` against the oracle, with malformed lines, duplicates and both formats."""

import gzip
import json
import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cartwake.clock import rfc3339
from cartwake.settings import Settings
from tests import oracle

pytestmark = pytest.mark.stack

START = 1_790_000_000_000
TWO_HOURS = 7_200_000


def _replay(settings: Settings, *arguments: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "cartwake", "replay", *arguments, "--json"],
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def _events(seed: int) -> list[dict[str, Any]]:
    """Some 3,000 events of 300 carts in the order of their time."""
    draw = random.Random(seed)
    events = []
    for cart in range(300):
        at = START + draw.randrange(48 * 3_600_000)
        for _ in range(draw.randrange(2, 18)):
            at += draw.choice([1_000, 60_000, 600_000, TWO_HOURS - 1, TWO_HOURS, TWO_HOURS + 1])
            kind = draw.choice(["cart.item_added"] * 5 + ["cart.item_removed", "cart.viewed", "order.placed"])
            event = {"type": kind, "cart_id": f"c-{cart}", "occurred_at": at, "currency": "EUR"}
            if kind.startswith("cart.item"):
                event["items"] = [{"sku": draw.choice("ABC"), "quantity": 1, "price": draw.choice(["1.10", "19.99"])}]
            if kind == "order.placed":
                event["order_id"] = f"o-{cart}-{at}"
            events.append(event)
    events.sort(key=lambda event: event["occurred_at"])
    return [event | {"event_id": f"e-{n}", "shop_id": "main"} for n, event in enumerate(events)]


def test_figures_are_the_oracles_and_bad_lines_are_named(settings: Settings, tmp_path: Path) -> None:
    events = _events(5)
    file = tmp_path / "events.jsonl.gz"
    lines = [json.dumps(event | {"occurred_at": rfc3339(event["occurred_at"])}) for event in events]
    lines.insert(1_000, '{"event_id": "x", "type": "cart.item_added", "cart_id": "c-1"')
    lines.insert(2_000, '{"event_id": "y", "type": "cart.flown", "cart_id": "c-1", "occurred_at": 1}')
    lines += [lines[7], lines[2_500]]  # the same again
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    figures, told = _replay(settings, str(file))

    last = max(event["occurred_at"] for event in events)
    said = []
    for cart in {event["cart_id"] for event in events}:
        own = [{"partition": 0, "arrival": e["occurred_at"], "event": e} for e in events if e["cart_id"] == cart]
        said += [o for found in oracle.run(own, idle=TWO_HOURS, until=2**60).outcomes.values() for o in found]
    left = [o for o in said if o.type == "abandoned"]
    due = [o for o in left if (o.abandoned_at or 0) <= last]
    assert figures == {
        "events": len(lines),
        "rejected": 2,
        "duplicates": 2,
        "carts": len({e["cart_id"] for e in events if e["type"] == "cart.item_added"}),
        "abandonments": len(left),
        "due": len(due),
        "open": len(left) - len(due),
        "completed": sum(o.type == "completed" for o in said),
        "recovered": sum(o.type == "recovered" for o in said),
        "abandoned_value": f"{sum((o.value for o in left), Decimal(0)):f}",
        "events_per_second": figures["events_per_second"],
    }
    assert len(due) > 100
    assert figures["recovered"] > 10
    assert "events.jsonl.gz:1001" in told
    assert "events.jsonl.gz:2001" in told
    assert "cart.flown" in told


def test_rees46_files_are_taken_in_calendar_order(settings: Settings, tmp_path: Path) -> None:
    head = "event_time,event_type,product_id,price,user_id,user_session\n"
    (tmp_path / "data_2022_dec.csv").write_text(
        head
        + "2022-12-01 00:30:00 UTC,purchase,11,2.62,1,aaaa\n"  # bought an hour after it was added in November
        + "2022-12-01 00:30:00 UTC,purchase,12,1.00,1,aaaa\n"  # a second row of the same order: an empty cart
        + "2022-12-01 09:00:00 UTC,view,11,2.62,2,bbbb\n"
        + "2022-12-01 10:00:00 UTC,cart,13,not-a-price,2,bbbb\n"
    )
    (tmp_path / "data_2022_nov.csv").write_text(
        head
        + "2022-11-30 23:30:00 UTC,cart,11,2.62,1,aaaa\n"
        + "2022-11-30 23:40:00 UTC,cart,21,5.00,2,bbbb\n"
        + "2022-11-30 23:41:00 UTC,cart,21,5.00,2,bbbb\n"
        + "2022-11-30 23:42:00 UTC,remove_from_cart,21,5.00,2,bbbb\n"
        + "2022-11-30 23:43:00 UTC,remove_from_cart,99,5.00,2,bbbb\n"
    )
    files = [str(tmp_path / name) for name in ("data_2022_dec.csv", "data_2022_nov.csv")]
    figures, told = _replay(settings, *files, "--format", "rees46")
    del figures["events_per_second"]
    assert figures == {
        "events": 9,
        "rejected": 1,
        "duplicates": 0,
        "carts": 2,
        "abandonments": 1,
        "due": 1,
        "open": 0,
        "completed": 1,
        "recovered": 0,
        "abandoned_value": "5.00",
    }
    assert "data_2022_dec.csv:5" in told


def test_a_file_that_is_not_there_is_named_before_anything_starts(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, kafka_port=1)
    done = subprocess.run(
        [sys.executable, "-m", "cartwake", "replay", "nothing.jsonl"],
        env=settings.environment() | {"PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "nothing.jsonl can't be read" in done.stderr
    assert "Traceback" not in done.stderr
