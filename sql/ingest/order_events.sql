-- The life of orders.
-- A record that is no object with a type and an id is left out: it is in dead-letters.
INSERT INTO order_events_log
(
    event_id, type, shop_id, order_id, cart_id, customer_id, subscriber_id, email, currency, total, `text`,
    occurred_at, raw, kafka_partition, kafka_offset, received_at
)
WITH
    -- RFC 3339 or epoch milliseconds, within 1970 … 2299; anything else becomes `otherwise`
    (said, otherwise) -> multiIf(
        match(said, '^[0-9]{1,14}$') AND toInt64OrZero(said) <= 10413791999999,
            fromUnixTimestamp64Milli(toInt64OrZero(said), 'UTC'),
        substring(said, 5, 1) = '-' AND parseDateTime64BestEffortOrZero(said, 3, 'UTC')
            BETWEEN toDateTime64('1970-01-01 00:00:00', 3, 'UTC') AND toDateTime64('2299-12-31 23:59:59.999', 3, 'UTC'),
            parseDateTime64BestEffortOrZero(said, 3, 'UTC'),
        otherwise) AS moment
SELECT
    said.event_id, said.type, if(said.shop_id = '', 'main', said.shop_id), said.order_id, said.cart_id,
    said.customer_id, said.subscriber_id, said.email, said.currency, toDecimal128OrNull(said.total, 6),
    said.`text`, moment(said.occurred_at, arrived),
    raw, partition, offset, arrived
FROM
(
    SELECT
        partition, offset, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        'Tuple(
            event_id String, type String, shop_id String, order_id String, cart_id String, customer_id String,
            subscriber_id String, email String, currency String, total String, text String, occurred_at String
        )' AS shape,
        JSONExtract(raw, shape) AS read,
        -- a number that fits nowhere, or a byte that is no UTF-8, makes the parser refuse the whole record, even when it
        -- stands in a field nobody reads
        if(read.event_id != '', read, JSONExtract(replaceRegexpAll(toValidUTF8(raw),
            '([\\[:,]\\s*)-?(?:[0-9]{300,}[.0-9]*|[0-9.]+[eE][+]?[0-9]{3,})', '\\1 0'), shape)) AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.type != '' AND said.event_id != ''
FORMAT Native
