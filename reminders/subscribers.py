"""Stage 3 at work on one partition: facts in, decisions out, one message at a time for each person.

in   subscriber-carts, subscriber_id
in   subscriber-events, subscriber_id
in   offer-codes, code: each partition gives away the codes that lie on it
out  messages, subscriber_id
out  subscriber-carts, subscriber-events: what is known under a shop's own id goes on to the person

Every record this stage says lies in the state first and is written once that state is on the broker, so a crash can
neither lose it nor make it say something else. A message is sent once the state says `sending`; a plan found like that
after a crash ends as uncertain.
"""

import heapq
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from cartwake import topics
from cartwake.clock import rfc3339, to_ms
from cartwake.errors import InvalidEvent
from cartwake.model import (
    OfferCode,
    SubscriberCart,
    SubscriberEvent,
    decode_offer_code,
    decode_subscriber_cart,
    decode_subscriber_event,
)
from cartwake.shops import Shop, Shops
from cartwake.stage import Context, Record
from reminders import aliases, plans, rhythm
from reminders.codes import Codes
from reminders.fold import fold, moment
from reminders.gates import step_of
from reminders.letter import Letter
from reminders.links import ERASED, Links
from reminders.numbers import e164
from reminders.outbox import Medium, Outgoing, deliver
from reminders.outcomes import Held, Result
from reminders.person import Alias, Key, Out, Person, Plan, Rhythm, State, Subscriber, is_person
from reminders.reader import Unfit

log = logging.getLogger(__name__)

#: Messages of a partition on their way at once: what a kill leaves uncertain is no more than these.
MOST_SENDING: Final = 32
_CARTS: Final = topics.SUBSCRIBER_CARTS.name
_EVENTS: Final = topics.SUBSCRIBER_EVENTS.name
_CODES: Final = topics.OFFER_CODES.name
_ORDERS: Final = frozenset({"cart.completed", "cart.recovered", "subscriber.purchased"})


