"""One day of one shop, as data: who does what, when it happened and when it is heard.

Everything follows from the seed and the end of the day, so two runs tell the same story. A few shoppers are the
cast, each a case that a pipeline can get wrong; the others are the crowd.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from msgspec import to_builtins

from cartwake import topics
from cartwake.clock import rfc3339
from cartwake.model import PushTarget, derived_id, encode, person_id
from cartwake.topics import Topic

SHOP_ID: Final = "demo"
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
CROWD: Final = 260
LEAST_EVENTS: Final = 5_200
STEP: Final = 30 * MINUTE
#: The shop's day, and the hours after it in which second reminders are due.
SPAN: Final = DAY + 12 * HOUR
#: Steps of the demo's shop: mails by the checkout step, late ones with a code; a text message, a push, a second mail.
STEPS: Final[list[dict[str, Any]]] = [
    {"after": "30m", "only": {"stages": ["cart", "contact", "address"]}},
    {
        "after": "30m", "only": {"stages": ["shipping", "payment", "review"]},
        "offer": {"pool": "welcome-back", "text": "10 % off your order", "empty": "without"},
    },
    {"after": "3h", "channel": "sms", "audience": {"who": "subscribers"}},
    {"after": "4h", "channel": "push"},
    {"after": "1d", "only": {"value_from": "30"}},
]  # fmt: skip
#: More than the day needs, and each for one person.
CODES: Final = [f"BACK-{derived_id('demo code', number)[:8].upper()}" for number in range(400)]
SECOND_MAIL: Final = "demo-second-mail"


@dataclass(frozen=True, slots=True)
class Heard:
    """A record in the order in which the shop sends it; `at` is when it is heard (epoch ms)."""

    at: int
    topic: Topic
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Product:
    """What the shop sells."""

    sku: str
    name: str
    price: Decimal
    category: str
    image: str


@dataclass(slots=True)
class Story:
    """Collects what is heard. `start` and `end` bound the day (epoch ms)."""

    start: int
    end: int
    products: Sequence[Product]
    shop_url: str
    random: random.Random
    heard: list[Heard] = field(default_factory=list)
    events: int = 0

    def cart(self, kind: str, cart_id: str, at: int, *, heard_at: int | None = None, **more: Any) -> None:
        """An event of a cart at `at`, heard then or at `heard_at`."""
        body = {"cart_id": cart_id, "currency": "EUR", "cart_url": f"{self.shop_url}?cart={cart_id}", **more}
        self._say(topics.CART_EVENTS, cart_id, kind, at, heard_at, body)

    def add(self, cart_id: str, at: int, product: Product, quantity: int = 1, **more: Any) -> None:
        """Something is put into a cart."""
        item = {
            "sku": product.sku, "name": product.name, "quantity": quantity, "price": str(product.price),
            "image": product.image, "category": product.category, "url": f"{self.shop_url}#{product.sku}",
        }  # fmt: skip
        self.cart("cart.item_added", cart_id, at, items=[item], **more)

    def seen(self, device_id: str, at: int, kind: str = "device.identified", **more: Any) -> None:
        """A device is seen with somebody, or was not that person's."""
        self._say(topics.DEVICE_EVENTS, device_id, kind, at, None, {"device_id": device_id, **more})

    def person(self, kind: str, mailbox: str, at: int, **more: Any) -> None:
        """Something is known of a subscriber."""
        subscriber_id = person_id(mailbox)
        self._say(topics.SUBSCRIBER_EVENTS, subscriber_id, kind, at, None, {"subscriber_id": subscriber_id, **more})

    def order(self, order_id: str, at: int, **more: Any) -> None:
        """An order that had no cart."""
        self._say(topics.ORDER_EVENTS, order_id, "order.placed", at, None, {"order_id": order_id, **more})

    def raw(self, key: str, value: bytes, at: int) -> None:
        """Bytes that some program sends to the cart events."""
        self.heard.append(Heard(at, topics.CART_EVENTS, key, value))
        self.events += 1

    def again(self, share: float) -> None:
        """Send a share of all records a second time, as networks do."""
        for heard in self.random.sample(self.heard, int(len(self.heard) * share)):
            self.heard.append(Heard(heard.at + 5_000, heard.topic, heard.key, heard.value))
            self.events += 1

    def _say(self, topic: Topic, key: str, kind: str, at: int, heard_at: int | None, body: dict[str, Any]) -> None:
        self.events += 1
        head = {
            "event_id": derived_id("demo", self.events),
            "type": kind,
            "shop_id": SHOP_ID,
            "occurred_at": rfc3339(at),
        }
        self.heard.append(Heard(at if heard_at is None else heard_at, topic, key, encode(head | body)))


