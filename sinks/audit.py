"""Whether plans add up: every abandonment with a person has one, every plan that was due has one end, none is wrong.

in   the views `abandonments` and `plans`, and the records behind them, by the statements of sql/audit
out  sums by end and reason, and what does not add up, each with its id
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import sql
from cartwake.errors import ConfigurationError
from sinks.clickhouse import ClickHouse
from sinks.statements import fill

_CHECKS: Final = "audit/checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Plans that stand alike: `standing` is an end, `open` or `overdue`."""

    standing: str
    reason: str
    plans: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Something that does not add up: the `check` it fails, a plan's or an abandonment's id, and a sentence."""

    check: str
    shop_id: str
    id: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found. Everything adds up when `wrong` is empty."""

    abandonments: int
    with_a_person: int
    with_a_plan: int
    sums: tuple[Sum, ...]
    wrong: tuple[Wrong, ...]

    @property
    def plans(self) -> int:
        """All plans."""
        return sum(x.plans for x in self.sums)


def checks() -> list[str]:
    """The names of all checks."""
    return [x.removesuffix(".sql") for x in sql.names(_CHECKS)]


def audit(client: ClickHouse, *, from_: date, to: date, now: int, shop: str = "") -> Audit:
    """Audit what was left on the days `from_` … `to`, both included, UTC; `now` is epoch milliseconds.

    Raises ConfigurationError when the days are in the wrong order.
    """
    if to < from_:
        raise ConfigurationError(f"--to {to} is before --from {from_}; for one day give it twice")
    asked: Mapping[str, Any] = {"shop": shop, "from": from_, "to": to, "now": now}
    plans = {"plans": sql.read("audit/plans.sql")}

    def ask(name: str) -> list[dict[str, Any]]:
        return client.query(fill(sql.read(f"{name}.sql"), plans), asked)

    return Audit(
        **ask("audit/abandonments")[0],
        sums=tuple(Sum(**row) for row in ask("audit/sums")),
        wrong=tuple(Wrong(check=name, **row) for name in checks() for row in ask(f"{_CHECKS}/{name}")),
    )
