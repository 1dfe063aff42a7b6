-- Two tables that are no log of events: settings, where the newest value of a key counts, and dead letters, which
-- are bytes nobody could read and so are kept as bytes.
--
-- Settings have no retention: the newest value of a key holds however old it is. A deletion stays as a row.
-- A dead letter is identified by where it came from, so handling a record twice leaves one.
CREATE TABLE IF NOT EXISTS {database}.settings_log
(
    key String CODEC(ZSTD(1)),
    shop_id LowCardinality(String),
    name String CODEC(ZSTD(1)),
    value String CODEC(ZSTD(3)),
    deleted Bool,
    raw String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (key, received_at, kafka_offset)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS {database}.dead_letters_log
(
    topic LowCardinality(String),
    source_partition UInt16,
    source_offset UInt64 CODEC(Delta, ZSTD(1)),
    stage LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    key String CODEC(ZSTD(1)),
    value String CODEC(ZSTD(3)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(seniority)
PARTITION BY toMonday(received_at)
ORDER BY (topic, source_partition, source_offset, stage)
TTL toDateTime(received_at) + INTERVAL {retention_days} DAY
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;
