-- title: How long the pipeline takes
-- description: Seconds from one place to the next, of what arrived on these days (UTC, by the broker's clock). Lateness of
--   events is from the time the shop says they happened to their arrival: a replayed file is as late as it is old. The
--   others are lags of Cartwake itself: from a cart's deadline to the word that it was left, from that word to the one whose
--   it was, from the time a message was due, put-offs included, to its leaving. The denominator of `late_percent` is
--   `records`. Up to the word that a cart was left the figures come from `arrivals`: each record counts as it arrived, so an event
--   that a shop sent twice is two records, and seconds are rounded up to two digits; from there on each record counts once, to the
--   millisecond. How far ClickHouse itself is behind stands in /metrics of the sink, not here.
-- parameter from: first day, UTC, of arrival
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: p99_s by hop
-- column number: place of the row
-- column hop: from where to where
-- column records: records measured
-- column median_s: half of them took at most so many seconds
-- column p95_s: 95 of 100 took at most so many
-- column p99_s: 99 of 100 took at most so many
-- column longest_s: the longest
-- column late: those that took more than five minutes
-- column late_percent: their share
-- column ahead: those whose time lies after their arrival: a clock that is wrong
WITH
    toDateTime64({from:Date32}, 3, 'UTC') AS first,
    toDateTime64(addDays({to:Date32}, 1), 3, 'UTC') AS end,
    said AS
    (
        SELECT shop_id, cart_id, revision, min(received_at) AS at
        FROM subscriber_carts_log
        WHERE type = 'cart.abandoned' AND forwarded_from = ''
        GROUP BY shop_id, cart_id, revision
    ),
    counted AS
    (
        SELECT shop_id, transform(topic, ['cart-events', 'device-events', 'order-events', 'subscriber-events'], [1, 2, 3, 4], 5) AS place,
            if(topic = 'cart-outcomes', 'deadline → cart-outcomes', concat('shop → ', topic)) AS way, assumeNotNull(lag_ms) AS ms, records
        FROM arrivals
        WHERE lag_ms IS NOT NULL AND minute >= first AND minute < end
        UNION ALL
        SELECT c.shop_id, 6, 'cart-outcomes → subscriber-carts', dateDiff('millisecond', c.received_at, said.at), 1
        FROM cart_outcomes AS c
        INNER JOIN said ON c.shop_id = said.shop_id AND c.cart_id = said.cart_id AND c.revision = said.revision
        WHERE c.type = 'cart.abandoned' AND said.at >= first AND said.at < end
        UNION ALL
        SELECT shop_id, 7, 'due → sent', dateDiff('millisecond', assumeNotNull(due_at), assumeNotNull(sent_at)), 1
        FROM sent_messages WHERE sent_at >= first AND sent_at < end AND due_at IS NOT NULL
    )
SELECT
    place AS number,
    way AS hop,
    sum(c.records) AS records,
    toDecimal64(quantileExactWeighted(0.5)(ms, c.records) / 1000, 3) AS median_s,
    toDecimal64(quantileExactWeighted(0.95)(ms, c.records) / 1000, 3) AS p95_s,
    toDecimal64(quantileExactWeighted(0.99)(ms, c.records) / 1000, 3) AS p99_s,
    toDecimal64(max(ms) / 1000, 3) AS longest_s,
    sumIf(c.records, ms > 300000) AS late,
    toDecimal64(round(100 * late / records, 1), 1) AS late_percent,
    sumIf(c.records, ms < 0) AS ahead
FROM counted AS c
WHERE {shop:String} = '' OR shop_id = {shop:String}
GROUP BY place, way
ORDER BY number
