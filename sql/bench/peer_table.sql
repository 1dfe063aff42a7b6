-- What the peers of the sink's benchmark write: the columns of cart_events_log but the record itself, which they can't keep.
CREATE TABLE peer
(
    event_id String CODEC(ZSTD(1)),
    type LowCardinality(String) CODEC(ZSTD(1)),
    shop_id LowCardinality(String),
    cart_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, 'UTC') CODEC(T64('bit'), ZSTD(1)),
    currency LowCardinality(String),
    items Array(Tuple(sku String, name String, quantity UInt64, price Nullable(Decimal(38, 6)), category String)) CODEC(ZSTD(1)),
    cart_url String CODEC(ZSTD(1)),
    step LowCardinality(String) CODEC(ZSTD(1)),
    order_id String CODEC(ZSTD(1)),
    total Nullable(Decimal(38, 6)) CODEC(ZSTD(1)),
    into_cart_id String CODEC(ZSTD(1)),
    kafka_partition UInt16,
    kafka_offset UInt64 CODEC(T64('bit'), ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(T64('bit'), ZSTD(1)),
    seniority UInt64 MATERIALIZED bitNot(kafka_offset) CODEC(T64('bit'), ZSTD(1))
)
ENGINE = ReplacingMergeTree(seniority)
PARTITION BY toMonday(received_at)
ORDER BY (shop_id, cart_id, event_id)
