"""Codes of offers on one partition: which are free, and to whom one is given. Each is a state of its own.

A code is given once: it stays known after it was given, so that adding it again changes nothing. One whose message
never left goes back.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, Final

from cartwake.durations import duration_ms
from cartwake.model import OfferCode
from cartwake.rules import Offer
from cartwake.stage import Table
from reminders.links import ERASED
from reminders.person import Code, Gift, Key, Person, Plan

_MARK: Final = "code/"


class Codes:
    """The codes in a partition's `table`, and which of each pool are free, the oldest first."""

    def __init__(self, table: Table[Key, Any]) -> None:
        self._table = table
        self._free: dict[tuple[str, str], deque[str]] = defaultdict(deque)  # by (shop_id, pool)

    def restore(self, key: Key, state: object) -> None:
        """Take a restored state in, if it is one of a code."""
        if isinstance(state, Code) and state.plan_id is None:
            shop_id, pool, code = key[1].removeprefix(_MARK).split("\0")
            self._free[shop_id, pool].append(code)

    def add(self, code: OfferCode) -> None:
        """A code may be given away, unless it is known already."""
        key = _key(code.shop_id, code.pool, code.code)
        if self._table.get(key) is None:
            self._table.put(key, Code())
            self._free[code.shop_id, code.pool].append(code.code)

    def take(self, shop_id: str, offer: Offer, plan_id: str, now: int) -> Gift | None:
        """A code that is this plan's from now on, or None when the pool is empty here."""
        pool = offer.pool or ""
        free = self._free[shop_id, pool]
        if not free:
            return None
        code = free.popleft()
        self._table.put(_key(shop_id, pool, code), Code(plan_id=plan_id))
        return Gift(code=code, until=now + duration_ms(offer.valid), text=offer.text, pool=pool)

    def put_back(self, shop_id: str, gift: Gift) -> None:
        """The code is free again: no message with it has left."""
        if gift.pool is not None:
            self._table.put(_key(shop_id, gift.pool, gift.code), Code())
            self._free[shop_id, gift.pool].append(gift.code)


def unused(before: Person, after: Person) -> Iterator[Plan]:
    """The plans that ended between the two and whose code has reached nobody, one for each code."""
    wanted = {plan.gift.code for plan in after.plans if plan.gift}
    for plan in before.plans:
        gift = plan.gift
        if gift is None or after.plan(plan.plan_id) or gift.code in wanted or gift.used or _may_have_left(plan, after):
            continue
        wanted.add(gift.code)
        yield plan


def _may_have_left(plan: Plan, after: Person) -> bool:
    return plan.held == "uncertain" or plan.sending_at in after.on(plan.channel).written


def _key(shop_id: str, pool: str, code: str) -> Key:
    return ERASED, _MARK + "\0".join((shop_id, pool, code))
