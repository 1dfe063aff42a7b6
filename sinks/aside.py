"""What ClickHouse refuses, to `dead-letters`, as the stages put aside what they can't use.

in   refused records with what ClickHouse said
out  dead-letters, by the original key
"""

from collections.abc import Sequence
from typing import Final

from cartwake.errors import Rejected
from cartwake.publish import Publisher
from cartwake.topics import DEAD_LETTER_BYTES, DEAD_LETTERS
from sinks.inserts import Refused

_STAGE: Final = "sink"
_ROOM: Final = DEAD_LETTER_BYTES - 16 * 1024  # beside headers and the reason


def put_aside(publisher: Publisher, topic: str, partition: int, refused: Sequence[Refused]) -> None:
    """Write the records to dead-letters and return when they are there; raises KafkaUnavailable.

    A dead letter that ClickHouse refuses has no other place: then Rejected says what it said.
    """
    if topic.endswith(DEAD_LETTERS.name):
        raise Rejected(f"{topic} {partition} {refused[0].offset}: {refused[0].reason}")
    for record in refused:
        said = {"reason": record.reason, "topic": topic, "partition": partition, "offset": record.offset}
        key, value = record.key, record.value
        if (size := len(key or b"") + len(value)) > _ROOM:
            said["cut"] = size
            key, value = key and key[:1_000], value[: _ROOM - 1_000]
        headers = {name: str(x).encode("utf-8", "replace") for name, x in (said | {"stage": _STAGE}).items()}
        publisher.send(DEAD_LETTERS, key, value, headers=headers)
    publisher.flush()
