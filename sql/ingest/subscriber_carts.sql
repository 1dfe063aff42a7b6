-- Outcomes with the person they belong to.
-- A record that is no object with a type and an id is left out: it is in dead-letters.
INSERT INTO subscriber_carts_log
(
    record_id, type, subscriber_id, shop_id, cart_id, revision, episode, abandonment_id, occurred_at, evidence_how,
    evidence_words, evidence_seen_at, evidence_device_id, evidence_event_id, customer_id, email, forwarded_from,
    raw, kafka_partition, kafka_offset, received_at
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
    said.record_id, said.type, said.subscriber_id, if(said.shop_id = '', 'main', said.shop_id), said.cart_id,
    said.outcome.revision, said.outcome.episode, said.outcome.abandonment_id, moment(said.occurred_at, arrived),
    said.evidence.how, said.evidence.words, moment(said.evidence.seen_at, never), said.evidence.device_id,
    said.evidence.event_id, said.customer_id, said.email, said.forwarded_from,
    raw, partition, offset, arrived
FROM
(
    SELECT
        partition, offset, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        'Tuple(
            record_id String, type String, subscriber_id String, shop_id String, cart_id String,
            outcome Tuple(revision UInt64, episode UInt32, abandonment_id String), occurred_at String,
            evidence Tuple(how String, words String, seen_at String, device_id String, event_id String),
            customer_id String, email String, forwarded_from String
        )' AS shape,
        JSONExtract(raw, shape) AS read,
        -- a number that fits nowhere, or a byte that is no UTF-8, makes the parser refuse the whole record, even when it
        -- stands in a field nobody reads
        if(read.record_id != '', read, JSONExtract(replaceRegexpAll(toValidUTF8(raw),
            '([\\[:,]\\s*)-?(?:[0-9]{300,}[.0-9]*|[0-9.]+[eE][+]?[0-9]{3,})', '\\1 0'), shape)) AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.type != '' AND said.record_id != ''
FORMAT Native
