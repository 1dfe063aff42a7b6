"""What is remembered of one person at one shop, and of an id that stands for a person whose mailbox is not known yet.

A person is a mailbox: the subscriber_id is made of the e-mail address. Facts are folded in (`fold`), decisions are
made on them (`plan`); neither does I/O. Times are epoch milliseconds. States are packed as arrays, without the names
of their fields: a million people with a cart wait in memory.
"""

import re
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from cartwake.model import Channel, Consent, Item, PushTarget
from cartwake.stage import NEVER

#: Lines of a cart that are kept for the mail; `units` and `value` are of the whole cart.
MOST_ITEMS: Final = 20
_PERSON: Final = re.compile(r"p-[0-9a-f]{24}")

#: Ended plans that are remembered.
MOST_DONE: Final = 60

#: Browsers of one person that are remembered.
MOST_PUSH: Final = 5

#: (shop_id, subscriber_id)
Key = tuple[str, str]


class Out(Struct, frozen=True, array_like=True):
    """A record to write once the state that decided it is on the broker."""

    topic: str
    key: str
    value: bytes


class Line(Struct, frozen=True, array_like=True, gc=False):
    """A line of a cart, as `cartwake.model.Item` has it."""

    sku: str
    name: str | None = None
    quantity: int | None = None
    price: Decimal | None = None
    url: str | None = None
    image: str | None = None
    category: str | None = None

    @classmethod
    def of(cls, item: Item) -> "Line":
        """The line of an item."""
        return cls(item.sku, item.name, item.quantity, item.price, item.url, item.image, item.category)

    @property
    def item(self) -> Item:
        """The item of the line."""
        return Item(self.sku, self.name, self.quantity, self.price, self.url, self.image, self.category)


class Cart(Struct, frozen=True, kw_only=True, array_like=True):
    """The last that was heard of a cart. `closed` says why nobody should be reminded of it any more."""

    revision: int
    touched_at: int
    last_activity: int = 0
    abandonment_id: str | None = None
    abandoned_at: int = 0
    planned: bool = False  # whether plans were made for this abandonment
    closed: Literal["bought", "returned", "withdrawn", "unmatched"] | None = None
    order_id: str | None = None
    stage: str | None = None
    currency: str | None = None
    value: str | None = None
    units: int = 0
    lines: tuple[Line, ...] = ()
    cart_url: str | None = None
    logged_in: bool = False


class Stop(Struct, frozen=True, array_like=True):
    """Why a plan ends without a mail."""

    type: str
    reason: str
    words: str


def suppressed(reason: str, words: str) -> Stop:
    """The end of a plan by one of the rules."""
    return Stop("message.suppressed", reason, words)


class Wait(Struct, frozen=True, array_like=True):
    """Why a plan that is due waits, and until when it need not be looked at again."""

    until: int
    reason: str
    words: str


class Gift(Struct, frozen=True, kw_only=True, array_like=True):
    """An offer made to one person alone. `until` is epoch milliseconds; `used`: a message with it may have left."""

    code: str
    until: int
    text: str = ""
    pool: str | None = None
    used: bool = False


class Plan(Struct, frozen=True, kw_only=True, array_like=True):
    """The intent to write about one cart; it is kept until it has ended. `requested_by` marks one made by hand."""

    plan_id: str
    cart_id: str
    made_at: int
    due_at: int
    expires_at: int
    last_activity: int
    abandonment_id: str | None = None
    step: int = 1
    channel: Channel = "email"
    template: str = "cart"
    variant: str | None = None
    gift: Gift | None = None
    request_id: str | None = None
    requested_by: str | None = None
    text: str | None = None
    sending_at: int | None = None  # from here on a message may have left
    tries: int = 0
    held: str | None = None  # the reason last said for its waiting
    asked: bool = False  # for an offer's code, and there is none for this cart

    @property
    def by_hand(self) -> bool:
        """Whether somebody of the shop asked for it."""
        return self.requested_by is not None


class Request(Struct, frozen=True, kw_only=True, array_like=True):
    """Somebody of the shop wants a reminder sent now."""

    event_id: str
    cart_id: str
    requested_by: str
    request_id: str | None = None
    text: str | None = None


