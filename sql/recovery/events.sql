-- The events of one cart as they came, for folding by the rules of stage 1. Repeats of an id that the engine has not
-- merged yet are left in: the rules know them. One more than is allowed says that there are too many.
SELECT
    record AS raw,
    kafka_partition,
    kafka_offset,
    toUnixTimestamp64Milli(received_at) AS received_at_ms
FROM cart_events_log
WHERE shop_id = {shop:String} AND cart_id = {cart:String}
ORDER BY received_at_ms, kafka_offset
LIMIT {most:UInt32}
