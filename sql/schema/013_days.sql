-- Figures that are kept: what was left on each day, so that a dashboard costs the days it shows and not the carts.
--
-- * One row is a shop's day as a whole, its figures in an array. The sink counts a day anew when one of its abandonments has changed
--   (sql/rollup/days.sql), so what comes late amends it and what comes twice does not.
-- * `facts` is larger the more was known, as in `abandonments_log`: of two sinks that count at the same moment, the one that saw
--   more stays.
-- * Figures name nobody. They stay when a person is erased, and when single abandonments of the day are no longer kept.
CREATE TABLE IF NOT EXISTS {database}.abandonment_days_log
(
    shop_id LowCardinality(String),
    day Date32,
    figures Array(Tuple(stage LowCardinality(String), state LowCardinality(String), currency LowCardinality(String), known Bool,
        message_status LowCardinality(String), message_reason LowCardinality(String), carts UInt64, units UInt64,
        value Decimal(38, 6))) CODEC(ZSTD(1)),
    said_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    facts UInt128
)
ENGINE = ReplacingMergeTree(facts)
ORDER BY (shop_id, day)
TTL toDateTime(said_at) + INTERVAL {retention_days} DAY;

CREATE OR REPLACE VIEW {database}.abandonment_days
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    day Date32 COMMENT 'The day, UTC, on which the carts counted as left',
    stage LowCardinality(String) COMMENT 'Checkout step reached last: cart, contact, address, shipping, payment or review',
    state LowCardinality(String) COMMENT 'open, reactivated, withdrawn (late truth: it was none) or recovered (bought after all)',
    currency LowCardinality(String) COMMENT 'ISO 4217; empty when unknown',
    known Bool COMMENT 'Whether a person or an address is known',
    message_status LowCardinality(String) COMMENT 'Of its messages the last that was sent, else the last: see abandonments; empty without one',
    message_reason LowCardinality(String) COMMENT 'Why that message was suppressed, failed or waits',
    carts UInt64 COMMENT 'How many were left; each time a cart is left counts once',
    units UInt64 COMMENT 'Sum of quantities',
    value Decimal(38, 6) COMMENT 'Sum of quantity times price'
)
AS SELECT
    shop_id, day, f.stage AS stage, f.state AS state, f.currency AS currency, f.known AS known, f.message_status AS message_status,
    f.message_reason AS message_reason, f.carts AS carts, f.units AS units, f.value AS value
FROM {database}.abandonment_days_log FINAL
ARRAY JOIN figures AS f
COMMENT 'What was left on each day, in figures: counted some seconds after it, and anew when something late is said';
