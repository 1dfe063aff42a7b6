-- What arrived, minute by minute: how the pipeline does is read here, without reading what came.
--
-- `cart_events_log` is sorted by cart, so whoever asks for its last day reads weeks. `arrivals_log` is sorted by time and has
-- a row for each topic, minute, shop and lag.
--
-- * A lag is rounded up to two digits: 123 ms count as 130, 7.21 s as 7.3. So a minute has few rows, percentiles are those of
--   the records rounded up (at most 10 % more, never less), and a limit of two digits, such as two hours, is met exactly.
--   Sketches of quantiles (DDSketch, t-digest) take hundreds of bytes a minute and shop, give no exact shares, and are read by
--   functions of their own; a number of records is a number.
-- * A record counts when it is inserted, as often as it arrived: an event that a shop sent twice is two records. What the sink
--   repeats after a crash has the same token of deduplication and is dropped here as it is there; the window is larger
--   than that of a topic, for all topics share it. A batch counts twice, or a part of it, when its repetition is another one:
--   when a row of it is refused by something behind these views (the halves have other tokens), when compaction took
--   a record away in between, or when it comes after 50,000 other inserts. That is rare, and these are figures of
--   thousands of records; to know each record again would take more room than all of this.
-- * What is there already is counted below, as `before`: of two such counts the larger one holds, so this may run twice. A topic
--   is counted only while it has no view yet that counts what comes, and the last day once more just before it gets one. So
--   nothing counts twice. Nothing is left out when the roles are stopped, as an upgrade says; of a sink that goes on writing,
--   what it inserts in the seconds between is. Repeats that merges have taken away count no more.
CREATE TABLE IF NOT EXISTS {database}.arrivals_log
(
    topic LowCardinality(String),
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    shop_id LowCardinality(String) CODEC(ZSTD(1)),
    measured Bool CODEC(ZSTD(1)),
    lag_ms Int64 CODEC(Delta, ZSTD(1)),
    records SimpleAggregateFunction(sum, UInt64) CODEC(T64, ZSTD(1)),
    before SimpleAggregateFunction(max, UInt64) CODEC(T64, ZSTD(1)),
    newest_s SimpleAggregateFunction(max, UInt8) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(minute)
ORDER BY (topic, minute, shop_id, measured, lag_ms)
TTL minute + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 50000, ttl_only_drop_parts = 1;

-- Each topic's view says here what counts as its lag, and one view counts. It keeps nothing.
CREATE TABLE IF NOT EXISTS {database}.arriving_log
(
    topic LowCardinality(String),
    shop_id LowCardinality(String),
    received_at DateTime64(3, 'UTC'),
    lag Nullable(Int64)
)
ENGINE = Null;

-- The same of what is there, for as long as this file runs.
CREATE OR REPLACE VIEW {database}.arrived_log
AS SELECT
    topic,
    toStartOfMinute(received_at) AS minute,
    shop_id,
    lag IS NOT NULL AS measured,
    toInt64(ceil(ifNull(lag, 0) / exp10(greatest(floor(log10(abs(ifNull(lag, 0)))) - 1, 0) AS digits)) * exp10(digits)) AS lag_ms,
    received_at
FROM
(
    SELECT 'cart-events' AS topic, shop_id, received_at, dateDiff('millisecond', occurred_at, received_at) AS lag
    FROM {database}.cart_events_log
    UNION ALL
    SELECT 'device-events', shop_id, received_at, dateDiff('millisecond', occurred_at, received_at) FROM {database}.device_events_log
    UNION ALL
    SELECT 'order-events', shop_id, received_at, dateDiff('millisecond', occurred_at, received_at) FROM {database}.order_events_log
    UNION ALL
    SELECT 'subscriber-events', shop_id, received_at,
        if(type = 'subscriber.purchased' OR forwarded_from != '', NULL, dateDiff('millisecond', occurred_at, received_at))
    FROM {database}.subscriber_events_log
    UNION ALL
    SELECT 'cart-outcomes', shop_id, received_at,
        if(type = 'cart.abandoned', dateDiff('millisecond', abandoned_at, received_at), NULL)
    FROM {database}.cart_outcomes_log
    UNION ALL
    SELECT 'subscriber-carts', shop_id, received_at, NULL FROM {database}.subscriber_carts_log
    UNION ALL
    SELECT 'messages', shop_id, received_at, NULL FROM {database}.messages_log
    UNION ALL
    SELECT 'offer-codes', shop_id, received_at, NULL FROM {database}.offer_codes_log WHERE what = 'added'
    UNION ALL
    SELECT 'alerts', shop_id, received_at, NULL FROM {database}.alerts_log
    UNION ALL
    SELECT 'settings', shop_id, received_at, NULL FROM {database}.settings_log
    UNION ALL
    SELECT 'dead-letters', '', received_at, NULL FROM {database}.dead_letters_log
)
WHERE concat('arrivals_of_', replaceAll(topic, '-', '_'), '_log') NOT IN
(
    SELECT name FROM system.tables WHERE database = '{database}'
);

INSERT INTO {database}.arrivals_log (topic, minute, shop_id, measured, lag_ms, before, newest_s)
SELECT topic, minute, shop_id, measured, lag_ms, count(), toSecond(max(received_at))
FROM {database}.arrived_log
GROUP BY topic, minute, shop_id, measured, lag_ms
SETTINGS max_partitions_per_insert_block = 0, max_bytes_before_external_group_by = 500000000;

INSERT INTO {database}.arrivals_log (topic, minute, shop_id, measured, lag_ms, before, newest_s)
SELECT topic, minute, shop_id, measured, lag_ms, count(), toSecond(max(received_at))
FROM {database}.arrived_log
WHERE received_at >= toStartOfMinute(now() - INTERVAL 1 DAY)
GROUP BY topic, minute, shop_id, measured, lag_ms
SETTINGS max_partitions_per_insert_block = 0, max_bytes_before_external_group_by = 500000000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_arriving_log TO {database}.arrivals_log
AS SELECT
    topic,
    toStartOfMinute(received_at) AS minute,
    shop_id,
    lag IS NOT NULL AS measured,
    toInt64(ceil(ifNull(lag, 0) / exp10(greatest(floor(log10(abs(ifNull(lag, 0)))) - 1, 0) AS digits)) * exp10(digits)) AS lag_ms,
    count() AS records,
    toSecond(max(a.received_at)) AS newest_s
FROM {database}.arriving_log AS a
GROUP BY topic, minute, shop_id, measured, lag_ms;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_cart_events_log TO {database}.arriving_log
AS SELECT 'cart-events' AS topic, shop_id, received_at, dateDiff('millisecond', occurred_at, received_at) AS lag
FROM {database}.cart_events_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_device_events_log TO {database}.arriving_log
AS SELECT 'device-events' AS topic, shop_id, received_at, dateDiff('millisecond', occurred_at, received_at) AS lag
FROM {database}.device_events_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_order_events_log TO {database}.arriving_log
AS SELECT 'order-events' AS topic, shop_id, received_at, dateDiff('millisecond', occurred_at, received_at) AS lag
FROM {database}.order_events_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_subscriber_events_log TO {database}.arriving_log
AS SELECT 'subscriber-events' AS topic, shop_id, received_at,
    if(type = 'subscriber.purchased' OR forwarded_from != '', NULL, dateDiff('millisecond', occurred_at, received_at)) AS lag
FROM {database}.subscriber_events_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_cart_outcomes_log TO {database}.arriving_log
AS SELECT 'cart-outcomes' AS topic, shop_id, received_at,
    if(type = 'cart.abandoned', dateDiff('millisecond', abandoned_at, received_at), NULL) AS lag
FROM {database}.cart_outcomes_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_subscriber_carts_log TO {database}.arriving_log
AS SELECT 'subscriber-carts' AS topic, shop_id, received_at
FROM {database}.subscriber_carts_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_messages_log TO {database}.arriving_log
AS SELECT 'messages' AS topic, shop_id, received_at
FROM {database}.messages_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_offer_codes_log TO {database}.arriving_log
AS SELECT 'offer-codes' AS topic, shop_id, received_at
FROM {database}.offer_codes_log
WHERE what = 'added';

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_alerts_log TO {database}.arriving_log
AS SELECT 'alerts' AS topic, shop_id, received_at
FROM {database}.alerts_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_settings_log TO {database}.arriving_log
AS SELECT 'settings' AS topic, shop_id, received_at
FROM {database}.settings_log;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.arrivals_of_dead_letters_log TO {database}.arriving_log
AS SELECT 'dead-letters' AS topic, '' AS shop_id, received_at
FROM {database}.dead_letters_log;

DROP VIEW IF EXISTS {database}.arrived_log;

CREATE OR REPLACE VIEW {database}.arrivals
(
    topic LowCardinality(String) COMMENT 'Topic the records came by, without the prefix',
    minute DateTime('UTC') COMMENT 'The minute in which they arrived, by the broker''s clock, UTC',
    shop_id LowCardinality(String) COMMENT 'The shop; empty for dead-letters, which belong to none',
    lag_ms Nullable(Int64) COMMENT 'How late they came, in milliseconds rounded up to two digits, negative when a clock is ahead. Of events from the time they happened; of carts that were left from their deadline. NULL for all other records',
    records UInt64 COMMENT 'How many; one that was sent twice is two',
    newest_at DateTime('UTC') COMMENT 'When the last of them arrived, UTC'
)
AS SELECT topic, minute, shop_id, if(measured, lag_ms, NULL) AS lag_ms, records + before AS records,
    minute + toIntervalSecond(newest_s) AS newest_at
FROM {database}.arrivals_log FINAL
COMMENT 'How many records arrived and how late, by topic, minute, shop and lag';

-- When each message was due, when it left and whether its plan has ended, so that a lag of messages and plans without an end
-- are found without the messages. Said again it is the same, being the largest of what was said. A plan is a number of 64
-- bits here. Five weeks are kept, whatever the retention, so that few rows are read; what is older is not shown even before it is
-- gone, or a plan would seem to have no end when the word of it went first.
CREATE TABLE IF NOT EXISTS {database}.plan_times_log
(
    shop_id LowCardinality(String),
    plan UInt64,
    planned_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    first_due_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    due_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    sent_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    ended SimpleAggregateFunction(max, Bool),
    received_at SimpleAggregateFunction(max, DateTime('UTC')) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (shop_id, plan)
TTL received_at + INTERVAL 35 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.plan_times_of_messages_log TO {database}.plan_times_log
AS SELECT
    shop_id,
    sipHash64(plan_id) AS plan,
    maxIf(occurred_at, type = 'message.planned') AS planned_at,
    maxIf(m.due_at, type = 'message.planned') AS first_due_at,
    max(m.due_at) AS due_at,
    maxIf(occurred_at, type = 'message.sent') AS sent_at,
    max(type NOT IN ('message.planned', 'message.held')) AS ended,
    toDateTime(max(m.received_at), 'UTC') AS received_at
FROM {database}.messages_log AS m
WHERE type IN ('message.planned', 'message.held', 'message.sent', 'message.uncertain', 'message.suppressed', 'message.recovered',
    'message.expired', 'message.failed')
GROUP BY shop_id, plan;

INSERT INTO {database}.plan_times_log (shop_id, plan, planned_at, first_due_at, due_at, sent_at, ended, received_at)
SELECT
    shop_id, sipHash64(plan_id) AS plan, maxIf(occurred_at, type = 'message.planned'), maxIf(due_at, type = 'message.planned'),
    max(due_at), maxIf(occurred_at, type = 'message.sent'), max(type NOT IN ('message.planned', 'message.held')),
    toDateTime(max(received_at), 'UTC')
FROM {database}.messages_log
WHERE type IN ('message.planned', 'message.held', 'message.sent', 'message.uncertain', 'message.suppressed', 'message.recovered',
    'message.expired', 'message.failed')
GROUP BY shop_id, plan;

CREATE OR REPLACE VIEW {database}.plan_times
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    plan UInt64 COMMENT 'Stands for the plan: sipHash64(plan_id); one row each, for five weeks after the last word about it',
    planned_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was made, UTC; NULL when nobody said so',
    first_due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was first due, UTC; NULL when nobody said so',
    due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was due, put off included, UTC; NULL when nobody said so',
    sent_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the relay took it, UTC; NULL when it was not sent',
    ended Bool COMMENT 'Whether it was sent or given up'
)
AS SELECT
    shop_id, plan, if(planned_at = 0, NULL, planned_at) AS planned_at, if(first_due_at = 0, NULL, first_due_at) AS first_due_at,
    if(due_at = 0, NULL, due_at) AS due_at, if(sent_at = 0, NULL, sent_at) AS sent_at, ended
FROM {database}.plan_times_log FINAL
WHERE received_at > now() - INTERVAL 35 DAY
COMMENT 'When messages were due and when they left, one row for each plan of late';