class Standing(Struct, frozen=True, kw_only=True, array_like=True):
    """How a person stands to one channel. `written` are the last times something was sent by it."""

    consent: Consent | None = None
    consent_at: int = -1
    consented_at: int = -1  # said yes by himself; only this lifts an unsubscription
    withdrawn_at: int = -1
    bounced: bool = False
    soft: tuple[int, ...] = ()  # days since the epoch on which a mail did not arrive
    soft_ids: tuple[str, ...] = ()  # of the events that said so: a server may report one mail day after day
    written: tuple[int, ...] = ()


NOTHING: Final = Standing()


class Shown(Struct, frozen=True, array_like=True):
    """A push message that may still be on show."""

    cart_id: str
    plan_id: str
    browser: PushTarget
    at: int


class Timer(Struct, array_like=True):
    """The first fields of every packed state: all that is needed to know when to look at it again."""

    kind: str
    wake_at: int


class Waking(Struct, frozen=True, kw_only=True, array_like=True):
    """What every state begins with: when it wants to be looked at again."""

    wake_at: int = NEVER


class Person(Waking, frozen=True, kw_only=True, array_like=True, tag="person"):
    """One mailbox at one shop. Of an erased one nothing is left but `silenced`."""

    seen: dict[str, int] = {}  # offset last folded, by topic
    outbox: tuple[Out, ...] = ()
    email: str | None = None
    name: str | None = None
    locale: str | None = None
    profile_at: int = -1
    phone: str | None = None
    push: tuple[PushTarget, ...] = ()
    time_zone: str | None = None
    groups: tuple[str, ...] = ()
    standing: dict[str, Standing] = {}  # by channel
    silenced: Literal["complained", "erased"] | None = None
    bought_at: int = -1
    first_bought_at: int = -1
    order_id: str | None = None
    aliases: tuple[str, ...] = ()
    carts: dict[str, Cart] = {}
    shown: tuple[Shown, ...] = ()
    requests: tuple[Request, ...] = ()
    plans: tuple[Plan, ...] = ()
    done: tuple[str, ...] = ()  # the plans that ended last: a record that comes twice makes none anew
    notices: tuple[str, ...] = ()  # the order notices that were let through last: none goes twice by mistake

    def on(self, channel: str) -> Standing:
        """How the person stands to a channel."""
        return self.standing.get(channel, NOTHING)

    @property
    def is_sending(self) -> bool:
        """Whether a message may be on its way."""
        return any(plan.sending_at is not None for plan in self.plans)

    def plan(self, plan_id: str) -> Plan | None:
        """The plan of that id, unless it has ended."""
        return next((plan for plan in self.plans if plan.plan_id == plan_id), None)


def with_plan(person: Person, plan: Plan) -> Person:
    """The person with `plan` in the place of the one of its id."""
    return replace(person, plans=tuple(plan if one.plan_id == plan.plan_id else one for one in person.plans))


class Held(Struct, frozen=True, array_like=True):
    """A record that waits until its person's mailbox is known."""

    topic: str
    kind: str
    cart_id: str | None  # None for what is not of a cart
    abandonment_id: str | None
    held_at: int
    value: bytes


class Alias(Waking, frozen=True, kw_only=True, array_like=True, tag="alias"):
    """A shop's own id for somebody: it knows the mailbox, or holds what came until it does."""

    seen: dict[str, int] = {}
    outbox: tuple[Out, ...] = ()
    email: str | None = None
    email_at: int = -1
    others: tuple[str, ...] = ()
    held: tuple[Held, ...] = ()


class Rhythm(Waking, frozen=True, kw_only=True, array_like=True, tag="rhythm"):
    """Orders of a shop on this partition: how many in each hour since the epoch, and the time of the last."""

    hours: dict[int, int] = {}
    last_at: int = -1


class Code(Waking, frozen=True, kw_only=True, array_like=True, tag="code"):
    """A code of a pool; `plan_id` is whose it has become. It stays known for ever, so it is never given twice."""

    plan_id: str | None = None


Subscriber = Person | Alias
State = Subscriber | Rhythm | Code


def is_person(subscriber_id: str) -> bool:
    """Whether the id is that of a mailbox, not a shop's own."""
    return _PERSON.fullmatch(subscriber_id) is not None
