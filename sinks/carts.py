"""What the console reads: pages of abandonments, one of them in full, and counts.

in   the views `abandonments` and `sent_messages`, and the logs behind them
out  frozen rows for pages
"""

from typing import Literal

from sinks.rows import CartDetail, CartLine, CartRow, Count, Mail, Page, TimelineEntry

__all__ = ["CartDetail", "CartLine", "CartRow", "Carts", "Count", "Mail", "Page", "TimelineEntry"]

Sort = Literal["newest", "oldest"]


class Carts:
    """Reads for the console. Every method raises SinkUnavailable while ClickHouse is away."""

    def page(
        self,
        *,
        shop: str | None = None,
        search: str | None = None,
        state: str | None = None,
        stage: str | None = None,
        sort: Sort = "newest",
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Abandonments by (abandoned_at, abandonment_id), from `cursor` on; Rejected for a cursor that is none.

        `search` is an e-mail address, cart, customer, order or product name: any part of it, in any case.
        """
        raise NotImplementedError

    def detail(self, abandonment_id: str) -> CartDetail | None:
        """One abandonment in full, or None when there is none of that id."""
        raise NotImplementedError

    def counts(self, shop: str | None = None) -> tuple[Count, ...]:
        """Abandonments by shop, state and currency; withdrawn ones too, under their own state."""
        raise NotImplementedError

    def request_result(self, request_id: str) -> tuple[str, str] | None:
        """(status, words) of the message that staff asked for with this id, or None while there is none yet.

        Asked four times a second while a page waits, so it looks only at the last day of `messages_log`.
        """
        raise NotImplementedError
