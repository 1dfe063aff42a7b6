-- Every retained record that the stages hear from outside, in the order of time.
--
-- `clock` is how far time had come when the record was heard: in each partition the largest time so far, a record's own,
-- but never later than its arrival. So a shop whose clock is ahead moves nothing, a late record stays late, and a day
-- that was sent in a minute takes a day.
--
-- Left out is what the stages said themselves, because they say it again: purchases that follow from an order, and what
-- was sent on to a person from another id.
SELECT source, kafka_partition, received, clock, raw
FROM
(
    SELECT 3 AS source, kafka_partition, kafka_offset, raw, toUnixTimestamp64Milli(received_at) AS received,
        toUnixTimestamp64Milli(max(least(occurred_at, received_at)) OVER (PARTITION BY kafka_partition ORDER BY kafka_offset ROWS UNBOUNDED PRECEDING)) AS clock
    FROM cart_events
    WHERE {shop:String} IN ('', shop_id)
    UNION ALL
    SELECT 1 AS source, kafka_partition, kafka_offset, raw, toUnixTimestamp64Milli(received_at) AS received,
        toUnixTimestamp64Milli(max(least(occurred_at, received_at)) OVER (PARTITION BY kafka_partition ORDER BY kafka_offset ROWS UNBOUNDED PRECEDING)) AS clock
    FROM device_events
    WHERE {shop:String} IN ('', shop_id)
    UNION ALL
    SELECT 2 AS source, kafka_partition, kafka_offset, raw, toUnixTimestamp64Milli(received_at) AS received,
        toUnixTimestamp64Milli(max(least(occurred_at, received_at)) OVER (PARTITION BY kafka_partition ORDER BY kafka_offset ROWS UNBOUNDED PRECEDING)) AS clock
    FROM order_events
    WHERE {shop:String} IN ('', shop_id)
    UNION ALL
    SELECT 0 AS source, kafka_partition, kafka_offset, raw, toUnixTimestamp64Milli(received_at) AS received,
        toUnixTimestamp64Milli(max(least(occurred_at, received_at)) OVER (PARTITION BY kafka_partition ORDER BY kafka_offset ROWS UNBOUNDED PRECEDING)) AS clock
    FROM subscriber_events
    WHERE {shop:String} IN ('', shop_id)
        AND forwarded_from = ''
        AND (type != 'subscriber.purchased' OR event_id NOT IN
        (
            SELECT substring(lower(hex(SHA256(concat('purchase', char(31), event_id)))), 1, 32)
            FROM order_events
            WHERE type = 'order.placed'
        ))
)
ORDER BY clock, source, kafka_partition, kafka_offset
SETTINGS max_bytes_before_external_sort = 1000000000
