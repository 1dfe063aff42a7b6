"""The account of a trial as lines for a terminal."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_HEADS: Final = ("as they are", "as changed", "difference")
LIMITS: Final = (
    "Nothing was sent. People did what they did with the messages they really got: nobody can know what they would "
    "have done with others, and every message here counts as taken (docs/lab.md)."
)
_FATES: Final = {
    "not_left": "does not count as left",
    "open": "nobody known, or not due yet",
    "recovered": "bought before a message left",
    "expired": "too late",
}


def told(figures: Mapping[str, Any]) -> Iterator[str]:
    """The figures of an account."""
    whose = f", shop {figures['shop']}" if figures["shop"] else ""
    yield f"Carts left from {figures['from']} to {figures['to']} (UTC){whose}"
    yield (
        f"{figures['records']:,} records of {figures['records_from'][:10]} to {figures['records_to'][:10]}, "
        f"{figures['records_per_second']:,} a second through both"
    )
    for change in figures["changes"]:
        yield f"  {change['shop']}: {change['setting']}: {change['before']} → {change['after']}"
    if not figures["changes"]:
        yield "  no --set, so both sides are the same"
    yield ""
    yield from _table(figures["before"], figures["after"])
    for name, one in (("as they are", "only_old"), ("as changed", "only_new")):
        yield ""
        yield from _only(name, figures[one])
    both = figures["both"]
    yield ""
    yield f"written to by both: {both['carts']:,} carts, {both['earlier']:,} earlier by the changed rules, " + (
        f"{both['later']:,} later"
    )
    yield ""
    yield LIMITS


def listed(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One line a cart."""
    for row in rows:
        step = f"step {row['step']}" if row["step"] else "by hand"
        bought = f"; bought {row['bought_at'][:16].replace('T', ' ')}" if row["bought_at"] else ""
        yield (
            f"{row['message_at'][:16].replace('T', ' ')}  {row['shop']}/{row['cart_id']}  {row['to'] or '-'}  "
            f"{row['value']} {row['currency']}  {step} by {row['channel']}{bought}; "
            f"otherwise: {_fate(row['otherwise'], row['reason'])}"
        )


def _table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'rules':<40}" + "".join(f"{head:>16}" for head in _HEADS)
    yield _line("carts left", before["carts_left"], after["carts_left"])
    yield from _values(before["value_left"], after["value_left"])
    yield _line("  taken back by late events", before["withdrawn"], after["withdrawn"])
    yield _line("messages planned", before["plans"], after["plans"])
    yield _line("messages sent", before["messages"], after["messages"])
    steps = [{(x["step"], x["channel"]): x for x in side["steps"]} for side in (before, after)]
    for step, channel in sorted({*steps[0], *steps[1]}):
        name = f"  step {step} by {channel}" if step else f"  by hand, by {channel}"
        yield _line(name, *(side.get((step, channel), {}).get("sent", 0) for side in steps))
    yield _line("people written to", before["people_written_to"], after["people_written_to"])
    yield _line("carts written to", before["carts_written_to"], after["carts_written_to"])
    yield from _values(before["value_written_to"], after["value_written_to"])
    yield _line("carts bought before a message left", before["bought_before_message"], after["bought_before_message"])
    yield _line("carts bought after a message", before["bought_after_message"], after["bought_after_message"])
    kept = [
        {(x["channel"], x["ending"], x["reason"]): x["plans"] for x in side["not_sent"]} for side in (before, after)
    ]
    names = {*kept[0], *kept[1]}
    if names:
        yield "messages not sent"
    for end in sorted(names, key=lambda x: (-max(side.get(x, 0) for side in kept), x)):
        yield _line(f"  {end[0]}: {_fate(end[1], end[2])}", *(side.get(end, 0) for side in kept))


def _only(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    worth = "".join(f", worth {value} {currency}" for currency, value in one["value"].items())
    yield f"written to only by the rules {name}: {one['carts']:,} carts{worth}; {one['people']:,} people by them alone"
    if not one["carts"]:
        return
    for other in one["otherwise"]:
        yield f"  {other['carts']:>8,}  by the other rules: {_fate(other['ending'], other['reason'])}"
    worth = "".join(f", worth {value} {currency}" for currency, value in one["bought_value"].items())
    yield (
        f"  {one['bought']:>8,}  bought after that message would have left, "
        f"{one['bought_within_a_day']:,} of them within a day{worth}"
    )


def _fate(ending: str, reason: str) -> str:
    said = _FATES.get(ending, ending)
    return said if not reason or reason in (ending, "bought") else f"{said} ({reason})"


def _values(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for currency in sorted({*before, *after}):
        was, is_ = before.get(currency, "0"), after.get(currency, "0")
        yield f"{f'  worth, {currency}' if currency else '  worth, no currency':<40}{was:>16}{is_:>16}"


def _line(name: str, before: int, after: int) -> str:
    by = after - before
    return f"{name[:39]:<40}{before:>16,}{after:>16,}{f'{by:+,}' if by else '':>16}"
