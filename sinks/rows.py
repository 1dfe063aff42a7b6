"""What the console gets to see: rows of the view `abandonments` and what surrounds one of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class CartRow:
    """One abandonment, as the view of that name explains it. Texts are empty when there is nothing to say."""

    abandonment_id: str
    shop_id: str
    cart_id: str
    episode: int
    abandoned_at: datetime
    last_activity: datetime
    created_at: datetime
    stage: str
    currency: str
    value: Decimal
    units: int
    items: str
    cart_url: str
    device_id: str
    customer_id: str
    email: str
    subscriber_id: str
    evidence_how: str
    evidence_words: str
    state: str
    order_id: str
    message_status: str
    message_reason: str
    message_words: str
    message_at: datetime | None
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CartLine:
    """A line of the cart. `price` is None when the shop never said one."""

    sku: str
    name: str
    quantity: int
    price: Decimal | None
    url: str
    image: str
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """Something that happened to a cart, its device, its person or the message about it.

    `source` is the topic: cart-events, device-events, cart-outcomes, subscriber-carts or messages. `words` is a
    sentence for staff; `raw` is the record as it came.
    """

    at: datetime
    source: str
    type: str
    id: str
    words: str
    raw: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One message, with its last status and its text as sent (empty before it was written)."""

    plan_id: str
    shop_id: str
    subscriber_id: str
    channel: str
    cart_id: str
    abandonment_id: str
    request_id: str
    status: str
    reason: str
    words: str
    status_at: datetime
    to: str
    subject: str
    text: str
    html: str
    due_at: datetime | None
    sent_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    bounced_at: datetime | None
    complained_at: datetime | None = None
    machine_opened_at: datetime | None = None
    machine_clicked_at: datetime | None = None
    step: int = 0
    template: str = ""
    variant: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CartDetail:
    """An abandonment with its lines, what happened in order of time, and every message about it, newest first."""

    row: CartRow
    lines: tuple[CartLine, ...]
    timeline: tuple[TimelineEntry, ...]
    mails: tuple[Mail, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows of one page, and the cursor of the next: None on the last."""

    rows: tuple[CartRow, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Abandonments of one shop, state and currency, and what they are worth."""

    shop_id: str
    state: str
    currency: str
    carts: int
    value: Decimal
    identified: int
    written: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAlarm:
    """An alarm about a shop's checkout that is not over; `words` is a sentence for staff."""

    alert_id: str
    shop_id: str
    since: datetime
    opened_at: datetime
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand with a person when a mail by hand is thought of, as far as the store knows.

    `written` mails left lately, the last one at `written_at`, of `cap` a day. `against` is the reason, as stage 3 names
    it, not to write at all; empty when none is known.
    """

    shop_id: str
    subscriber_id: str
    written: int = 0
    written_at: datetime | None = None
    against: str = ""
    cap: int = 1
