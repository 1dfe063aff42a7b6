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

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Protocol, cast

import msgspec
from msgspec.structs import replace

from cartwake import topics
from cartwake.alarms import Alarms
from cartwake.clock import rfc3339, to_ms
from cartwake.companions import beside
from cartwake.errors import InvalidEvent, MailUnavailable
from cartwake.model import (
    OfferCode,
    SubscriberCart,
    SubscriberEvent,
    decode_offer_code,
    decode_subscriber_cart,
    decode_subscriber_event,
)
from cartwake.shops import Shop, Shops
from cartwake.stage import NEVER, Context, Record, Table
from reminders import aliases, notices, plans, rhythm
from reminders.codes import Codes, unused
from reminders.fold import fold, moment
from reminders.letter import Letter, thanks_for
from reminders.links import ERASED, Links
from reminders.numbers import e164
from reminders.offers import Wish
from reminders.outbox import Medium, Outgoing, deliver
from reminders.outcomes import Held, Later, Result
from reminders.person import Alias, Code, Gift, Key, Out, Person, Plan, Rhythm, State, Subscriber, Timer, is_person
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
    at_once: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: the state says `sending`, so the letter may leave."""

    letter: Letter


@dataclass(frozen=True, slots=True)
class Replace:
    """Effect: what the letter reminded of was bought, so the message on show gives way to a thank-you."""

    letter: Letter


@dataclass(frozen=True, slots=True)
class Ask:
    """Effect: the shop is asked for a code for this plan."""

    key: Key
    plan_id: str
    wish: Wish


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Effect: the shop hears that its code has reached nobody."""

    wish: Wish
    code: str


Effect = Publish | Send | Replace | Ask | GiveBack


