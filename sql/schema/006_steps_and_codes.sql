-- Reminders in steps and by several channels: what `messages` and `subscriber_events` say more than before, and the
-- codes of offers.
--
-- A code is worth money until it is used, and whoever may read here may read all of it. So a code that nobody was given
-- yet is not here, only its fingerprint: half of a SHA-256 of shop and code. It counts codes and knows one again. It hides
-- long random codes, not short ones that can be guessed. The code of an offer that was made stands in the message.
--
-- Codes have no retention: one that was given stays given. `what` is `added` (from offer-codes) or `given` (from the
-- message that may have left with it).
ALTER TABLE {database}.messages_log
    ADD COLUMN IF NOT EXISTS step UInt16 AFTER stage,
    ADD COLUMN IF NOT EXISTS template LowCardinality(String) AFTER step,
    ADD COLUMN IF NOT EXISTS variant LowCardinality(String) AFTER template,
    ADD COLUMN IF NOT EXISTS code String CODEC(ZSTD(1)) AFTER variant,
    ADD COLUMN IF NOT EXISTS url String CODEC(ZSTD(1)) AFTER code,
    ADD COLUMN IF NOT EXISTS machine Bool AFTER url;

ALTER TABLE {database}.subscriber_events_log
    ADD COLUMN IF NOT EXISTS phone String CODEC(ZSTD(1)) AFTER forwarded_from,
    ADD COLUMN IF NOT EXISTS time_zone LowCardinality(String) AFTER phone,
    ADD COLUMN IF NOT EXISTS `groups` Array(String) CODEC(ZSTD(1)) AFTER time_zone,
    ADD COLUMN IF NOT EXISTS channels Array(String) CODEC(ZSTD(1)) AFTER `groups`,
    ADD COLUMN IF NOT EXISTS push String CODEC(ZSTD(1)) AFTER channels,
    ADD COLUMN IF NOT EXISTS push_gone String CODEC(ZSTD(1)) AFTER push,
    ADD COLUMN IF NOT EXISTS message String CODEC(ZSTD(1)) AFTER push_gone;

CREATE TABLE IF NOT EXISTS {database}.offer_codes_log
(
    shop_id LowCardinality(String),
    fingerprint String CODEC(ZSTD(1)),
    what LowCardinality(String),
    pool String CODEC(ZSTD(1)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(seniority)
ORDER BY (shop_id, fingerprint, what, pool)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW {database}.offer_codes
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    pool String COMMENT 'The pool the code was added to',
    fingerprint String COMMENT 'Stands for the code, which is not kept here; one row each',
    added_at DateTime64(3, 'UTC') COMMENT 'When it was first added, UTC',
    given_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When a message with it was first sent, UTC; NULL while it is free'
)
AS SELECT added.shop_id AS shop_id, added.pool AS pool, added.fingerprint AS fingerprint, added.at AS added_at, given.at AS given_at
FROM
(
    SELECT shop_id, pool, fingerprint, min(received_at) AS at
    FROM {database}.offer_codes_log
    WHERE what = 'added'
    GROUP BY shop_id, pool, fingerprint
) AS added
LEFT JOIN
(
    SELECT shop_id, fingerprint, minOrNull(received_at) AS at
    FROM {database}.offer_codes_log
    WHERE what = 'given'
    GROUP BY shop_id, fingerprint
) AS given ON added.shop_id = given.shop_id AND added.fingerprint = given.fingerprint
COMMENT 'Codes of offers by pool, without the codes themselves';

CREATE OR REPLACE VIEW {database}.messages
(
    message_id String COMMENT 'Derived id of the step; shown once',
    type LowCardinality(String) COMMENT 'message.planned, .held, .sending, .sent, .suppressed, .recovered, .expired, .failed, .uncertain, .opened, .clicked, .bounced or .complained',
    plan_id String COMMENT 'The plan to write this one message; all its steps carry it',
    shop_id LowCardinality(String) COMMENT 'The shop; main when the event names none',
    subscriber_id String COMMENT 'The person',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    channel LowCardinality(String) COMMENT 'email, sms or push',
    cart_id String COMMENT 'The cart',
    abandonment_id String COMMENT 'The abandonment it is about, empty when none',
    request_id String COMMENT 'The request of the staff that caused it, empty when none',
    reason LowCardinality(String) COMMENT 'Why it was suppressed, failed or waits',
    words String COMMENT 'The reason as a sentence',
    `to` String COMMENT 'Address or number it went to; of a browser who brings it there',
    subject String COMMENT 'Subject',
    `text` String COMMENT 'Plain text as sent',
    html String COMMENT 'HTML as sent',
    due_at DateTime64(3, 'UTC') COMMENT 'When it is due, or looked at again (held), UTC; 1970 when not said',
    stage LowCardinality(String) COMMENT 'Stage of the cart that chose the text',
    step UInt16 COMMENT 'Step of the shop''s rules, counted from 1; 0 when it is of none',
    template LowCardinality(String) COMMENT 'Template of the text',
    variant LowCardinality(String) COMMENT 'Form of the step; empty when it has one only',
    code String COMMENT 'Code of the offer made to this person; empty when none',
    url String COMMENT 'Where a click led; empty when not said',
    machine Bool COMMENT 'Opened or clicked by a mail scanner or proxy, not by the person',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    message_id, type, plan_id, shop_id, subscriber_id, occurred_at, channel, cart_id, abandonment_id, request_id, reason, words, `to`, subject, `text`, html, due_at, stage, step, template, variant, code, url, machine, raw, kafka_partition, kafka_offset, received_at
FROM {database}.messages_log FINAL
COMMENT 'Every step in the life of every message, each step once';

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
    phone String COMMENT 'Telephone number, as it was said',
    time_zone LowCardinality(String) COMMENT 'Time zone of the person (IANA)',
    `groups` Array(String) COMMENT 'Groups of the shop the person is in; empty for none and for not said',
    channels Array(String) COMMENT 'Channels the event is about: email, sms, push; empty for all and for not said',
    push String COMMENT 'Address at the push service of a browser that takes push messages; its keys are in raw',
    push_gone String COMMENT 'Address of a browser that takes none any more',
    message String COMMENT 'Own words of a reminder that was asked for',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC; the time of arrival when the event says none that can be read',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    event_id, type, shop_id, subscriber_id, customer_id, email, name, locale, consent, reason, order_id, cart_id, request_id, requested_by, forwarded_from, phone, time_zone, `groups`, channels, push, push_gone, message, occurred_at, raw, kafka_partition, kafka_offset, received_at
FROM {database}.subscriber_events_log FINAL
COMMENT 'What people agreed to, bought and refused, each event once';
