-- The public names of the nine topics: the tables of the same name with `_log`, each id once, every column explained.
--
-- FINAL collapses repeats at the moment of reading, so a figure is right while the engine has not merged them yet.

CREATE OR REPLACE VIEW {database}.cart_events
(
    event_id String COMMENT 'The sender''s id of the event; shown once however often it arrived',
    type LowCardinality(String) COMMENT 'cart.updated, cart.item_added, cart.item_removed, cart.cleared, cart.viewed, cart.merged, checkout.step, order.placed or wishlist.updated',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    cart_id String COMMENT 'The cart',
    session_id String COMMENT 'The visit, empty when not said',
    device_id String COMMENT 'The browser or app, empty when not said',
    customer_id String COMMENT 'The shop''s own id of the customer, empty when not said',
    email String COMMENT 'The address in the event, empty when not said',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    currency LowCardinality(String) COMMENT 'ISO 4217',
    items Array(Tuple(sku String, name String, quantity UInt64, price Nullable(Decimal(38, 6)), category String)) COMMENT 'The lines the event speaks of; quantity 0 and price NULL mean not said',
    cart_url String COMMENT 'Where the shopper finds the cart again',
    step LowCardinality(String) COMMENT 'Checkout step: contact, address, shipping, payment or review',
    order_id String COMMENT 'The order, empty when there is none',
    total Nullable(Decimal(38, 6)) COMMENT 'What the order came to',
    into_cart_id String COMMENT 'The cart this one went into (cart.merged)',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    event_id, type, shop_id, cart_id, session_id, device_id, customer_id, email, occurred_at, currency, items, cart_url, step, order_id, total, into_cart_id, raw, kafka_partition, kafka_offset, received_at
FROM {database}.cart_events_log FINAL
COMMENT 'Everything that happened to carts, each event once';

CREATE OR REPLACE VIEW {database}.device_events
(
    event_id String COMMENT 'The sender''s id of the event; shown once however often it arrived',
    type LowCardinality(String) COMMENT 'device.identified or device.unlinked',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    device_id String COMMENT 'The browser or app, empty when not said',
    session_id String COMMENT 'The visit, empty when not said',
    subscriber_id String COMMENT 'The person',
    customer_id String COMMENT 'The shop''s own id of the customer, empty when not said',
    email String COMMENT 'The address in the event, empty when not said',
    how LowCardinality(String) COMMENT 'login, checkout, subscription, link or push',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    event_id, type, shop_id, device_id, session_id, subscriber_id, customer_id, email, how, occurred_at, raw, kafka_partition, kafka_offset, received_at
FROM {database}.device_events_log FINAL
COMMENT 'When devices were seen with people, each event once';

CREATE OR REPLACE VIEW {database}.order_events
(
    event_id String COMMENT 'The sender''s id of the event; shown once however often it arrived',
    type LowCardinality(String) COMMENT 'order.placed, order.paid, order.shipped, order.cancelled, order.refunded, order.message, order.note or order.reply',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    order_id String COMMENT 'The order, empty when there is none',
    cart_id String COMMENT 'The cart',
    customer_id String COMMENT 'The shop''s own id of the customer, empty when not said',
    subscriber_id String COMMENT 'The person',
    email String COMMENT 'The address in the event, empty when not said',
    currency LowCardinality(String) COMMENT 'ISO 4217',
    total Nullable(Decimal(38, 6)) COMMENT 'What the order came to',
    `text` String COMMENT 'Text of a message, note or reply',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    event_id, type, shop_id, order_id, cart_id, customer_id, subscriber_id, email, currency, total, `text`, occurred_at, raw, kafka_partition, kafka_offset, received_at
FROM {database}.order_events_log FINAL
COMMENT 'The life of orders, each event once';

CREATE OR REPLACE VIEW {database}.subscriber_events
(
    event_id String COMMENT 'The sender''s id of the event; shown once however often it arrived',
    type LowCardinality(String) COMMENT 'subscriber.consented, subscriber.withdrawn, subscriber.purchased, subscriber.bounced, subscriber.complained, subscriber.erased and others',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    subscriber_id String COMMENT 'The person',
    customer_id String COMMENT 'The shop''s own id of the customer, empty when not said',
    email String COMMENT 'The address in the event, empty when not said',
    name String COMMENT 'Name of the person',
    locale LowCardinality(String) COMMENT 'Language of the person',
    consent String COMMENT 'The consent as JSON, empty when the event says none',
    reason String COMMENT 'Why, in the sender''s words',
    order_id String COMMENT 'The order, empty when there is none',
    cart_id String COMMENT 'The cart',
    request_id String COMMENT 'The request this answers',
    requested_by String COMMENT 'Who asked for it',
    forwarded_from String COMMENT 'The other id of the person this came under',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    event_id, type, shop_id, subscriber_id, customer_id, email, name, locale, consent, reason, order_id, cart_id, request_id, requested_by, forwarded_from, occurred_at, raw, kafka_partition, kafka_offset, received_at
FROM {database}.subscriber_events_log FINAL
COMMENT 'What people agreed to, bought and refused, each event once';

CREATE OR REPLACE VIEW {database}.cart_outcomes
(
    outcome_id String COMMENT 'Derived id of the outcome; shown once',
    type LowCardinality(String) COMMENT 'cart.abandoned, cart.reactivated, cart.withdrawn, cart.completed or cart.recovered',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    cart_id String COMMENT 'The cart',
    revision UInt64 COMMENT 'Grows with every outcome of a cart',
    episode UInt32 COMMENT 'Which abandonment of the cart this is',
    abandonment_id String COMMENT 'The abandonment, the same in every outcome about it; empty when there is none',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    abandoned_at DateTime64(3, 'UTC') COMMENT 'The deadline at which the cart counted as left, UTC; 1970 when not said',
    last_activity DateTime64(3, 'UTC') COMMENT 'The shopper''s last action, UTC; 1970 when not said',
    created_at DateTime64(3, 'UTC') COMMENT 'The cart''s first event, UTC; 1970 when not said',
    reason LowCardinality(String) COMMENT 'late_activity or late_order (withdrawn)',
    stage LowCardinality(String) COMMENT 'Checkout step reached last, or cart',
    currency LowCardinality(String) COMMENT 'ISO 4217',
    value Decimal(38, 6) COMMENT 'Sum of quantity times price',
    units UInt32 COMMENT 'Sum of quantities',
    items String COMMENT 'The lines of the cart, a JSON array',
    cart_url String COMMENT 'Where the shopper finds the cart again',
    order_id String COMMENT 'The order, empty when there is none',
    device_id String COMMENT 'The browser or app, empty when not said',
    session_id String COMMENT 'The visit, empty when not said',
    customer_id String COMMENT 'The shop''s own id of the customer, empty when not said',
    email String COMMENT 'The address in the event, empty when not said',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    outcome_id, type, shop_id, cart_id, revision, episode, abandonment_id, occurred_at, abandoned_at, last_activity, created_at, reason, stage, currency, value, units, items, cart_url, order_id, device_id, session_id, customer_id, email, raw, kafka_partition, kafka_offset, received_at
FROM {database}.cart_outcomes_log FINAL
COMMENT 'What became of carts, each outcome once';

CREATE OR REPLACE VIEW {database}.subscriber_carts
(
    record_id String COMMENT 'Derived id of the record; shown once',
    type LowCardinality(String) COMMENT 'That of the outcome, or cart.unmatched: not this person''s after all',
    subscriber_id String COMMENT 'The person',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    cart_id String COMMENT 'The cart',
    revision UInt64 COMMENT 'Revision of the outcome',
    episode UInt32 COMMENT 'Which abandonment of the cart this is',
    abandonment_id String COMMENT 'The abandonment, empty when there is none',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    evidence_how LowCardinality(String) COMMENT 'How the person is known: login, checkout, subscription, link, push, customer, email',
    evidence_words String COMMENT 'The evidence as a sentence',
    evidence_seen_at DateTime64(3, 'UTC') COMMENT 'When the evidence was seen, UTC; 1970 when not said',
    evidence_device_id String COMMENT 'The device it was seen on',
    evidence_event_id String COMMENT 'The event that showed it',
    customer_id String COMMENT 'The shop''s own id of the customer, empty when not said',
    email String COMMENT 'The address in the event, empty when not said',
    forwarded_from String COMMENT 'The other id of the person this came under',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    record_id, type, subscriber_id, shop_id, cart_id, revision, episode, abandonment_id, occurred_at, evidence_how, evidence_words, evidence_seen_at, evidence_device_id, evidence_event_id, customer_id, email, forwarded_from, raw, kafka_partition, kafka_offset, received_at
FROM {database}.subscriber_carts_log FINAL
COMMENT 'Outcomes with the person they belong to, each record once';

CREATE OR REPLACE VIEW {database}.messages
(
    message_id String COMMENT 'Derived id of the step; shown once',
    type LowCardinality(String) COMMENT 'message.planned, .sending, .sent, .suppressed, .recovered, .expired, .failed, .uncertain, .opened, .clicked or .bounced',
    plan_id String COMMENT 'The plan to write this one message; all its steps carry it',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    subscriber_id String COMMENT 'The person',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    channel LowCardinality(String) COMMENT 'email, sms or push',
    cart_id String COMMENT 'The cart',
    abandonment_id String COMMENT 'The abandonment it is about, empty when none',
    request_id String COMMENT 'The request of the staff that caused it, empty when none',
    reason LowCardinality(String) COMMENT 'Why it was suppressed or failed',
    words String COMMENT 'The reason as a sentence',
    `to` String COMMENT 'Address it went to',
    subject String COMMENT 'Subject',
    `text` String COMMENT 'Plain text as sent',
    html String COMMENT 'HTML as sent',
    due_at DateTime64(3, 'UTC') COMMENT 'When it was due, UTC; 1970 when not said',
    stage LowCardinality(String) COMMENT 'Stage of the cart that chose the text',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    message_id, type, plan_id, shop_id, subscriber_id, occurred_at, channel, cart_id, abandonment_id, request_id, reason, words, `to`, subject, `text`, html, due_at, stage, raw, kafka_partition, kafka_offset, received_at
FROM {database}.messages_log FINAL
COMMENT 'Every step in the life of every message, each step once';

CREATE OR REPLACE VIEW {database}.settings
(
    key String COMMENT 'shop_id/name',
    shop_id LowCardinality(String) COMMENT 'The shop',
    name String COMMENT 'Name of the setting',
    value String COMMENT 'Its newest value, JSON; empty when deleted',
    deleted Bool COMMENT 'Whether the newest word on it was a deletion',
    raw String COMMENT 'The record as it came',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT key, shop_id, name, value, deleted, raw, kafka_partition, kafka_offset, received_at
FROM {database}.settings_log
ORDER BY received_at DESC, kafka_offset DESC
LIMIT 1 BY key
COMMENT 'Settings as they are now, deleted ones included';

CREATE OR REPLACE VIEW {database}.dead_letters
(
    topic LowCardinality(String) COMMENT 'Topic the record was read from, without the prefix',
    source_partition UInt16 COMMENT 'Its partition there',
    source_offset UInt64 COMMENT 'Its offset there',
    stage LowCardinality(String) COMMENT 'Who could not use it',
    reason String COMMENT 'Why',
    key String COMMENT 'Its key, as bytes',
    value String COMMENT 'Its value, as bytes',
    kafka_partition UInt16 COMMENT 'Partition of dead-letters',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'When it was put aside, UTC'
)
AS SELECT topic, source_partition, source_offset, stage, reason, key, value, kafka_partition, kafka_offset, received_at
FROM {database}.dead_letters_log FINAL
COMMENT 'Records nobody could use, each once';