def tell(
    *, end: int, products: Sequence[Product], shop_url: str, browser: PushTarget | None = None, seed: int = 7
) -> Story:
    """The story of the day and a half before `end` (epoch ms), in the order in which it is heard.

    `browser` is where one of the cast takes push messages.
    """
    story = Story(end - SPAN, end, products, shop_url, random.Random(seed))  # noqa: S311 - a story, no secret
    _cast(story, browser)
    for number in range(CROWD):
        _shopper(story, number)
    _browsing(story)
    story.again(0.02)
    story.heard.sort(key=lambda heard: heard.at)
    return story


# -- the cast: each a case that a pipeline can get wrong ------------------------------------------------------
def _cast(story: Story, browser: PushTarget | None) -> None:
    mug, teapot, plant, candle, notebook, bag, lamp, scarf = story.products
    t = story.start + 8 * HOUR

    # a subscriber who is not logged in: known by his device since he subscribed to the newsletter
    story.seen("device-reader", t - 5 * HOUR, how="subscription", email="reader@example.com", consent=True)
    story.add("cart-reader", t, teapot, device_id="device-reader")
    story.add("cart-reader", t + 2 * MINUTE, mug, 2, device_id="device-reader")

    # he has agreed to text messages and push messages as well, so he hears by each of them what is due by it
    every = {"granted": True, "basis": "newsletter", "channels": ["email", "sms", "push"]}
    more = {"push": to_builtins(browser)} if browser else {}
    story.person(
        "subscriber.consented", "reader@example.com", t - 4 * HOUR, email="reader@example.com", consent=every,
        phone="+40 721 234 567", name="Ana", time_zone="Europe/Bucharest", **more,
    )  # fmt: skip

    # he is written to; two hours later staff ask for a second mail by hand: refused, one a day
    story.person(
        "subscriber.reminder_requested", "reader@example.com", t + 5 * HOUR,
        cart_id="cart-reader", request_id=SECOND_MAIL, requested_by="staff",
    )  # fmt: skip

    # a guest whose address is known only from the checkout field
    story.add("cart-guest", t, lamp, device_id="device-guest")
    story.cart(
        "checkout.step", "cart-guest", t + 3 * MINUTE, step="contact", email="guest@example.com",
        consent=True, device_id="device-guest",
    )  # fmt: skip
    story.cart("checkout.step", "cart-guest", t + 4 * MINUTE, step="shipping", device_id="device-guest")

    # a purchase that stops the reminder just in time: after the abandonment, before the mail
    story.person("subscriber.consented", "quick@example.com", t - HOUR, email="quick@example.com")
    story.add("cart-quick", t, scarf, email="quick@example.com", device_id="device-quick")
    story.cart("order.placed", "cart-quick", t + 2 * HOUR + 20 * MINUTE, order_id="O-1001", total="64.90")

    # one who comes back, and leaves again: two episodes, one mail
    story.seen("device-back", t - HOUR, how="login", email="returning@example.com", consent=True)
    story.add("cart-back", t, plant, device_id="device-back")
    story.cart("cart.viewed", "cart-back", t + 2 * HOUR + 10 * MINUTE, device_id="device-back")

    # a shared device: only the evidence of the cart's own session counts, a cart without one is nobody's
    for name, session in (("first@example.com", "s-first"), ("second@example.com", "s-second")):
        story.seen("device-kitchen", t - 3 * HOUR, how="login", email=name, session_id=session, consent=True)
    story.add("cart-kitchen-1", t, candle, device_id="device-kitchen", session_id="s-second")
    story.add("cart-kitchen-2", t, notebook, device_id="device-kitchen", session_id="s-unknown")

    # late truth: activity that is heard only after the abandonment takes it back
    story.seen("device-late", t - HOUR, how="login", email="late@example.com", consent=True)
    story.add("cart-late", t, bag, device_id="device-late")
    story.cart("cart.viewed", "cart-late", t + HOUR, heard_at=t + 2 * HOUR + 15 * MINUTE, device_id="device-late")
    story.cart("order.placed", "cart-late", t + 2 * HOUR + 50 * MINUTE, order_id="O-1002", total="27.00")

    # an order by phone covers the cart that was left on the web
    story.seen("device-phone", t - HOUR, how="login", email="phone@example.com", consent=True)
    story.add("cart-phone", t, mug, 4, device_id="device-phone")
    story.order("O-1003", t + 2 * HOUR + 12 * MINUTE, email="phone@example.com", total="67.60", currency="EUR")

    # identified only hours after the abandonment: matched then, and written to
    story.add("cart-later", t, teapot, device_id="device-later")
    story.seen("device-later", t + 4 * HOUR, how="login", email="later@example.com", consent=True)

    # a match that was wrong is undone
    story.seen("device-wrong", t - HOUR, how="login", email="wrong@example.com", consent=True)
    story.add("cart-wrong", t, candle, device_id="device-wrong")
    story.seen("device-wrong", t + 2 * HOUR + 5 * MINUTE, "device.unlinked", email="wrong@example.com")

    # no consent, and one who withdrew it
    story.add("cart-silent", t, scarf, email="no-consent@example.com")
    story.person("subscriber.consented", "withdrawn@example.com", t - 2 * HOUR, email="withdrawn@example.com")
    story.person("subscriber.withdrawn", "withdrawn@example.com", t - HOUR)
    story.add("cart-withdrawn", t, plant, email="withdrawn@example.com")

    # a product name that would like to be markup and a header
    hostile = Product(
        "X-1", "<script>alert('x')</script> =?utf-8?q?Mug=0D=0ABcc:_x?=", Decimal("9.90"), "Odd", mug.image
    )
    story.add("cart-odd", t, hostile, email="careful@example.com", consent=True)

    # a poison event
    story.raw("cart-broken", b'{"event_id": "broken", "type": "cart.item_added", "cart_id": "cart-bro', t + HOUR)


