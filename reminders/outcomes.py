"""How an attempt to send one mail can end. `Later` and `Cancelled` are certain that nothing left."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sent:
    """The mail server took it; `words` is its answer. `mail` has the subject, text and html that left."""

    words: str
    mail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """A final no. `bounced`: the mailbox does not exist, and must not be written to again."""

    reason: str
    words: str
    bounced: bool = False


@dataclass(frozen=True, slots=True)
class Uncertain:
    """It was handed over and no answer came: it may have arrived. Never send it again."""

    message_id: str
    mail: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """It was not sent because it could not be made well: a value is missing, or something unsafe is in it."""

    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class Later:
    """The mail server is away or asked to come back."""

    words: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The reason to write went away between two tries."""


Result = Sent | Failed | Uncertain | Held | Later | Cancelled
