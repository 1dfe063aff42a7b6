"""What happened at a shop's checkout, counted by the statements of sql/alarms: `cartwake.flow.Counts` in ClickHouse.

in   checkout_steps_log, cart_outcomes_log
out  numbers
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import sql
from cartwake.flow import Counted
from sinks.clickhouse import ClickHouse

_LATELY_MS: Final = timedelta(days=1) // timedelta(milliseconds=1)


class Flow:
    """Counts of every shop. Repeated inserts count once; what comes late is counted from then on."""

    def __init__(self, client: ClickHouse) -> None:
        self._client = client

    def shops(self, *, since: int) -> list[str]:
        """The shops that had a checkout or an order since then (epoch milliseconds)."""
        return [row["shop_id"] for row in self._rows("shops", {"from": since})]

    def newest(self, shop_id: str, now: int) -> tuple[int, int]:
        """As `Counts` promises; only the last day is looked at."""
        row = self._rows("newest", {"shop": shop_id, "from": now - _LATELY_MS, "to": now})[0]
        return row["newest"], row["late"]

    def passing(
        self, shop_id: str, *, starts: Sequence[int], until: int, within: int
    ) -> Mapping[str, Sequence[Counted]]:
        """As `Counts` promises."""
        rows = self._rows("passing", {**_windows(shop_id, starts, until), "within": within})
        return {row["step"]: list(zip(row["of"], row["passed"], strict=True)) for row in rows}

    def bought(self, shop_id: str, *, starts: Sequence[int], until: int, idle: int) -> Sequence[Counted]:
        """As `Counts` promises."""
        row = self._rows("bought", {**_windows(shop_id, starts, until), "idle": idle})[0]
        return list(zip(row["of"], row["passed"], strict=True)) or [(0, 0)] * len(starts)

    def orders(self, shop_id: str, *, starts: Sequence[int], until: int) -> Sequence[int]:
        """As `Counts` promises."""
        return self._rows("orders", _windows(shop_id, starts, until))[0]["orders"] or [0] * len(starts)

    def _rows(self, name: str, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._client.query(sql.read(f"alarms/{name}.sql"), asked)


def _windows(shop_id: str, starts: Sequence[int], until: int) -> dict[str, Any]:
    return {"shop": shop_id, "from": starts[0], "until": until, "starts": list(starts)}
