"""The topic `alerts`, read from its beginning and followed: every alarm there was, and which are open."""

import logging
from collections.abc import Callable
from datetime import datetime

import msgspec

from cartwake import following
from cartwake.alarms import Alarms
from cartwake.clock import to_ms
from cartwake.model import decode_alert
from cartwake.settings import Settings
from cartwake.topics import ALERTS

log = logging.getLogger(__name__)


def read(settings: Settings, alarms: Alarms) -> None:
    """Take in what is on the topic now; raises KafkaUnavailable when it can't be read within 30 seconds."""
    follow(settings, alarms)()


def follow(settings: Settings, alarms: Alarms) -> Callable[[], None]:
    """Read the topic to its end, then keep following it in a thread; returns what stops that.

    Raises KafkaUnavailable when the topic can't be read within 30 seconds.
    """
    return following.follow(settings, ALERTS, lambda _key, value: take_in(value, alarms), called="topic")


def take_in(value: bytes | None, alarms: Alarms) -> None:
    """One record of the topic; one that can't be read is said and left out."""
    try:
        alert = decode_alert(value or b"")
        alarms.apply(alert, to_ms(datetime.fromisoformat(alert.occurred_at)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, TypeError, OverflowError) as exc:
        log.warning("a record of %s can't be read and has been ignored: %s", ALERTS.name, exc)
