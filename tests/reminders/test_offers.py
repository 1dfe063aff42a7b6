"""Codes of an episode, codes a shop makes itself, products beside a cart, pushes that give way: stage 3 at work."""

from typing import Any

import pytest

from cartwake.model import Consent, Item, OfferCode, PushTarget, Setting
from reminders.offers import Wish
from reminders.outbox import Medium
from reminders.outcomes import Failed, Held, Later, Sent
from reminders.person import Gift, Person
from reminders.push.message import PushRenderer
from tests.reminders.world import DAY, HOUR, LINKS, MINUTE, T0, Server, World, cart, event

URL = "https://shop.example.com/offers"


class Shop:
    """A shop's callback that answers as told and remembers what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.returned: list[str] = []

    async def ask(self, wish: Wish, now: int) -> Gift | Held | Later | None:
        self.asked.append(wish.wanted.plan_id)
        return self.answers.pop(0) if self.answers else Gift(code="S-1", until=now + DAY)

    async def give_back(self, wish: Wish, code: str, now: int) -> None:
        self.returned.append(code)


def asking(shop: Shop, *steps: dict[str, Any], empty: str = "hold") -> World:
    offer = {"callback": URL, "empty": empty, "text": "10 % off"}
    world = World(steps=list(steps) or [{"after": "1h", "offer": offer}])
    world.task._offers = shop  # type: ignore[assignment]
    return world


# -- asked for of the shop -------------------------------------------------------------------------------------
def test_a_code_of_the_shop_is_asked_for_when_the_step_is_due_and_goes_with_the_message() -> None:
    shop = Shop()
    world = asking(shop).hear(cart(consent=True), at=T0).work()
    assert shop.asked == []
    assert world.time(T0 + HOUR).work().said == ["sent"]
    assert world.ends[0].code == "S-1"
    assert shop.asked == [world.ends[0].plan_id]


def test_a_shop_that_does_not_answer_is_asked_again_about_the_same_plan() -> None:
    shop = Shop(Later("the shop's offer callback does not answer"))
    world = asking(shop).hear(cart(consent=True), at=T0).time(T0 + HOUR).work()
    assert world.said == []
    assert world.time(T0 + HOUR + MINUTE).work().said == ["sent"]
    assert len(shop.asked) == 2
    assert len(set(shop.asked)) == 1


@pytest.mark.parametrize("answer", [None, Held("no_code", "the shop's offer callback answered 403")])
def test_without_a_code_the_message_waits_or_goes_without_as_the_shop_wants(answer: Held | None) -> None:
    world = asking(Shop(answer), empty="without").hear(cart(consent=True), at=T0).time(T0 + HOUR).work()
    assert (world.said, world.ends[0].code) == (["sent"], None)
    held = asking(Shop(answer)).hear(cart(consent=True), at=T0).time(T0 + HOUR).work()
    assert (held.said, held.held) == ([], ["no_code"])
    assert held.time(T0 + 2 * HOUR).work().said == ["sent"]


def test_a_code_that_comes_after_the_purchase_is_given_back() -> None:
    shop = Shop()
    world = asking(shop).hear(cart(consent=True), at=T0).time(T0 + HOUR)
    effects = world.commit()
    (ask,) = [e for e in effects if type(e).__name__ == "Ask"]
    for other in effects:
        if other is not ask:
            world.task.on_result(other, None)
    world.hear(event("purchased", T0 + HOUR, order_id="o-1"), at=T0 + HOUR).work()
    world.task.on_result(ask, Gift(code="S-1", until=T0 + DAY))
    assert (world.work().said, shop.returned) == (["recovered:bought"], ["S-1"])


def test_a_code_whose_message_was_refused_is_given_back() -> None:
    shop = Shop()
    world = asking(shop).hear(cart(consent=True), at=T0)
    world.server.answers = [Failed("refused", "554 policy")]
    assert world.time(T0 + HOUR).work().said == ["failed:refused"]
    assert shop.returned == ["S-1"]


# -- one per episode -------------------------------------------------------------------------------------------
def test_later_steps_of_an_episode_have_the_same_code_and_it_is_not_given_back_once_it_left() -> None:
    offer = {"pool": "winter"}
    world = World(steps=[{"offer": offer}, {"after": "1d", "offer": offer}])
    world.hear(OfferCode(pool="winter", code="A-1"), OfferCode(pool="winter", code="A-2"), at=T0)
    world.hear(cart(consent=True), at=T0).work()
    assert world.time(T0 + DAY + MINUTE).work().said == ["sent", "sent"]
    assert [m.code for m in world.ends] == ["A-1", "A-1"]
    other = cart(T0 + 2 * DAY, cart_id="c-2", abandonment_id="ab-2", consent=True, email="bob@example.com")
    assert world.hear(other, at=T0 + 2 * DAY).work().ends[-1].code == "A-2"


def test_a_code_that_left_stays_the_persons_when_a_later_step_is_stopped() -> None:
    offer = {"pool": "winter", "empty": "without"}
    world = World(steps=[{"offer": offer}, {"after": "1d", "offer": offer}])
    world.hear(OfferCode(pool="winter", code="A-1"), cart(consent=True), at=T0).work()
    world.hear(event("purchased", T0 + HOUR), at=T0 + HOUR).work()
    other = cart(T0 + HOUR, cart_id="c-2", abandonment_id="ab-2", consent=True, email="bob@example.com")
    world.hear(other, at=T0 + HOUR).work()
    assert [(m.type.removeprefix("message."), m.code) for m in world.ends] == [
        ("sent", "A-1"), ("recovered", "A-1"), ("sent", None),
    ]  # fmt: skip


# -- products beside the cart ----------------------------------------------------------------------------------
def test_products_bought_with_those_in_the_cart_are_shown_where_the_step_wants_them() -> None:
    belt = Item(sku="B1", name="Leather belt")
    companions = {"products": [{"sku": "B1", "name": "Leather belt"}], "of": {"A1": [0]}}
    for wanted in (True, False):
        world = World(steps=[{"products": wanted}])
        world.shops.apply(Setting(shop_id="main", name="companions", value=companions))
        world.hear(cart(consent=True), at=T0)
        (send,) = [e for e in world.commit() if type(e).__name__ == "Send"]
        assert send.letter.products == ((belt,) if wanted else ())


# -- push ------------------------------------------------------------------------------------------------------
def browser(number: int) -> PushTarget:
    return PushTarget(endpoint=f"https://push.example.com/{number}", p256dh="B" * 87, auth="a" * 22)


def pushing(server: Server, *browsers: PushTarget) -> World:
    world = World(server=server, steps=[{"channel": "push"}])
    world.task._media = {"push": Medium(PushRenderer(links=LINKS), server)}
    consent = Consent(channels=("push",))
    for number, target in enumerate(browsers):
        world.hear(event("consented", T0 - DAY + number, push=target, consent=consent), at=T0)
    return world.hear(cart(), at=T0).work()


def test_when_a_browser_is_gone_the_next_takes_the_message() -> None:
    gone = Failed("gone", "410", bounced=True)
    world = pushing(Server(answers=[gone, Sent("201")]), browser(1), browser(2))
    assert world.said == ["sent"]
    assert [p.push for p in world.table.states.values() if isinstance(p, Person)] == [(browser(1),)]
    last = pushing(Server(answers=[gone]), browser(1))
    assert last.said == ["failed:gone"]


def test_a_push_on_show_gives_way_once_when_the_cart_is_bought() -> None:
    world = pushing(Server(), browser(1))
    assert world.said == ["sent"]
    for _ in range(2):
        world.hear(event("purchased", T0 + HOUR, order_id="o-1"), at=T0 + HOUR)
    thanks = [e.letter for e in world.commit() if type(e).__name__ == "Replace"]
    assert [(letter.channel, letter.to, letter.cart_id) for letter in thanks] == [("push", browser(1).endpoint, "c-1")]


def test_a_push_of_last_week_does_not_give_way_any_more() -> None:
    world = pushing(Server(), browser(1))
    world.hear(event("purchased", T0 + 4 * DAY, order_id="o-1"), at=T0 + 4 * DAY)
    assert not [e for e in world.commit() if type(e).__name__ == "Replace"]


def test_a_channel_that_is_not_set_up_is_said_and_not_guessed() -> None:
    world = World(steps=[{"channel": "sms"}])
    known = event("consented", T0 - DAY, phone="+491701234567", consent=Consent(channels=("sms",)))
    assert world.hear(known, cart(), at=T0).work().said == ["suppressed:no_channel"]
