"""What differs between the two worlds of a trial, as figures and as a list. Pure.

A cart counts as written to once, by its first message. Bought is whatever was ordered from that cart, or anything by
the person, after the cart was last used and within the shop's `attribution` after that message. Nobody knows here
whether the message would have been the reason.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from cartwake.clock import DAY_MS, rfc3339, to_ms
from cartwake.durations import duration_ms
from cartwake.lab.tally import Cart, Episode, Person, Plan, Tally
from cartwake.lab.trial import Trial

Side = Literal["only-old", "only-new"]
#: A message that left, or that would have.
_LEFT: Final = ("sent", "uncertain")


@dataclass(frozen=True, slots=True)
class First:
    """The first message about a cart, and when the cart or its person bought after it, if in time."""

    plan: Plan
    episode: Episode
    bought_at: int | None


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a cart in the world that did not write to it."""

    ending: str
    reason: str = ""
    words: str = ""


class World:
    """One side of a trial, by cart."""

    def __init__(self, tally: Tally, attribution: Callable[[str], int]) -> None:
        self.tally = tally
        self.first: dict[Cart, First] = {}
        self._plans: dict[Cart, list[Plan]] = defaultdict(list)
        self._left = {episode.cart for episode in tally.episodes.values()}
        for plan in sorted(tally.plans.values(), key=lambda plan: (plan.at, plan.step, plan.abandonment_id)):
            episode = tally.episodes[plan.abandonment_id]
            self._plans[episode.cart].append(plan)
            if plan.ending in _LEFT and episode.cart not in self.first:
                bought = tally.bought_at(episode, plan.person)
                late = bought is None or bought > plan.at + attribution(episode.cart[0])
                self.first[episode.cart] = First(plan, episode, None if late else bought)
        self.people: set[Person] = {plan.person for plan in tally.plans.values() if plan.ending in _LEFT}

    def fate(self, cart: Cart) -> Fate:
        """Why nobody was written to about this cart."""
        if plans := self._plans.get(cart):
            return Fate(plans[-1].ending, plans[-1].reason, plans[-1].words)
        if cart in self._left:
            return Fate("open", "", "Nobody is known whose it is, or the message is not due yet.")
        return Fate("not_left", "", "The cart does not count as left on these days.")

    def figures(self) -> dict[str, Any]:
        """What there is to say of this side alone."""
        tally = self.tally
        endings = Counter((p.step, p.channel, p.ending) for p in tally.plans.values())
        reasons = Counter((p.channel, p.ending, p.reason) for p in tally.plans.values() if p.ending not in _LEFT)
        steps = [
            {
                "step": step,
                "channel": channel,
                "planned": planned,
                **{ending: n for (s, c, ending), n in sorted(endings.items()) if (s, c) == (step, channel)},
            }
            for (step, channel), planned in sorted(tally.planned.items())
        ]
        lasting = [episode for key, episode in tally.episodes.items() if key not in tally.withdrawn]
        bought_before = [cart for cart in self._left - self.first.keys() if self.fate(cart).ending == "recovered"]
        return {
            "carts_left": len(lasting),
            "value_left": _value(lasting),
            "withdrawn": len(tally.withdrawn),
            "plans": sum(tally.planned.values()),
            "messages": sum(n for (_, _, ending), n in endings.items() if ending in _LEFT),
            "people_written_to": len(self.people),
            "carts_written_to": len(self.first),
            "value_written_to": _value(one.episode for one in self.first.values()),
            "bought_before_message": len(bought_before),
            "bought_after_message": sum(one.bought_at is not None for one in self.first.values()),
            "steps": steps,
            "not_sent": [
                {"channel": channel, "ending": ending, "reason": reason, "plans": n}
                for (channel, ending, reason), n in sorted(reasons.items(), key=lambda x: (-x[1], x[0]))
            ],
        }


