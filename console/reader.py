"""What the console asks of others: somebody who reads carts, and somebody who writes one event."""

from collections.abc import Collection, Generator
from datetime import datetime
from typing import Literal, Protocol

from cartwake.topics import Topic
from sinks.carts import CartDetail, CartRow, Count, OpenAlarm, Page, Standing


class CartReader(Protocol):
    """Reads abandonments; raises SinkUnavailable while the store is away. May be called from any thread.

    `sinks.carts.Carts` is the real one; `tests/console/memory.py` keeps the same promises in memory.
    """

    def page(
        self,
        *,
        shop: str | None = None,
        search: str | None = None,
        state: str | None = None,
        stage: str | None = None,
        sort: Literal["newest", "oldest"] = "newest",
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """At most `limit` abandonments by abandoned_at, from `cursor` on; Rejected for a cursor that is none."""
        ...

    def file(
        self,
        format_: str,
        *,
        shop: str | None = None,
        search: str | None = None,
        state: str | None = None,
        stage: str | None = None,
    ) -> Generator[bytes]:
        """What the pages of these filters show, the oldest first, as a file of `csv` or `xml`; closing it ends it."""
        ...

    def detail(self, abandonment_id: str) -> CartDetail | None:
        """One abandonment in full, or None when there is none of that id."""
        ...

    def counts(self, shop: str | None = None) -> tuple[Count, ...]:
        """Abandonments by shop, state and currency."""
        ...

    def alarms(self) -> tuple[OpenAlarm, ...]:
        """Alarms about checkouts that are open, the newest first."""
        ...

    def request_result(self, request_id: str) -> tuple[str, str] | None:
        """(status, words) of the message that staff asked for, or None while there is none yet."""
        ...

    def request_results(self, request_ids: Collection[str]) -> dict[str, tuple[str, str]]:
        """The same of several; those without a message are left out."""
        ...

    def own_words(self, shop_id: str, subscriber_id: str, request_id: str) -> str:
        """The own words that this person's reminder was asked for with; empty when there were none, or not yet."""
        ...

    def chosen(self, abandonment_ids: Collection[str]) -> dict[str, CartRow]:
        """These abandonments, by their ids; those that are no longer kept are left out."""
        ...

    def standings(self, people: Collection[tuple[str, str]], *, since: datetime) -> dict[tuple[str, str], Standing]:
        """What is known of these (shop_id, subscriber_id), mails counted from `since` on; strangers are left out."""
        ...


class EventWriter(Protocol):
    """Writes one event and waits for it; `cartwake.publish.Publisher` is the real one."""

    def send_and_wait(self, topic: Topic, key: str, value: bytes | None) -> None:
        """Return when the broker has the record; raises KafkaUnavailable."""
        ...
