-- What shops sent, one table a topic, each record as it came (`raw`) and as columns.
--
-- Why these tables look alike:
-- * A record may be inserted twice (a crash between insert and commit). The first guard is the insert's
--   deduplication token, which needs the window below. The second is the sort key: it ends in the event's id, so
--   repeats of an id collapse, the first one of the partition staying (`seniority` is larger for smaller offsets).
--   The views of the same name without `_log` show every id once, at any moment.
-- * The sort key starts with shop and cart (device, order, person): that is how lists and timelines read.
-- * Partitions and retention follow the broker's time of arrival. A shop's own dates may be from 1970 or 9999 and
--   would scatter one insert over many partitions; the broker's hardly ever leave one. A week is dropped as a whole.
CREATE TABLE IF NOT EXISTS {database}.cart_events_log
(
    event_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    shop_id LowCardinality(String),
    cart_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    currency LowCardinality(String),
    items Array(Tuple(sku String, name String, quantity UInt64, price Nullable(Decimal(38, 6)), category String)) CODEC(ZSTD(1)),
    cart_url String CODEC(ZSTD(1)),
    step LowCardinality(String),
    order_id String CODEC(ZSTD(1)),
    total Nullable(Decimal(38, 6)) CODEC(ZSTD(1)),
    into_cart_id String CODEC(ZSTD(1)),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(Delta, ZSTD(1)),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 4
)
ENGINE = ReplacingMergeTree(seniority)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, cart_id, event_id)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS {database}.device_events_log
(
    event_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    shop_id LowCardinality(String),
    device_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    subscriber_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    how LowCardinality(String),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(Delta, ZSTD(1)),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 4
)
ENGINE = ReplacingMergeTree(seniority)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, device_id, event_id)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS {database}.order_events_log
(
    event_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    shop_id LowCardinality(String),
    order_id String CODEC(ZSTD(1)),
    cart_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    subscriber_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    currency LowCardinality(String),
    total Nullable(Decimal(38, 6)) CODEC(ZSTD(1)),
    text String CODEC(ZSTD(3)),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(Delta, ZSTD(1)),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 4
)
ENGINE = ReplacingMergeTree(seniority)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, order_id, event_id)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS {database}.subscriber_events_log
(
    event_id String CODEC(ZSTD(1)),
    type LowCardinality(String),
    shop_id LowCardinality(String),
    subscriber_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    locale LowCardinality(String),
    consent String CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    order_id String CODEC(ZSTD(1)),
    cart_id String CODEC(ZSTD(1)),
    request_id String CODEC(ZSTD(1)),
    requested_by String CODEC(ZSTD(1)),
    forwarded_from String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(Delta, ZSTD(1)),
    INDEX by_time occurred_at TYPE minmax GRANULARITY 4
)
ENGINE = ReplacingMergeTree(seniority)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, subscriber_id, event_id)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
