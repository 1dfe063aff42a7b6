"""Reports about carts: figures of made-up carts that went through the real rules, against what their stories say."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import combinations
from typing import Any

import pytest

from cartwake.errors import ConfigurationError
from sinks import reports
from sinks.clickhouse import ClickHouse
from tests.sinks.records import outcome, put
from tests.sinks.stories import HOUR, MINUTE, STEPS, Decision, Story, tell

pytestmark = pytest.mark.stack
DAYS = {"from_": date(2026, 11, 23), "to": date(2026, 11, 25)}
WEEK = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def when(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def asked_for(at: int) -> bool:
    return DAYS["from_"] <= when(at).date() <= DAYS["to"]


def share(part: int, whole: int) -> Decimal | None:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.1"), ROUND_HALF_EVEN) if whole else None


def decided(stories: list[Story], only: str) -> Iterator[tuple[Story, Decision]]:
    for story in stories:
        for decision in story.decisions:
            if asked_for(decision.at) and only in ("", story.shop):
                yield story, decision


def rows(client: ClickHouse, name: str, only: str, **choices: object) -> list[tuple[Any, ...]]:
    return list(reports.run(client, name, shop=only, choices=choices, **DAYS).rows)


SLICES = {
    "day": lambda s, d: when(d.at).date().isoformat(),
    "hour": lambda s, d: f"{when(d.at).hour:02}",
    "weekday": lambda s, d: f"{when(d.at).isoweekday()} {WEEK[when(d.at).weekday()]}",
    "stage": lambda s, d: s.stage,
    "device": lambda s, d: s.device or "unknown",
    "shop": lambda s, d: s.shop,
    "currency": lambda s, d: s.currency,
}


def rates(stories: list[Story], by: str, only: str) -> list[tuple[Any, ...]]:
    found: dict[Any, list[tuple[Story, Decision]]] = defaultdict(list)
    for story, decision in decided(stories, only):
        found[SLICES[by](story, decision), story.currency].append((story, decision))
    expected = []
    for key in sorted(found):
        left = [(s, d) for s, d in found[key] if d.was_left]
        saved = [s for s, d in left if d.bought]
        value, gone = sum(s.value for s, _ in found[key]), sum(s.value for s, _ in left)
        expected.append((
            *key, len(found[key]), len(left), share(len(left), len(found[key])), value, gone,
            round(float(100 * gone / value), 1), len(saved), sum(s.value for s in saved),
        ))  # fmt: skip
    return expected


def funnel(stories: list[Story], only: str) -> list[tuple[Any, ...]]:
    came = [s.reached for s in stories if asked_for(s.began) and only in ("", s.shop) and not s.merged]
    reached = [sum(x >= n for x in came) for n in range(7)]
    return [
        (n, name, reached[n], share(reached[n], len(came)), share(reached[n], reached[max(0, n - 1)]), came.count(n))
        for n, name in enumerate(["cart", *STEPS, "bought"])
    ]


def pairs(stories: list[Story], only: str) -> list[tuple[Any, ...]]:
    carts: dict[str, list[set[str]]] = defaultdict(list)
    for story, decision in decided(stories, only):
        if decision.was_left:
            carts[story.shop].append(set(story.lines))
    found = []
    for shop, held in carts.items():
        for one, other in combinations([f"s{x}" for x in range(6)], 2):
            both, a, b = (sum(want <= x for x in held) for want in ({one, other}, {one}, {other}))
            if both:
                lift = round(both * len(held) / (a * b), 2)
                names = (one, f"Product {one}", other, f"Product {other}")
                found.append((shop, *names, both, share(both, a), share(both, b), lift))
    return sorted(found, key=lambda x: (-x[5], x[0], x[1], x[3]))


def returns(stories: list[Story], only: str) -> list[tuple[Any, ...]]:
    limits = [15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 48 * HOUR, 72 * HOUR, 168 * HOUR]
    words = ["15 minutes", "1 hour", "3 hours", "6 hours", "12 hours", "1 day", "2 days", "3 days", "7 days"]
    left = [d for _, d in decided(stories, only) if d.was_left]
    places: dict[int, list[Decision]] = defaultdict(list)
    for decision in left:
        late = None if decision.back is None else decision.back - decision.at
        places[10 if late is None else sum(late > x for x in limits)].append(decision)
    expected, so_far = [], 0
    for n, name in enumerate([*words, "longer", "not yet"]):
        so_far += len(places[n])
        bought = sum(d.bought for d in places[n])
        so_far_share = share(so_far, len(left)) if n < 10 else None
        expected.append((n + 1, name, len(places[n]), share(len(places[n]), len(left)), so_far_share, bought))
    return expected


def customers(stories: list[Story], only: str) -> list[tuple[Any, ...]]:
    ordered: dict[Any, list[int]] = defaultdict(list)
    for s in stories:
        ordered[s.shop, s.person] += [d.ordered_at for d in s.decisions if d.ordered_at is not None]
    found: dict[Any, list[tuple[Story, Decision]]] = defaultdict(list)
    for s, d in decided(stories, only):
        before = any(at < d.at for at in ordered[s.shop, s.person]) if s.person else False
        shopper = ("returning" if before else "new") if s.person else "unknown"
        found["logged in" if s.customer else "guest", shopper, s.currency].append((s, d))
    expected = []
    for key in sorted(found):
        left = [(s, d) for s, d in found[key] if d.was_left]
        saved = sum(d.bought for _, d in left)
        figures = (len(found[key]), len(left), share(len(left), len(found[key])))
        money = (sum(s.value for s, _ in found[key]), sum(s.value for s, _ in left))
        expected.append((*key, *figures, *money, saved, share(saved, len(left))))
    return expected


def identity(stories: list[Story], only: str) -> list[tuple[Any, ...]]:
    left = [s for s, d in decided(stories, only) if d.was_left]
    counts = Counter((s.shop, "named" if s.customer else "anonymous", s.evidence or "nobody") for s in left)
    late = Counter((s.shop, "named" if s.customer else "anonymous", s.evidence) for s in left if s.late)
    wholes: Counter[Any] = Counter()
    for key, number in counts.items():
        wholes[key[:2]] += number
    expected = [
        (*key, number, share(number, wholes[key[:2]]), late[key], share(late[key], number))
        for key, number in counts.items()
    ]
    return sorted(expected, key=lambda x: (x[0], x[1], -x[3], x[2]))


@pytest.mark.parametrize(("seed", "only"), [(1, ""), (2, "other")])
def test_figures_are_those_of_the_stories(client: ClickHouse, seed: int, only: str) -> None:
    stories = tell(client, seed)
    kinds = {(d.was_left, d.back is None, d.bought) for s in stories for d in s.decisions}
    assert len(kinds) == 4, "the stories must tell the outcomes apart"
    for by in SLICES:
        got = [(*x[:7], float(x[7]), *x[8:]) for x in rows(client, "abandonment-rate", only, by=by)]
        assert got == rates(stories, by, only), by
    assert rows(client, "funnel", only) == funnel(stories, only)
    found = rows(client, "abandoned-pairs", only)
    assert [(*x[:8], float(x[8])) for x in found] == [
        (*x[:8], pytest.approx(x[8], abs=0.0051)) for x in pairs(stories, only)
    ]
    assert rows(client, "time-to-return", only) == returns(stories, only)
    assert rows(client, "customers", only) == customers(stories, only)
    assert rows(client, "identity", only) == identity(stories, only)


def test_the_first_way_is_taken_when_none_is_named_and_top_is_the_number_of_rows(client: ClickHouse) -> None:
    stories = tell(client, 3, carts=20)
    assert [x[0] for x in rows(client, "abandonment-rate", "")] == [x[0] for x in rates(stories, "day", "")]
    assert rows(client, "abandoned-pairs", "", top=2) == rows(client, "abandoned-pairs", "")[:2]


@pytest.mark.parametrize(
    ("name", "choices", "words"),
    [
        ("abandonment-rate", {"by": "stge"}, "did you mean stage"),
        ("abandonment-rate", {"by": "1); DROP TABLE cart_events_log"}, "choose one of day, hour"),
        ("abandonment-rate", {"by": ""}, "choose one of day, hour"),
        ("abandoned-pairs", {"top": 0}, "out of range: 1 to 10000"),
        ("abandoned-pairs", {"top": 10_001}, "out of range"),
        ("abandoned-pairs", {"top": "1 OR 1=1"}, "out of range"),
        ("funnel", {"by": "day"}, "has no --by; it takes nothing but --from, --to and --shop"),
        ("abandoned-pairs", {"by": "day"}, "has no --by; it takes --top"),
    ],
)
def test_choices_there_are_not_are_refused(name: str, choices: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words.replace(")", r"\)").replace("(", r"\(")):
        reports.run(None, name, choices=choices, **DAYS)  # type: ignore[arg-type]


NASTY = "' OR 1=1; DROP TABLE cart_events_log; -- \\' {from:Date32} %27"
SHOPS = [NASTY, "\\", "\\'", "'", "a\tb", "a\nb", "\\N", "%", "NULL", "ä🛒", "{shop:String}"]


@pytest.mark.parametrize("name", reports.names())
def test_a_shop_that_is_an_attack_is_only_a_name(client: ClickHouse, name: str) -> None:
    tell(client, 4, carts=4)
    assert rows(client, name, NASTY) == []
    assert client.query("SELECT count() AS n FROM cart_events")[0]["n"] > 0


def test_a_shop_with_any_name_is_found_by_it_and_no_other(client: ClickHouse) -> None:
    for number, shop in enumerate(SHOPS):
        put(client, "cart-outcomes", outcome(number=number, shop_id=shop))
    for shop in SHOPS:
        [row] = rows(client, "abandonment-rate", shop, by="shop")
        assert row[:4] == (shop, "EUR", 1, 1)
