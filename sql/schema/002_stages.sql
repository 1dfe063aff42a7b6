-- What the stages said: outcomes of carts, the person found for each, and the life of every message.
--
-- Sorted for the console: `cart_outcomes_log` by shop, type and time, so the list of abandonments is read in order;
-- the other two by shop and cart (abandonment), so what belongs to a page of abandonments lies together.
-- Ids are derived: a stage that says something again, such as a match after it had been taken back, says it under the
-- same id, so the newest record of an id counts.
CREATE TABLE IF NOT EXISTS {database}.cart_outcomes_log
(
    outcome_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    shop_id LowCardinality(String),
    cart_id String CODEC(ZSTD(1)),
    revision UInt64,
    episode UInt32,
    abandonment_id String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    abandoned_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    last_activity DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    created_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    reason LowCardinality(String),
    stage LowCardinality(String),
    currency LowCardinality(String),
    value Decimal(38, 6) CODEC(ZSTD(1)),
    units UInt32,
    items String CODEC(ZSTD(3)),
    cart_url String CODEC(ZSTD(1)),
    order_id String CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_cart cart_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_abandonment abandonment_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, type, abandoned_at, abandonment_id, outcome_id)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS {database}.subscriber_carts_log
(
    record_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    subscriber_id String CODEC(ZSTD(1)),
    shop_id LowCardinality(String),
    cart_id String CODEC(ZSTD(1)),
    revision UInt64,
    episode UInt32,
    abandonment_id String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    evidence_how LowCardinality(String),
    evidence_words String CODEC(ZSTD(1)),
    evidence_seen_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    evidence_device_id String CODEC(ZSTD(1)),
    evidence_event_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    forwarded_from String CODEC(ZSTD(1)),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_person subscriber_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, cart_id, abandonment_id, record_id)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS {database}.messages_log
(
    message_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    plan_id String CODEC(ZSTD(1)),
    shop_id LowCardinality(String),
    subscriber_id String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    channel LowCardinality(String),
    cart_id String CODEC(ZSTD(1)),
    abandonment_id String CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    reason LowCardinality(String),
    words String CODEC(ZSTD(1)),
    `to` String CODEC(ZSTD(1)),
    subject String CODEC(ZSTD(3)),
    `text` String CODEC(ZSTD(3)),
    html String CODEC(ZSTD(3)),
    due_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stage LowCardinality(String),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_plan plan_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_person subscriber_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_time occurred_at TYPE minmax GRANULARITY 4
)
ENGINE = ReplacingMergeTree(kafka_offset)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, abandonment_id, plan_id, message_id)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
