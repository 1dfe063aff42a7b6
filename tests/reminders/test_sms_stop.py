"""Text messages in the stage: a STOP by the number finds whom it was written to, and a shop's own words count."""

from typing import Any

from cartwake.model import Setting, SubscriberEvent
from reminders.outbox import Medium
from reminders.outcomes import Sent
from reminders.sms.callbacks import Callbacks
from reminders.sms.render import SmsRenderer
from reminders.subscribers import Reminders
from tests.reminders.texts import NUMBER, SENDER
from tests.reminders.world import DAY, HOUR, LINKS, T0, World, cart, event

CALLBACKS = Callbacks("https://t.shop.example.com", "s")


class Gateway:
    """Takes every message and keeps it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, sms: Any) -> Sent:
        self.sent.append(sms)
        return Sent("201")


def world() -> tuple[World, Gateway]:
    w, g = World(steps=[{"channel": "sms"}], hold_when_orders_stop=False), Gateway()
    media = {"sms": Medium(SmsRenderer(links=LINKS, sender=SENDER), g)}
    w.task = Reminders(w, shops=w.shops, media=media, links=LINKS, number_id=CALLBACKS.number_id)
    w.hear(event("consented", T0 - DAY, channels=("sms",), phone=NUMBER), at=T0 - DAY)
    return w, g


def stop(at: int) -> SubscriberEvent:
    return event(
        "withdrawn", at, email=None, subscriber_id=CALLBACKS.number_id(NUMBER), channels=("sms",), event_id="stop-1"
    )


def test_after_a_stop_by_the_number_the_person_is_not_written_to() -> None:
    w, g = world()
    w.hear(cart(T0), at=T0).time(T0 + 1).work()
    assert len(g.sent) == 1
    w.loop_back().work().loop_back().work()
    w.hear(stop(T0 + HOUR), at=T0 + HOUR).work().loop_back().work()
    w.hear(cart(T0 + 3 * DAY, revision=2, abandonment_id="ab-2"), at=T0 + 3 * DAY).time(T0 + 3 * DAY + 1).work()
    assert len(g.sent) == 1
    assert w.messages[-1].reason == "unsubscribed"


def test_a_stop_that_is_read_before_the_number_is_known_counts_as_well() -> None:
    w, g = world()
    w.hear(stop(T0), at=T0).work().loop_back().work()
    w.hear(cart(T0 + 1), at=T0 + 1).time(T0 + 2).work()
    assert len(g.sent) == 1
    w.loop_back().work().loop_back().work()
    w.hear(cart(T0 + 3 * DAY, revision=2, abandonment_id="ab-2"), at=T0 + 3 * DAY).time(T0 + 3 * DAY + 1).work()
    assert len(g.sent) == 1


def test_a_template_of_the_shops_own_counts_from_when_it_is_set_and_holds_what_it_can_not_say() -> None:
    w, g = world()
    for at, source in ((T0, "Mine: {{ recovery_url }}"), (T0 + 3 * DAY, "{{ gift.code }} {{ recovery_url }}")):
        w.shops.apply(Setting(shop_id="main", name="sms-template:shipping", value={"text": source}))
        w.hear(cart(at, revision=at, abandonment_id=f"ab-{at}"), at=at).time(at + 1).work().loop_back().work()
    assert [sms.text.partition(" ")[0] for sms in g.sent] == ["Mine:"]
    assert g.sent[0].text.endswith("\nReply STOP to opt out")
    assert w.messages[-1].reason == "missing_value"
