"""Who will be written to about the carts that were chosen, and who will not and why, as far as the store knows. Pure.

What is foreseen here to fail is not asked for, so that nobody is written to whom the page had named as left out. All
else is asked, and stage 3, which knows more, decides.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from console import words
from console.asking import hindrance
from sinks.carts import CartRow, Standing

Who = tuple[str, str]  # shop_id, subscriber_id


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cart that was chosen; `row` is None when it is no longer kept. `against` is a key of `words.NOT_ASKED`."""

    abandonment_id: str
    row: CartRow | None
    against: str = ""
    why: str = ""


def people(rows: Iterable[CartRow]) -> set[Who]:
    """Everybody these carts belong to."""
    return {who(row) for row in rows if row.subscriber_id}


def who(row: CartRow) -> Who:
    """The person of a cart."""
    return row.shop_id, row.subscriber_id


def foresee(ids: Sequence[str], rows: Mapping[str, CartRow], standings: Mapping[Who, Standing]) -> tuple[Chosen, ...]:
    """Each chosen cart, in their order, with what stands against it. Of carts of one person the first ones count."""
    asked: Counter[Who] = Counter()
    first: dict[Who, CartRow] = {}
    found = []
    for one in ids:
        row = rows.get(one)
        standing = standings.get(who(row)) if row else None
        against = _against(row, standing, asked[who(row)] if row else 0)
        if row and not against:
            asked[who(row)] += 1
            first.setdefault(who(row), row)
        found.append(Chosen(one, row, against, why(against, standing, first.get(who(row)) if row else None)))
    return tuple(found)


def _against(row: CartRow | None, standing: Standing | None, asked: int) -> str:
    if row is None:
        return "gone"
    if reason := hindrance(row):
        return reason
    if row.state in ("reactivated", "withdrawn"):
        return {"reactivated": "returned", "withdrawn": "withdrawn"}[row.state]
    if standing and standing.against:
        return standing.against if standing.against in words.NOT_ASKED else ""
    written, cap = (standing.written, standing.cap) if standing else (0, 1)
    if written >= cap:
        return "limit"
    return "same" if written + asked >= cap else ""


def why(against: str, standing: Standing | None, first: CartRow | None = None) -> str:
    """The reason in words; `first` is the cart of the same person that takes its place."""
    cap = standing.cap if standing else 1
    most = f"{'one mail' if cap == 1 else f'{cap} mails'} per person and day"
    if against == "limit":
        at = standing.written_at if standing else None
        when = f" on {at:%Y-%m-%d} at {at:%H:%M} (UTC)" if at else " within 24 hours"
        return f"The person was already written to{when}; {most}."
    if against == "same":
        return f"Cart {first.cart_id if first else 'before it'} is the same person’s and comes first; {most}."
    return words.NOT_ASKED.get(against, "")
