"""Codes that a shop makes itself, asked for by its callback: what stage 3 wants of `callback`, and what it gets."""

import logging
from decimal import Decimal
from typing import Self

from msgspec import Struct

from cartwake.durations import duration_ms
from cartwake.errors import MailUnavailable, Rejected
from cartwake.rules import Offer
from cartwake.signing import shop_secret
from reminders import callback
from reminders.outcomes import Held, Later
from reminders.person import Gift, Key, Person, Plan

log = logging.getLogger(__name__)


class Wish(Struct, frozen=True):
    """A code for one plan, and where it is asked for. One plan asks for all of its episode."""

    url: str
    valid_ms: int
    text: str
    wanted: callback.Wanted

    @classmethod
    def of(cls, person: Person, key: Key, plan: Plan, offer: Offer) -> Self:
        """What a plan with this offer asks for."""
        cart = person.carts.get(plan.cart_id)
        wanted = callback.Wanted(
            shop_id=key[0],
            plan_id=plan.plan_id,
            abandonment_id=plan.abandonment_id,
            cart_id=plan.cart_id,
            value=Decimal(cart.value) if cart and cart.value else None,
            currency=cart.currency if cart else None,
        )
        return cls(offer.callback or "", duration_ms(offer.valid), offer.text, wanted)


class Offers:
    """Asks shops. `secret` is ours; each shop knows one that follows from it."""

    def __init__(self, secret: str, *, loopback: bool = False) -> None:
        self._secret = secret
        self._loopback = loopback
        self._http = callback.client()

    async def ask(self, wish: Wish, now: int) -> Gift | Held | Later | None:
        """The code; None when the shop makes no offer, `Held` when it can't be asked so, `Later` when not now."""
        try:
            return await callback.ask(
                self._http, wish.url, self._of(wish), wish.wanted, now=now, valid_ms=wish.valid_ms, text=wish.text,
                loopback=self._loopback,
            )  # fmt: skip
        except MailUnavailable as exc:
            return Later(str(exc))
        except Rejected as exc:
            return Held("no_code", str(exc))

    async def give_back(self, wish: Wish, code: str, now: int) -> None:
        """Tell the shop; a shop that does not hear it loses a code and nothing else."""
        try:
            await callback.give_back(
                self._http, wish.url, self._of(wish), wish.wanted, code, now=now, loopback=self._loopback
            )
        except (MailUnavailable, Rejected) as exc:
            log.warning("shop %s was not told that a code is unused: %s", wish.wanted.shop_id, exc)

    def _of(self, wish: Wish) -> str:
        return shop_secret(self._secret, wish.wanted.shop_id, "offers")
