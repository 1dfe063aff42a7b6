"""The examples of docs/event-format.md are events that are taken, one of every type a shop may send."""

import json
import re
from pathlib import Path

from cartwake.model import CART_TYPES, DEVICE_TYPES, ORDER_TYPES, SUBSCRIBER_TYPES
from ingest.routing import route

PAGE = Path(__file__).parents[2] / "docs" / "event-format.md"


def test_every_example_is_taken_and_every_type_has_one() -> None:
    shown = set()
    for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for text in re.split(r"\n(?=\{)", block.strip()):
            route(text.encode())
            shown.add(json.loads(text)["type"])
    ours = {f"subscriber.{x}" for x in ("reminder_requested", "notice_requested", "notice_failed")}
    assert shown == (CART_TYPES | DEVICE_TYPES | ORDER_TYPES | SUBSCRIBER_TYPES) - ours
