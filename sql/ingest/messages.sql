-- Every step in the life of every message.
-- A record that is no object with a type and an id is left out: it is in dead-letters.
INSERT INTO messages_log
(
    message_id, type, plan_id, shop_id, subscriber_id, occurred_at, channel, cart_id, abandonment_id, request_id,
    reason, words, `to`, subject, `text`, html, due_at, stage,
    step, template, variant, code, url, machine, raw, kafka_partition, kafka_offset, received_at
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
    said.message_id, said.type, said.plan_id, if(said.shop_id = '', 'main', said.shop_id), said.subscriber_id,
    moment(said.occurred_at, arrived), if(said.channel = '', 'email', said.channel), said.cart_id,
    said.abandonment_id, said.request_id, said.reason, said.words, said.`to`, said.subject, said.`text`, said.html,
    moment(said.due_at, never), said.stage,
    said.step, said.template, said.variant, said.code, said.url, said.machine,
    raw, partition, offset, arrived
FROM
(
    SELECT
        partition, offset, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        'Tuple(
            message_id String, type String, plan_id String, shop_id String, subscriber_id String,
            occurred_at String, channel String, cart_id String, abandonment_id String, request_id String,
            reason String, words String, to String, subject String, text String, html String, due_at String,
            stage String, step UInt16, template String, variant String, code String, url String, machine Bool
        )' AS shape,
        JSONExtract(raw, shape) AS read,
        -- a number that fits nowhere, or a byte that is no UTF-8, makes the parser refuse the whole record, even when it
        -- stands in a field nobody reads
        if(read.message_id != '', read, JSONExtract(replaceRegexpAll(toValidUTF8(raw),
            '([\\[:,]\\s*)-?(?:[0-9]{300,}[.0-9]*|[0-9.]+[eE][+]?[0-9]{3,})', '\\1 0'), shape)) AS said
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.type != '' AND said.message_id != ''
FORMAT Native
