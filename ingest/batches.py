"""What of one request can be accepted, and why the rest can't. No I/O."""

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from ingest.jsontext import UNREADABLE, why_unreadable
from ingest.routing import Refused, Routed, route

MAX_EVENTS: Final = 1_000


class TooMany(Exception):
    """More than MAX_EVENTS in one request."""


class NotJson(Exception):
    """The whole request is unreadable; `str()` says why."""


class Rejection(Struct, frozen=True):
    """One event that was not accepted: its place in the request, its id if it could be read, the reason."""

    index: int
    event_id: str | None
    error: str
    kind: str


@dataclass(slots=True)
class Batch:
    """A request's events, sorted out."""

    accepted: list[Routed] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)


# A list of raw elements would be built whole before its length is looked at: 5 MiB of `1,` are 200 MB of them. An
# array_like struct stops at its first element too many.
_NONE: Final = Raw(b"")
_Elements: Final[Any] = msgspec.defstruct(
    "_Elements",
    [(f"e{n}", Raw, _NONE) for n in range(MAX_EVENTS)],
    array_like=True,
    forbid_unknown_fields=True,
)
_elements_of: Final = msgspec.json.Decoder(_Elements).decode


def sort_out(body: bytes, device: str = "") -> Batch:
    """The events of a body that is one event or an array of them; raises NotJson or TooMany.

    `device` is the kind of device they come from, for cart events that do not say it.
    """
    batch = Batch()
    for index, raw in enumerate(_split(body)):
        try:
            batch.accepted.append(route(raw, device=device))
        except Refused as exc:
            batch.rejected.append(Rejection(index, exc.event_id, str(exc), exc.kind))
    return batch


def _split(body: bytes) -> list[bytes]:
    text = body.strip(b" \t\r\n")
    if text.startswith(b"{"):
        return [text]
    if not text.startswith(b"["):
        reason = why_unreadable(body, ValueError("a JSON object or an array of them is needed"))
        raise NotJson(reason)
    try:
        elements = _elements_of(text)
    except msgspec.ValidationError as exc:
        raise TooMany(f"more than {MAX_EVENTS} events in one request") from exc
    except UNREADABLE as exc:
        raise NotJson(why_unreadable(text, exc)) from exc
    return [bytes(raw) for raw in msgspec.structs.astuple(elements) if raw is not _NONE]