# -- the crowd -----------------------------------------------------------------------------------------------
def _shopper(story: Story, number: int) -> None:
    """One of many: some buy, some leave, some are known, some have agreed."""
    draw = story.random
    email, device, cart = f"shopper-{number:03d}@example.com", f"device-{number:03d}", f"cart-{number:03d}"
    at = story.start + HOUR + draw.randrange(DAY - 5 * HOUR)
    known = draw.random()
    if known < 0.45:
        consent = None if draw.random() < 0.2 else {"granted": True, "basis": "newsletter", "text": "v3"}
        story.seen(
            device, at - 30 * MINUTE, how=draw.choice(["login", "subscription", "link"]), email=email, consent=consent
        )
    session = f"session-{number:03d}"
    kind = ("mobile", "desktop", "mobile", "tablet", "mobile", "desktop")[number % 6]
    who: dict[str, Any] = {"device_id": device, "session_id": session, "device_kind": kind}
    for _ in range(draw.randint(1, 4)):
        at += draw.randrange(20_000, 6 * MINUTE)
        story.add(cart, at, draw.choice(story.products), draw.choice([1, 1, 1, 2, 3]), **who)
    if draw.random() < 0.25:
        at += draw.randrange(20_000, 3 * MINUTE)
        story.cart(
            "cart.item_removed", cart, at, items=[{"sku": draw.choice(story.products).sku, "quantity": 1}], **who
        )
    steps = ["contact", "address", "shipping", "payment"]
    reached = draw.choice([0, 0, 0, 1, 2, 3, 4, 4, 4])
    for step in steps[:reached]:
        at += draw.randrange(15_000, 2 * MINUTE)
        guest = step == "contact" and known >= 0.45
        typed: dict[str, Any] = {"email": email, "consent": draw.random() < 0.7} if guest else {}
        story.cart("checkout.step", cart, at, step=step, **who, **typed)
    if reached == 4 and draw.random() < 0.85:
        at += draw.randrange(20_000, 3 * MINUTE)
        story.cart("order.placed", cart, at, order_id=f"O-2{number:03d}", total="0", **who)
    elif draw.random() < 0.12 and at + 7 * HOUR < story.start + DAY:
        at += 5 * HOUR + draw.randrange(HOUR)  # well after the mail, however fast the day passes
        story.cart("cart.viewed", cart, at, **who)
        story.cart("order.placed", cart, at + 4 * MINUTE, order_id=f"O-3{number:03d}", total="0", **who)


def _browsing(story: Story) -> None:
    """Looks at empty and full carts, until the day is as busy as promised."""
    draw = story.random
    number = 0
    while story.events < LEAST_EVENTS:
        cart, device = f"cart-look-{number}", f"device-look-{number}"
        at = story.start + draw.randrange(DAY - HOUR)
        for _ in range(draw.randint(2, 9)):
            story.cart("cart.viewed", cart, at, device_id=device)
            at += draw.randrange(5_000, MINUTE)
        number += 1


def batches(story: Story, step: int = STEP) -> Iterator[tuple[int, list[Heard]]]:
    """What is heard in each `step` of the day, with the end of that step."""
    pending = deque(story.heard)
    for moment in range(story.start + step, story.end + step, step):
        batch = []
        while pending and pending[0].at < moment:
            batch.append(pending.popleft())
        yield min(moment, story.end), batch