@dataclass(frozen=True, slots=True)
class Publish:
    """Effect: the state is on the broker, so what it says may be written."""

    key: Key
    outs: tuple[Out, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: the state says `sending`, so the letter may leave."""

    letter: Letter


class Reminders:
    """The task of stage 3, with a medium for each channel."""

    def __init__(
        self,
        ctx: Context[Key, State],
        *,
        shops: Shops,
        media: Mapping[str, Medium],
        links: Links,
        number_id: Callable[[str], str] | None = None,
    ) -> None:
        self._ctx = ctx
        self._shops = shops
        self._media = media
        self._links = links
        self._number_id = number_id
        self._codes = Codes(ctx.table)
        self._silent: set[str] = set()
        self._sending = 0
        self._timers: list[tuple[int, Key]] = []
        self._next: dict[Key, int] = {}
        self._publishing: set[Key] = set()
        self._cancelled: set[str] = set()

    # -- what the runtime calls ----------------------------------------------------------------------------------
    def on_restored(self) -> None:
        """Set the timers, write what had been decided, hold what was being sent."""
        for key, state in list(self._ctx.table.items()):
            if key[0] == ERASED or not isinstance(state, Person | Alias):
                self._codes.restore(key, state)
                continue
            if isinstance(state, Person) and any(p.sending_at is not None for p in state.plans.values()):
                resend = self._shops.of(key[0]).reminders.uncertain == "resend"
                state = plans.interrupted(state, key, resend=resend)  # noqa: PLW2901 - the state from here on
                self._ctx.count("uncertain")
            self._save(key, state)

    def on_batch(self, records: Sequence[Record], progress: int) -> None:
        """Take facts in and decide; what is due waits for the end of the batch, in which a purchase may lie."""
        for record in records:
            try:
                heard = _decode(self._ctx.topic, record)
                if isinstance(heard, OfferCode):
                    if not self._ctx.misplaced(record, heard.code):
                        self._codes.add(heard)
                elif not self._ctx.misplaced(record, heard.subscriber_id):
                    self._hear(record, heard, progress)
            except InvalidEvent as exc:
                self._ctx.dead_letter(record, str(exc))
        self.on_progress(progress)

    def on_progress(self, progress: int) -> None:
        """Do what is due."""
        while self._timers and self._timers[0][0] <= progress and self._sending < MOST_SENDING:
            at, key = heapq.heappop(self._timers)
            if self._next.get(key) == at:
                del self._next[key]
                self._wake(key, progress)

    async def perform(self, effect: Publish | Send) -> Result | None:
        """Send a letter. A `Publish` needs nothing but to come back."""
        if isinstance(effect, Publish):
            return None
        letter = effect.letter
        medium = self._media[letter.channel]
        try:
            message: Outgoing = medium.render(letter, self._shops.of(letter.key[0]))
        except Unfit as exc:
            return Held(exc.reason, str(exc))
        return await deliver(medium.channel, message, cancelled=lambda: self._is_over(letter))

    def _is_over(self, letter: Letter) -> bool:
        """Whether the reason to write went away, or its time, since the letter was written."""
        return letter.plan_id in self._cancelled or self._ctx.progress >= letter.expires_at

    def on_result(self, effect: Publish | Send, result: Result | None) -> None:
        """Write what may be written, or end the plan that was being sent."""
        if isinstance(effect, Publish):
            self._publish(effect)
        elif result is not None:
            letter = effect.letter
            self._sending -= 1
            self._cancelled.discard(letter.plan_id)
            self._ctx.count(type(result).__name__.lower())
            state = self._load(letter.key)
            if isinstance(state, Person):
                now, rules = self._ctx.progress, self._shops.of(letter.key[0]).reminders
                resend = rules.uncertain == "resend"
                settled = plans.settle(state, letter.key, letter.plan_id, result, now=now, resend=resend)
                self._save(letter.key, settled, before=state)
                self.on_progress(now)  # others of the same person have waited for this

    # -- one record, one moment ----------------------------------------------------------------------------------
    def _hear(self, record: Record, heard: SubscriberCart | SubscriberEvent, now: int) -> None:
        key = (heard.shop_id, heard.subscriber_id)
        state = self._load(key)
        topic = _CARTS if isinstance(heard, SubscriberCart) else _EVENTS
        if record.offset <= state.seen.get(topic, -1):
            return  # folded before a crash, read again after it
        seen = state.seen | {topic: record.offset}
        if isinstance(state, Alias):
            self._save(key, replace(aliases.hear(state, key, heard, now=now), seen=seen))
            return
        if heard.type in _ORDERS:
            self._ordered(heard)
        known = aliases.teach(state, fold(state, heard), key, heard)
        decided = plans.decide(known, key, now=max(now, _left_at(heard)), shop=self._shops.of(key[0]))
        self._cancelled.update(plans.cancelled(decided))
        self._save(key, replace(decided, seen=seen), before=state)

    def _wake(self, key: Key, now: int) -> None:
        state = self._load(key)
        if isinstance(state, Alias):
            self._save(key, aliases.give_up(state, key, now=now))
            return
        shop = self._shops.of(key[0])
        woken = plans.wake(state, key, now=now, shop=shop, orders_flow=self._orders_flow(shop, now))
        while woken.wants is not None:
            woken = self._give(woken.person, key, woken.wants, shop, now)
        person, letter = woken.person, woken.letter
        if letter is not None and letter.channel == "sms" and self._number_id is not None:
            number = e164(letter.to, shop.profile.phone_region)
            person = aliases.answering(person, key, self._number_id(number), letter.plan_id, now=now)
        self._save(key, person, before=state)
        if woken.letter is not None:
            self._sending += 1
            self._ctx.effect(Send(woken.letter))

    def _give(self, person: Person, key: Key, due: Plan, shop: Shop, now: int) -> plans.Woken:
        """A code of the offer's pool becomes this plan's; without one the shop's rule says what happens."""
        step = step_of(due, shop)
        offer = step.offer if step else None
        assert offer is not None, "only a step with an offer asks for a code"
        gift = self._codes.take(key[0], offer, due.plan_id, now) if offer.pool else None
        if gift is not None:
            person, due = plans.give(person, due, gift)
        elif offer.empty == "hold":
            self._ctx.count("held_no_code")
            return plans.wake(plans.without_code(person, key, due, now=now), key, now=now, shop=shop)
        return plans.send(person, key, due, now=now)

    # -- orders of a shop ------------------------------------------------------------------------------------------
    def _ordered(self, heard: SubscriberCart | SubscriberEvent) -> None:
        key = _rhythm_key(heard.shop_id)
        at = heard.at if isinstance(heard, SubscriberEvent) else moment(heard.outcome.occurred_at, "occurred_at")
        known = self._ctx.table.get(key)
        self._ctx.table.put(key, rhythm.heard(known if isinstance(known, Rhythm) else Rhythm(), at))

    def _orders_flow(self, shop: Shop, now: int) -> bool:
        if not shop.reminders.hold_when_orders_stop:
            return True
        known = self._ctx.table.get(_rhythm_key(shop.shop_id))
        if not isinstance(known, Rhythm) or rhythm.flows(known, now):
            self._silent.discard(shop.shop_id)
            return True
        if shop.shop_id not in self._silent:
            self._silent.add(shop.shop_id)
            self._ctx.count("orders_silent")
            log.warning("no orders of shop %s since %s: sends are held", shop.shop_id, rfc3339(known.last_at))
        return False

    def _publish(self, effect: Publish) -> None:
        for out in effect.outs:
            self._ctx.emit(out.topic, out.key, out.value)
        self._publishing.discard(effect.key)
        state = self._load(effect.key)
        self._save(effect.key, replace(state, outbox=state.outbox[len(effect.outs) :]))

    # -- state ---------------------------------------------------------------------------------------------------
    def _load(self, key: Key) -> Subscriber:
        table = self._ctx.table
        known = table.get(key)
        if known is None and is_person(key[1]):
            known = table.get(self._links.tombstone(key)) or Person()
        return cast(Subscriber, known or Alias())

    def _save(self, key: Key, state: Subscriber, *, before: Person | None = None) -> None:
        table = self._ctx.table
        if before is not None and isinstance(state, Person):
            self._codes.take_back(key[0], before, state)
        if isinstance(state, Person) and state.silenced == "erased" and not state.plans and not state.outbox:
            table.delete(key)
            table.put(self._links.tombstone(key), replace(state, aliases=(), carts={}))
        elif table.get(key) is not state:
            table.put(key, state)
        if state.outbox and key not in self._publishing:
            self._publishing.add(key)
            self._ctx.effect(Publish(key, state.outbox))
        at = plans.next_wake(state) if isinstance(state, Person) else aliases.next_give_up(state)
        if at is not None and self._next.get(key) != at:
            self._next[key] = at
            heapq.heappush(self._timers, (at, key))


def _left_at(heard: SubscriberCart | SubscriberEvent) -> int:
    """The deadline of an abandonment, before which no plan for it can be made, whatever progress says; else 0."""
    if not isinstance(heard, SubscriberCart) or heard.type != "cart.abandoned":
        return 0
    try:
        return to_ms(datetime.fromisoformat(heard.outcome.abandoned_at or heard.occurred_at))
    except (ValueError, OverflowError, TypeError) as exc:
        raise InvalidEvent(f"abandoned_at: {exc}") from exc


def _rhythm_key(shop_id: str) -> Key:
    return ERASED, f"orders/{shop_id}"


def _decode(topic: str, record: Record) -> SubscriberCart | SubscriberEvent | OfferCode:
    """The record's content; raises InvalidEvent."""
    if topic == _EVENTS:
        return decode_subscriber_event(record.value)
    try:
        return (decode_offer_code if topic == _CODES else decode_subscriber_cart)(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, ArithmeticError) as exc:
        raise InvalidEvent(str(exc)[:500]) from exc