class Account:
    """Both sides of a trial, and what is only in one of them."""

    def __init__(self, trial: Trial) -> None:
        def attribution(shop_id: str) -> int:
            return duration_ms(trial.shops.of(shop_id).reminders.attribution)

        self.trial = trial
        self.before, self.after = World(trial.before, attribution), World(trial.after, attribution)

    def figures(self) -> dict[str, Any]:
        """Everything that `--json` says."""
        trial = self.trial
        both = self.before.first.keys() & self.after.first.keys()
        moved = [self.after.first[cart].plan.at - self.before.first[cart].plan.at for cart in both]
        return {
            "from": str(trial.begin),
            "to": str(trial.end),
            "shop": trial.shop,
            "records": trial.records,
            "records_from": rfc3339(to_ms(trial.first)),
            "records_to": rfc3339(to_ms(trial.last)),
            "records_per_second": round(trial.records / trial.seconds) if trial.seconds else 0,
            "changes": [
                {"shop": x.shop, "setting": x.setting, "before": x.before, "after": x.after} for x in trial.changed
            ],
            "before": self.before.figures(),
            "after": self.after.figures(),
            "only_old": self._only(self.before, self.after),
            "only_new": self._only(self.after, self.before),
            "both": {
                "carts": len(both),
                "earlier": sum(by < 0 for by in moved),
                "later": sum(by > 0 for by in moved),
            },
        }

    def listed(self, side: Side, *, show_addresses: bool = False) -> Iterator[dict[str, Any]]:
        """The carts that are written to only by the old, or only by the new rules, in order of their messages."""
        one, other = (self.before, self.after) if side == "only-old" else (self.after, self.before)
        found = [(cart, one.first[cart]) for cart in one.first.keys() - other.first.keys()]
        for cart, first in sorted(found, key=lambda x: (x[1].plan.at, x[0])):
            fate = other.fate(cart)
            yield {
                "shop": cart[0],
                "cart_id": cart[1],
                "subscriber_id": first.plan.person[1],
                "to": first.plan.to if show_addresses else masked(first.plan.to),
                "left_at": rfc3339(first.episode.left_at),
                "value": f"{first.episode.value:f}",
                "currency": first.episode.currency,
                "step": first.plan.step,
                "channel": first.plan.channel,
                "message_at": rfc3339(first.plan.at),
                "bought_at": None if first.bought_at is None else rfc3339(first.bought_at),
                "otherwise": fate.ending,
                "reason": fate.reason,
                "words": fate.words if show_addresses or not first.plan.to else fate.words.replace(first.plan.to, "…"),
            }

    @staticmethod
    def _only(one: World, other: World) -> dict[str, Any]:
        carts = {cart: one.first[cart] for cart in one.first.keys() - other.first.keys()}
        fates = Counter((fate.ending, fate.reason) for fate in map(other.fate, carts))
        bought = [first for first in carts.values() if first.bought_at is not None]
        return {
            "carts": len(carts),
            "people": len(one.people - other.people),
            "value": _value(first.episode for first in carts.values()),
            "bought": len(bought),
            "bought_within_a_day": sum(_waited(first) <= DAY_MS for first in bought),
            "bought_value": _value(first.episode for first in bought),
            "otherwise": [
                {"ending": ending, "reason": reason, "carts": n}
                for (ending, reason), n in sorted(fates.items(), key=lambda x: (-x[1], x[0]))
            ],
        }


def masked(to: str) -> str:
    """An address or number by which only who knows it already recognises it."""
    name, at, host = to.rpartition("@")
    if at:
        return f"{name[:1]}***@{host}"
    return f"{to[:3]}***{to[-2:]}" if to.startswith("+") else to


def _waited(first: First) -> int:
    return (first.bought_at or 0) - first.plan.at


def _value(episodes: Iterable[Episode]) -> Mapping[str, str]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for episode in episodes:
        sums[episode.currency] += episode.value
    return {currency: f"{value:f}" for currency, value in sorted(sums.items())}