class Offers(Protocol):
    """Codes that a shop makes itself; `reminders.offers.Offers` asks shops."""

    async def ask(self, wish: Wish, now: int, /) -> Gift | Held | Later | None:
        """The code; None when the shop makes no offer, `Held` when it can't be asked so, `Later` when not now."""
        ...

    async def give_back(self, wish: Wish, code: str, now: int, /) -> None:
        """Tell the shop that its code has reached nobody."""
        ...


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
        offers: Offers | None = None,
        codes: Callable[[Table[Key, Any]], Codes] = Codes,
        alarms: Alarms | None = None,
    ) -> None:
        self._ctx = ctx
        self._shops = shops
        self._media = media
        self._links = links
        self._number_id = number_id
        self._offers = offers
        self._codes = codes(ctx.table)
        self._alarms = alarms or Alarms()
        self._pen = asyncio.Lock()  # one message is written after the other, and between them the loop hears others
        self._silent: set[str] = set()
        self._sending = 0
        self._publishing: set[Key] = set()
        self._cancelled: set[str] = set()
        ctx.table.wake_by(lambda state: state.wake_at, Timer)

    # -- what the runtime calls ----------------------------------------------------------------------------------
    def on_restored(self) -> None:
        """Write what had been decided, hold what was being sent. The table has set the timers."""
        unfinished: list[tuple[Key, Subscriber]] = []
        for key, state in self._ctx.table.items():
            if isinstance(state, Code):
                self._codes.restore(key, state)
            elif isinstance(state, Person | Alias) and (
                state.outbox or (isinstance(state, Person) and state.is_sending)
            ):
                unfinished.append((key, state))
        for key, subscriber in unfinished:
            if isinstance(subscriber, Person) and subscriber.is_sending:
                resend = self._shops.of(key[0]).reminders.uncertain == "resend"
                self._save(key, plans.interrupted(subscriber, key, resend=resend))
                self._ctx.count("uncertain")
            else:
                self._save(key, subscriber)

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
        """Do what is due, as far as messages may be on their way at once."""
        if self._sending < MOST_SENDING:
            for key in self._ctx.table.due(progress):
                self._wake(key, progress)
                if self._sending >= MOST_SENDING:
                    break  # the others stay due: `_settle` comes back to them

    async def perform(self, effect: Effect) -> Result | Gift | None:
        """Send a letter, or ask for what it needs. A `Publish` needs nothing but to come back."""
        match effect:
            case Send(letter):
                return await self._send(letter)
            case Replace(letter):
                await self._replace(letter)
            case Ask(_, _, wish) if self._offers is not None:
                return await self._offers.ask(wish, self._ctx.progress)
            case GiveBack(wish, code) if self._offers is not None:
                await self._offers.give_back(wish, code, self._ctx.progress)
        return None

    async def _send(self, letter: Letter) -> Result:
        medium = self._media.get(letter.channel)
        if medium is None:
            return Held("no_channel", f"Messages by {letter.channel} are not set up here (docs/{letter.channel}.md).")
        try:
            async with self._pen:
                await asyncio.sleep(0)
                message: Outgoing = medium.render(letter, self._shops.of(letter.key[0]))
        except Unfit as exc:
            return Held(exc.reason, str(exc))
        return await deliver(medium.channel, message, cancelled=lambda: self._is_over(letter))

    async def _replace(self, letter: Letter) -> None:
        """Once, and without a second try: what is not replaced is only late."""
        medium = self._media.get(letter.channel)
        if medium is None or medium.replace is None:
            return
        try:
            await medium.channel.send(medium.replace(letter, self._shops.of(letter.key[0])))
        except (Unfit, MailUnavailable) as exc:
            log.info("a push message on show was not replaced: %s", exc)

    def _is_over(self, letter: Letter) -> bool:
        """Whether the reason to write went away, or its time, since the letter was written."""
        return letter.plan_id in self._cancelled or self._ctx.progress >= letter.expires_at

    def on_result(self, effect: Effect, result: Result | Gift | None) -> None:
        """Write what may be written, end the plan that was being sent, or go on with the code that was asked for."""
        match effect:
            case Publish():
                self._publish(effect)
            case Send(letter) if result is not None and not isinstance(result, Gift):
                self._settle(letter, result)
            case Ask():
                self._answered(effect, result)

    def _settle(self, letter: Letter, result: Result) -> None:
        self._sending -= 1
        self._cancelled.discard(letter.plan_id)
        self._ctx.count(type(result).__name__.lower())
        state, now = self._load(letter.key), self._ctx.progress
        if isinstance(state, Person):
            resend = self._shops.of(letter.key[0]).reminders.uncertain == "resend"
            settled = plans.settle(state, letter.key, letter.plan_id, result, now=now, resend=resend, to=letter.to)
            self._save(letter.key, settled, before=state)
        self.on_progress(now)  # others have waited for this

    def _answered(self, ask: Ask, result: Result | Gift | None) -> None:
        key, plan_id = ask.key, ask.plan_id
        state, now, shop = self._load(key), self._ctx.progress, self._shops.of(key[0])
        due = state.plan(plan_id) if isinstance(state, Person) else None
        if not isinstance(state, Person) or due is None:
            if isinstance(result, Gift):  # the plan ended meanwhile
                self._ctx.effect(GiveBack(ask.wish, result.code))
            return
        if due.gift is not None:
            return
        if isinstance(result, Gift):
            person = plans.ready(plans.give(state, due, result, shop), plan_id, now=now)
        elif isinstance(result, Later):
            return  # it asks again in a while
        else:
            words = result.words if isinstance(result, Held) else "The shop has no code for this cart."
            person = plans.no_code(state, key, due, words, now=now, shop=shop)
        self._save(key, person, before=state)
        self.on_progress(now)

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
        if isinstance(heard, SubscriberEvent):
            decided = notices.hear(decided, key, heard, now=now)
        decided, over = plans.bought(decided, now=now)
        for one in over:
            self._ctx.effect(Replace(thanks_for(decided, key, one, now)))
        self._save(key, replace(decided, seen=seen), before=state)

    def _wake(self, key: Key, now: int) -> None:
        state = self._load(key)
        if isinstance(state, Alias):
            self._save(key, aliases.give_up(state, key, now=now))
            return
        shop = self._shops.of(key[0])
        flow, alarm = self._orders_flow(shop, now), self._alarms.pauses(key[0], now)
        woken = plans.wake(state, key, now=now, shop=shop, orders_flow=flow, alarm=alarm)
        while woken.wants is not None:
            woken = self._give(woken.person, key, woken.wants, shop, now)
        person, letter = woken.person, woken.letter
        if letter is not None and letter.channel == "sms" and self._number_id is not None:
            number = e164(letter.to, shop.profile.phone_region)
            person = aliases.answering(person, key, self._number_id(number), letter.plan_id, now=now)
        self._save(key, person, before=state)
        if letter is not None:
            self._sending += 1
            self._ctx.effect(Send(self._with_products(letter, shop)))

    def _with_products(self, letter: Letter, shop: Shop) -> Letter:
        """The letter with what others bought with the cart's products, where its step wants that."""
        if not plans.wants_products(letter, shop):
            return letter
        found = beside(self._shops.companions(shop.shop_id), [item.sku for item in letter.items])
        return replace(letter, products=found)

    def _give(self, person: Person, key: Key, due: Plan, shop: Shop, now: int) -> plans.Woken:
        """A code becomes this plan's: of the offer's pool at once, of the shop when it answers."""
        offer = plans.offer_of(due, shop)
        assert offer is not None, "only a step with an offer asks for a code"
        if offer.callback is not None:
            self._ctx.effect(Ask(key, due.plan_id, Wish.of(person, key, due, offer)))
            person = plans.asking(person, due, now=now)
        elif (gift := self._codes.take(key[0], offer, due.plan_id, now)) is not None:
            person = plans.give(person, due, gift, shop)
        else:
            self._ctx.count("no_code")
            words = "There is no code left for the offer of this step; more can be added with `cartwake offers add`."
            person = plans.no_code(person, key, due, words, now=now, shop=shop)
        return plans.wake(person, key, now=now, shop=shop)

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
    def _take_back(self, key: Key, before: Person, after: Person) -> None:
        """Codes of plans that ended without a message having left go back to where they came from."""
        for plan in unused(before, after):
            assert plan.gift is not None, "it is of them that this asks"
            if plan.gift.pool is not None:
                self._codes.put_back(key[0], plan.gift)
            elif (offer := plans.offer_of(plan, self._shops.of(key[0]))) is not None and offer.callback is not None:
                self._ctx.effect(GiveBack(Wish.of(before, key, plan, offer), plan.gift.code))

    def _load(self, key: Key) -> Subscriber:
        table = self._ctx.table
        known = table.get(key)
        if known is None and is_person(key[1]):
            known = table.get(self._links.tombstone(key)) or Person()
        return cast(Subscriber, known or Alias())

    def _save(self, key: Key, state: Subscriber, *, before: Person | None = None) -> None:
        table = self._ctx.table
        if before is not None and isinstance(state, Person):
            self._take_back(key, before, state)
        if isinstance(state, Person) and state.silenced == "erased" and not state.plans and not state.outbox:
            table.delete(key)
            table.put(self._links.tombstone(key), replace(state, aliases=(), carts={}, wake_at=NEVER))
            return
        wake_at = plans.next_wake(state) if isinstance(state, Person) else aliases.next_give_up(state)
        table.put(key, state if wake_at == state.wake_at else replace(state, wake_at=wake_at), wake_at)
        if state.outbox and key not in self._publishing:
            self._publishing.add(key)
            self._ctx.effect(Publish(key, state.outbox))


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
