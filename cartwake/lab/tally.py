"""What one world said, as far as it is about carts that were left within the window. Pure counting, no rules."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from msgspec import Struct

from cartwake import topics
from cartwake.clock import to_ms
from cartwake.model import CartOutcome, Message, decode_message, decode_outcome, decode_subscriber_event

_ENDED: Final = frozenset(
    "message." + end for end in ("sent", "suppressed", "recovered", "expired", "failed", "uncertain")
)
#: (shop_id, cart_id), (shop_id, subscriber_id)
Cart = tuple[str, str]
Person = tuple[str, str]


class Episode(Struct, frozen=True, gc=False):
    """A cart that was left. Times are epoch milliseconds."""

    cart: Cart
    left_at: int
    last_activity: int
    value: Decimal
    currency: str


class Plan(Struct, frozen=True, gc=False):
    """How the plan of one message ended; `person`'s address is `to` where it is known."""

    abandonment_id: str
    person: Person
    step: int  # 0: asked for by hand
    channel: str
    ending: str
    reason: str
    words: str
    at: int
    to: str


class Tally:
    """Takes in what a world says. `begin` and `end` (epoch ms, exclusive) bound when a cart was left."""

    def __init__(self, begin: int, end: int) -> None:
        self.episodes: dict[str, Episode] = {}  # by abandonment_id
        self.planned: Counter[tuple[int, str]] = Counter()  # by step and channel
        self.plans: dict[str, Plan] = {}  # that have ended, by plan_id
        self.recovered: set[str] = set()  # abandonments that their cart's own order ended
        self.withdrawn: set[str] = set()  # abandonments that late events took back; they may have been written about
        self._carts: dict[Cart, list[int]] = {}  # when they were bought
        self._people: dict[Person, list[int]] = {}
        self._begin, self._end = begin, end

    @property
    def listen(self) -> Mapping[str, Callable[[bytes], None]]:
        """What to call with what is said, by topic."""
        return {
            topics.CART_OUTCOMES.name: lambda value: self._outcome(decode_outcome(value)),
            topics.MESSAGES.name: lambda value: self._message(decode_message(value)),
            topics.SUBSCRIBER_EVENTS.name: self.person,
        }

    def person(self, value: bytes) -> None:
        """A record of `subscriber-events`, whoever said it."""
        if b'"subscriber.purchased"' in value:
            event = decode_subscriber_event(value)
            if event.type == "subscriber.purchased":
                self._people.setdefault((event.shop_id, event.subscriber_id), []).append(event.at)

    def bought_at(self, episode: Episode, person: Person | None) -> int | None:
        """When the cart, or anything else by this person, was first bought after it was last used; None when never."""
        times = [*self._carts.get(episode.cart, ()), *(self._people.get(person, ()) if person else ())]
        return min((at for at in times if at >= episode.last_activity), default=None)

    def _outcome(self, outcome: CartOutcome) -> None:
        cart, abandonment = (outcome.shop_id, outcome.cart_id), outcome.abandonment_id or ""
        match outcome.type:
            case "cart.abandoned":
                left_at = _ms(outcome.abandoned_at or outcome.occurred_at)
                if self._begin <= left_at < self._end:
                    last = _ms(outcome.last_activity or outcome.occurred_at)
                    value, currency = outcome.value or Decimal(0), outcome.currency or ""
                    self.episodes[abandonment] = Episode(cart, left_at, last, value, currency)
            case "cart.withdrawn":
                if abandonment in self.episodes:
                    self.withdrawn.add(abandonment)
            case "cart.completed":
                self._carts.setdefault(cart, []).append(_ms(outcome.occurred_at))
            case "cart.recovered":
                if abandonment in self.episodes:
                    self.recovered.add(abandonment)

    def _message(self, message: Message) -> None:
        if message.abandonment_id not in self.episodes:
            return
        step = message.step or 0
        if message.type == "message.planned":
            self.planned[step, message.channel] += 1
        elif message.type in _ENDED:
            self.plans[message.plan_id] = Plan(
                message.abandonment_id or "",
                (message.shop_id, message.subscriber_id),
                step,
                message.channel,
                message.type.removeprefix("message."),
                message.reason or "",
                message.words or "",
                _ms(message.occurred_at),
                message.to or "",
            )


def _ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))
