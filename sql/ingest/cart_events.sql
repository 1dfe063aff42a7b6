-- What shops say of carts: one JSON parse a record; a field of a wrong type becomes empty, so no record stops an insert.
-- A record that is no object with a type and an id is left out: it is in dead-letters.
-- What has a column is cut out of the record, as schema/012 says, which puts it back.
INSERT INTO cart_events_log
(
    event_id, type, shop_id, cart_id, session_id, device_id, customer_id, email, occurred_at, currency, items,
    cart_url, step, order_id, total, into_cart_id, cut, raw, kafka_partition, kafka_offset, received_at
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
    concat(replaceOne(toString(at), ' ', 'T'), 'Z') AS iso,
    concat(substring(iso, 1, 19), 'Z') AS second,
    toString(toUnixTimestamp64Milli(at)) AS epoch
SELECT
    said.event_id, said.type, if(said.shop_id = '', 'main', said.shop_id), said.cart_id, said.session_id,
    said.device_id, said.customer_id, said.email, at, said.currency, things,
    said.cart_url, said.step, said.order_id, toDecimal128OrNull(said.total, 6), said.into_cart_id,
    position(raw, '\xEE\x80') = 0 AS cuttable,
    if(not cuttable, raw,
        replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(replaceOne(
        replaceOne(replaceOne(replaceOne(raw,
        concat('"', said.event_id, '"'), '"\xEE\x80\x80"'),
        multiIf(
            said.occurred_at = iso, concat('"', iso, '"'),
            said.occurred_at = second, concat('"', second, '"'),
            said.occurred_at = epoch AND position(raw, concat('"', epoch, '"')) = 0, epoch,
            '\xEE\x80\xBF'),
        multiIf(said.occurred_at = iso, '"\xEE\x80\x81"', said.occurred_at = second, '"\xEE\x80\x82"', '"\xEE\x80\x83"')),
        concat('"', said.type, '"'), '"\xEE\x80\x84"'),
        concat('"', said.cart_url, '"'), '"\xEE\x80\x85"'),
        concat('"', said.cart_id, '"'), '"\xEE\x80\x86"'),
        concat('"', said.session_id, '"'), '"\xEE\x80\x87"'),
        concat('"', said.device_id, '"'), '"\xEE\x80\x88"'),
        concat('"', things[1].1, '"'), '"\xEE\x80\x8A"'),
        concat('"', things[1].2, '"'), '"\xEE\x80\x8B"'),
        concat('"', ifNull(toDecimalString(things[1].4, 2), ''), '"'), '"\xEE\x80\x8C"'),
        concat('"', things[1].5, '"'), '"\xEE\x80\x8D"'),
        concat('"', things[2].1, '"'), '"\xEE\x80\x8E"'),
        concat('"', things[2].2, '"'), '"\xEE\x80\x8F"')),
    partition, offset, arrived
FROM
(
    SELECT
        partition, offset, raw,
        fromUnixTimestamp64Milli(least(greatest(timestamp, 0), 4102444800000), 'UTC') AS arrived,
        'Tuple(
            event_id String, type String, shop_id String, cart_id String, session_id String, device_id String,
            customer_id String, email String, occurred_at String, currency String,
            items Array(Tuple(sku String, name String, quantity UInt64, price String, category String)),
            cart_url String, step String, order_id String, total String, into_cart_id String
        )' AS shape,
        JSONExtract(raw, shape) AS read,
        -- a number that fits nowhere, or a byte that is no UTF-8, makes the parser refuse the whole record, even when it
        -- stands in a field nobody reads
        if(read.event_id != '', read, JSONExtract(replaceRegexpAll(toValidUTF8(raw),
            '([\\[:,]\\s*)-?(?:[0-9]{300,}[.0-9]*|[0-9.]+[eE][+]?[0-9]{3,})', '\\1 0'), shape)) AS said,
        moment(said.occurred_at, arrived) AS at,
        arrayMap(x -> (x.sku, x.name, x.quantity, toDecimal128OrNull(x.price, 6), x.category), said.items) AS things
    FROM input('partition UInt16, offset UInt64, timestamp Int64, raw String')
    WHERE startsWith(trimLeft(raw, ' \t\r\n'), '{')
)
WHERE said.type != '' AND said.event_id != ''
FORMAT Native
