"""How one asks for a reminder: the console's buttons and `cartwake remind` ask alike.

out  subscriber-events, key subscriber_id: subscriber.reminder_requested
"""

from datetime import datetime
from typing import Final

from cartwake.errors import Rejected
from cartwake.model import SubscriberEvent
from console import words
from sinks.carts import CartRow

MOST_TEXT: Final = 2_000  # characters of own words, as `SubscriberEvent.message` takes them
MOST_LINES: Final = 60  # of own words; a mail shows no more of them
MOST_AT_ONCE: Final = 100  # carts asked about at once: an account of each must still fit one page


def own_words(text: str) -> str | None:
    """The words as they go into the request, None when there are none; raises Rejected, with figures, for too many.

    Line ends are counted as one character each, whatever a browser made of them.
    """
    said = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(said) > MOST_TEXT:
        raise Rejected(f"{len(said):,} characters are too many; at most {MOST_TEXT:,} fit")
    if (lines := said.count("\n") + 1) > MOST_LINES:
        raise Rejected(f"{lines} lines are too many; at most {MOST_LINES} fit")
    return said or None


def hindrance(row: CartRow) -> str:
    """Why nobody can be asked about this cart, a key of `words.NOT_ASKED`, or nothing when one can."""
    if not row.subscriber_id:
        return "nobody"
    return "bought" if row.state == "recovered" else ""


def why_no_reminder(row: CartRow) -> str:
    """The same in words. What else may forbid a mail is said by the answer."""
    return words.NOT_ASKED.get(hindrance(row), "")


def request(row: CartRow, *, request_id: str, by: str, at: datetime, text: str | None = None) -> SubscriberEvent:
    """The event that asks; told twice under the same id it has its effect once."""
    return SubscriberEvent(
        event_id=request_id,
        type="subscriber.reminder_requested",
        shop_id=row.shop_id,
        subscriber_id=row.subscriber_id,
        occurred_at=at,
        cart_id=row.cart_id,
        request_id=request_id,
        requested_by=by,
        message=text,
    )
