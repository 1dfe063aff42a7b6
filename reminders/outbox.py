"""Sending one mail: a few tries while it is certain that nothing left, none after. The channel does the talking."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

from cartwake.errors import MailUnavailable
from cartwake.shops import Shop
from reminders.letter import Letter
from reminders.outcomes import Cancelled, Failed, Later, Result, Sent, Uncertain

M_contra = TypeVar("M_contra", bound="Outgoing", contravariant=True)

#: Seconds before the second and third try. More would keep other mails waiting: after them the plan waits instead.
PAUSES: Final = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail ready for the wire: the envelope's two addresses and the serialised message."""

    message_id: str
    sender: str
    recipient: str
    subject: str
    text: str
    html: str
    wire: bytes

    @property
    def shown(self) -> dict[str, str]:
        """What staff may read of it later."""
        return {"subject": self.subject, "text": self.text, "html": self.html}


class Outgoing(Protocol):
    """A message ready to leave; each channel has its own kind."""

    @property
    def message_id(self) -> str:
        """What the server on the other side knows it by."""
        ...

    @property
    def shown(self) -> dict[str, str]:
        """What staff may read of it later: `subject`, `text`, `html`, each if there is one."""
        ...


class Channel(Protocol[M_contra]):
    """Brings messages of one kind to a server."""

    async def send(self, message: M_contra, /) -> Sent | Failed | Uncertain:
        """Hand the message over once. Raises MailUnavailable when it certainly did not leave and may later."""
        ...


@runtime_checkable
class Queue(Protocol[M_contra]):
    """A channel at which messages stand in line: much may happen before the turn of one has come."""

    async def send_unless(
        self, cancelled: Callable[[], bool], message: M_contra, /
    ) -> Sent | Failed | Uncertain | Cancelled:
        """As `Channel.send`; `cancelled` is asked when nothing is left to wait for."""
        ...


@dataclass(frozen=True, slots=True)
class Medium:
    """A channel at work: `render` makes a message of a letter (or raises Unfit), `channel` brings it to a server."""

    render: Callable[[Letter, Shop], Any]
    channel: Channel[Any]
    replace: Callable[[Letter, Shop], Any] | None = None  # what takes the place of a message once the cart was bought


async def deliver(
    channel: Channel[M_contra],
    mail: M_contra,
    *,
    cancelled: Callable[[], bool],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """Send `mail`, trying again after pauses with jitter; `cancelled` is asked before every try.

    It says whether the reason to write is gone or its time is over; then nothing leaves any more.
    """
    for pause in (*PAUSES, None):
        if cancelled():
            return Cancelled()
        try:
            result = await (channel.send_unless(cancelled, mail) if isinstance(channel, Queue) else channel.send(mail))
        except MailUnavailable as exc:
            if pause is None:
                return Later(str(exc))
            await sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards nothing
        else:
            if isinstance(result, Failed | Cancelled):
                return result
            if isinstance(result, Sent):
                return Sent(result.words, mail.shown)
            return Uncertain(mail.message_id, mail.shown)
    raise AssertionError("the last try returns")
