-- What people agreed to, bought and refused.
-- A record that is no object with a type and an id is left out: it is in dead-letters.
INSERT INTO subscriber_events_log
(
    event_id, type, shop_id, subscriber_id, customer_id, email, name, locale, consent, reason, order_id, cart_id,
    request_id, requested_by, forwarded_from, phone, time_zone, `groups`, channels, push, push_gone, message,
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
    said.event_id, said.type, if(said.shop_id = '', 'main', said.shop_id), said.subscriber_id, said.customer_id,
    said.email, said.name, said.locale, said.consent, said.reason, said.order_id, said.cart_id, said.request_id,
    said.requested_by, said.forwarded_from, said.phone, said.time_zone, said.`groups`, said.channels,
    said.push.endpoint, said.push_gone, said.message, moment(said.occurred_at, arrived),
    raw, partition, offset, arrived
FROM
(
    SELECT
        partition, offset, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        'Tuple(
            event_id String, type String, shop_id String, subscriber_id String, customer_id String, email String,
            name String, locale String, consent String, reason String, order_id String, cart_id String,
            request_id String, requested_by String, forwarded_from String, occurred_at String,
            phone String, time_zone String, groups Array(String), channels Array(String),
            push Tuple(endpoint String), push_gone String, message String
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
