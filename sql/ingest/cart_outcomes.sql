-- What became of carts.
-- A record that is no object with a type and an id is left out: it is in dead-letters.
INSERT INTO cart_outcomes_log
(
    outcome_id, type, shop_id, cart_id, revision, episode, abandonment_id, occurred_at, abandoned_at,
    last_activity, created_at, reason, stage, currency, value, units, items, cart_url, order_id, device_id,
    session_id, customer_id, email, raw, kafka_partition, kafka_offset, received_at
)
WITH
    -- RFC 3339 or epoch milliseconds, within 1970 … 2299; anything else becomes `otherwise`
    (said, otherwise) -> multiIf(
        match(said, '^[0-9]{1,14}$') AND toInt64OrZero(said) <= 10413791999999,
            fromUnixTimestamp64Milli(toInt64OrZero(said), 'UTC'),
        substring(said, 5, 1) = '-' AND parseDateTime64BestEffortOrZero(said, 3, 'UTC')
            BETWEEN toDateTime64('1970-01-01 00:00:00', 3, 'UTC') AND toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'),
            parseDateTime64BestEffortOrZero(said, 3, 'UTC'),
        otherwise) AS moment,
    toDateTime64(0, 3, 'UTC') AS never
SELECT
    said.outcome_id, said.type, if(said.shop_id = '', 'main', said.shop_id), said.cart_id, said.revision,
    said.episode, said.abandonment_id, moment(said.occurred_at, arrived), moment(said.abandoned_at, never),
    moment(said.last_activity, never), moment(said.created_at, never), said.reason, said.stage, said.currency,
    ifNull(toDecimal128OrNull(said.value, 6), 0), said.units, said.items, said.cart_url, said.order_id,
    said.device_id, said.session_id, said.customer_id, said.email,
    raw, partition, offset, arrived
FROM
(
    SELECT
        partition, offset, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        'Tuple(
            outcome_id String, type String, shop_id String, cart_id String, revision UInt64, episode UInt32,
            abandonment_id String, occurred_at String, abandoned_at String, last_activity String,
            created_at String, reason String, stage String, currency String, value String, units UInt32,
            items String, cart_url String, order_id String, device_id String, session_id String,
            customer_id String, email String
        )' AS shape,
        JSONExtract(raw, shape) AS read,
        -- a number that fits nowhere, or a byte that is no UTF-8, makes the parser refuse the whole record, even when it
        -- stands in a field nobody reads
        if(read.outcome_id != '', read, JSONExtract(replaceRegexpAll(toValidUTF8(raw),
            '([\\[:,]\\s*)-?(?:[0-9]{300,}[.0-9]*|[0-9.]+[eE][+]?[0-9]{3,})', '\\1 0'), shape)) AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.type != '' AND said.outcome_id != ''
FORMAT Native
