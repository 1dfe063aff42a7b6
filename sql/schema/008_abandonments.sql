-- Abandonments as rows that are kept, so that a list, a figure or an export costs what it shows and not all that was ever said.
--
-- * Some seconds after outcomes, persons or messages have come, the sink computes the abandonments they speak of anew
--   (sql/rollup/abandonments.sql). `rollup_progress_log` says how far it has come, so a crash loses nothing; it only repeats.
-- * `facts` is larger the more was known: two sinks may compute one row at the same moment, and what knows more stays. It adds
--   up the times of arrival of all that was said, each id once, so what is said again, or late, counts.
-- * The sort key is that of the lists. Rows of old parts and new ones seldom overlap in it, so FINAL merges little.
-- * Months, not weeks: a shop's own times may lie anywhere, and an insert should not scatter over thousands of parts.
-- * Small granules and blocks: a page of what was searched for is fifty rows from all over the table. The room is the same.
-- * `search` has what a person is looked for by; its index knows all pieces of three characters (a server of 26.2 or newer).
-- * The indexes by offset find the records that are new.
CREATE TABLE IF NOT EXISTS {database}.abandonments_log
(
    abandonment_id String CODEC(ZSTD(1)),
    shop_id LowCardinality(String),
    cart_id String CODEC(ZSTD(1)),
    episode UInt32 CODEC(T64, ZSTD(1)),
    abandoned_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    last_activity DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    created_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    stage LowCardinality(String),
    currency LowCardinality(String),
    value Decimal(38, 6) CODEC(ZSTD(1)),
    units UInt32 CODEC(T64, ZSTD(1)),
    items String CODEC(ZSTD(3)),
    cart_url String CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(1)),
    customer_id String CODEC(ZSTD(1)),
    email String CODEC(ZSTD(1)),
    subscriber_id String CODEC(ZSTD(1)),
    evidence_how LowCardinality(String),
    evidence_words String CODEC(ZSTD(1)),
    state LowCardinality(String),
    order_id String CODEC(ZSTD(1)),
    message_status LowCardinality(String),
    message_reason LowCardinality(String),
    message_words String CODEC(ZSTD(1)),
    message_at Nullable(DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    plan_id String CODEC(ZSTD(1)),
    said_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    facts UInt64 CODEC(ZSTD(1)),
    search String MATERIALIZED lowerUTF8(concatWithSeparator('\n', abandonment_id, email, cart_id, customer_id, order_id,
        arrayStringConcat(arrayMap(x -> concat(x.1, '\n', x.2), JSONExtract(items, 'Array(Tuple(sku String, name String))')), '\n')))
        CODEC(ZSTD(1)),
    INDEX by_search search TYPE text(tokenizer = ngrams(3)),
    INDEX by_id abandonment_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(facts)
PARTITION BY toStartOfMonth(abandoned_at)
ORDER BY (shop_id, abandoned_at, abandonment_id)
TTL toDateTime(said_at) + INTERVAL {retention_days} DAY
SETTINGS index_granularity = 512, min_compress_block_size = 8192, max_compress_block_size = 32768;

CREATE TABLE IF NOT EXISTS {database}.rollup_progress_log
(
    topic LowCardinality(String),
    partition UInt16,
    until UInt64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (topic, partition);

ALTER TABLE {database}.subscriber_carts_log
    ADD COLUMN IF NOT EXISTS abandoned_at DateTime64(3, 'UTC')
        DEFAULT parseDateTime64BestEffortOrZero(JSONExtractString(raw, 'outcome', 'abandoned_at'), 3, 'UTC') CODEC(Delta, ZSTD(1)) AFTER abandonment_id;

ALTER TABLE {database}.cart_outcomes_log ADD INDEX IF NOT EXISTS by_offset kafka_offset TYPE minmax GRANULARITY 1;
ALTER TABLE {database}.subscriber_carts_log ADD INDEX IF NOT EXISTS by_offset kafka_offset TYPE minmax GRANULARITY 1;
ALTER TABLE {database}.messages_log ADD INDEX IF NOT EXISTS by_offset kafka_offset TYPE minmax GRANULARITY 1;

CREATE OR REPLACE VIEW {database}.abandonments
(
    abandonment_id String COMMENT 'Derived from shop, cart and episode; one row each',
    shop_id LowCardinality(String) COMMENT 'The shop',
    cart_id String COMMENT 'The cart',
    episode UInt32 COMMENT 'Which abandonment of the cart this is',
    abandoned_at DateTime64(3, 'UTC') COMMENT 'The deadline at which the cart counted as left, UTC',
    last_activity DateTime64(3, 'UTC') COMMENT 'The shopper''s last action before it, UTC',
    created_at DateTime64(3, 'UTC') COMMENT 'The cart''s first event, UTC',
    stage LowCardinality(String) COMMENT 'Checkout step reached last: cart, contact, address, shipping, payment or review',
    currency LowCardinality(String) COMMENT 'ISO 4217; empty when unknown',
    value Decimal(38, 6) COMMENT 'Sum of quantity times price',
    units UInt32 COMMENT 'Sum of quantities',
    items String COMMENT 'The lines, a JSON array of sku, name, quantity, price, url, image, category',
    cart_url String COMMENT 'Where the shopper finds the cart again',
    device_id String COMMENT 'The browser or app; empty when unknown',
    customer_id String COMMENT 'The shop''s id of the customer, from the cart or the person; empty when unknown',
    email String COMMENT 'Address typed in the cart, else that of the person; empty when unknown',
    subscriber_id String COMMENT 'The person; empty when nobody is known (any more)',
    evidence_how String COMMENT 'How the person is known',
    evidence_words String COMMENT 'The evidence as a sentence',
    state String COMMENT 'open, reactivated, withdrawn (late truth: it was none) or recovered (bought after all)',
    order_id String COMMENT 'The order that recovered it; empty when there is none',
    message_status String COMMENT 'planned, held, sending, sent, suppressed, recovered, expired, failed or uncertain: of its messages the last that was sent, else the last; empty without one',
    message_reason String COMMENT 'Why it was suppressed, failed or waits',
    message_words String COMMENT 'The reason as a sentence',
    message_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the message came to that status, UTC; NULL without one',
    plan_id String COMMENT 'The plan of that message; empty without one'
)
AS SELECT
    abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, currency, value, units, items, cart_url, device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, state, order_id, message_status, message_reason, message_words, message_at, plan_id
FROM {database}.abandonments_log FINAL
COMMENT 'Carts that were left, one row for each time, with what became of them, whose they are and what was written';
