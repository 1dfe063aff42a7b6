-- Alarms about a shop's checkout, and the narrow table they are found in.
--
-- `checkout_steps_log` has every step and order once more, by time: to look at the last minutes, and at the same minutes
-- of the weeks before, `cart_events_log` would be read whole, being sorted by cart. It is filled by a view while events
-- are inserted, and below from what is there already. Its key is all of a row but `received_at`, and whoever reads it
-- groups by cart, so what is inserted twice counts once. A cart is a number of 64 bits here: half the room of its id.
CREATE TABLE IF NOT EXISTS {database}.alerts_log
(
    record_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    alert_id String CODEC(ZSTD(1)),
    shop_id LowCardinality(String),
    number UInt32,
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    signal LowCardinality(String),
    since DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    jumps Array(Tuple(signal String, minutes UInt32, of UInt64, passed UInt64, share Float64, usual Float64)) CODEC(ZSTD(1)),
    reason LowCardinality(String),
    words String CODEC(ZSTD(1)),
    about LowCardinality(String),
    `to` String CODEC(ZSTD(1)),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(seniority)
ORDER BY (shop_id, number, record_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW {database}.alerts
(
    record_id String COMMENT 'Derived id of the record; shown once',
    type LowCardinality(String) COMMENT 'alert.opened, alert.closed, alert.mailed or alert.mail_failed',
    alert_id String COMMENT 'The alarm; all its records carry it',
    shop_id LowCardinality(String) COMMENT 'The shop',
    number UInt32 COMMENT 'Which alarm of the shop this is, from 1',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it was said, UTC',
    signal LowCardinality(String) COMMENT 'What fell most: a step of the checkout, bought or orders',
    since DateTime64(3, 'UTC') COMMENT 'The beginning of the minutes in which it was seen, UTC; 1970 when not said',
    jumps Array(Tuple(signal String, minutes UInt32, of UInt64, passed UInt64, share Float64, usual Float64)) COMMENT 'Everything that had fallen: of so many in so many minutes so many went on, this share, where that one is usual',
    reason LowCardinality(String) COMMENT 'Why it is over: back, no_data or disabled',
    words String COMMENT 'The same as a sentence; of a mail what the mail server said',
    about LowCardinality(String) COMMENT 'Of a mail: the type of the record it told of',
    `to` String COMMENT 'Of a mail: whom it was sent to',
    raw String COMMENT 'The record as it came, with fields that have no column',
    kafka_partition UInt16 COMMENT 'Partition of the topic',
    kafka_offset UInt64 COMMENT 'Offset in that partition',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    record_id, type, alert_id, shop_id, number, occurred_at, signal, since, jumps, reason, words, about, `to`, raw, kafka_partition, kafka_offset, received_at
FROM {database}.alerts_log FINAL
COMMENT 'Alarms about a shop''s checkout, each of their records once';

CREATE TABLE IF NOT EXISTS {database}.checkout_steps_log
(
    shop_id LowCardinality(String),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    step LowCardinality(String),
    cart UInt64,
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, occurred_at, step, cart)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- what says that it happens later than it arrives has a clock that is wrong
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.checkout_steps_of_cart_events_log TO {database}.checkout_steps_log
AS SELECT
    shop_id,
    least(occurred_at, received_at) AS occurred_at,
    if(type = 'order.placed', 'order', step) AS step,
    sipHash64(cart_id) AS cart,
    received_at
FROM {database}.cart_events_log
WHERE type IN ('checkout.step', 'order.placed');

INSERT INTO {database}.checkout_steps_log (shop_id, occurred_at, step, cart, received_at)
SELECT
    shop_id, least(occurred_at, received_at), if(type = 'order.placed', 'order', step), sipHash64(cart_id), received_at
FROM {database}.cart_events_log
WHERE type IN ('checkout.step', 'order.placed')
SETTINGS max_partitions_per_insert_block = 0;
