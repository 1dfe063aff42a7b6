"""Our own format: one event a line, JSON (docs/event-format.md).

in   a file of any of the shop's events
out  each event's topic, key as ingest/routing.py says, the line's own bytes
"""

import codecs
from collections.abc import Iterator

from cartwake.errors import InvalidEvent
from ingest.line import Line
from ingest.routing import route


def read(lines: Iterator[bytes], *, shop_id: str, file_name: str) -> Iterator[Line]:  # noqa: ARG001  # events have ids
    """A record for each event; blank lines are not counted, a byte order mark before the first is."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        if number == 1:
            text = text.removeprefix(codecs.BOM_UTF8)
        try:
            record = route(text, shop_id)
        except InvalidEvent as exc:
            yield Line(number, error=str(exc))
        else:
            yield Line(number, record.at, record.topic, record.key, record.value)
