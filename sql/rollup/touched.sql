-- The abandonments that new records of `topic` (its name without the prefix) speak of: those on one partition with offsets from
-- `first` up to, not including, `last`.
--
-- A match that was taken back may change every abandonment of the cart. A message names its cart, and so is found by the record
-- that told whose the cart is: should that one come later, the abandonment is computed then.
WITH
    ({first:UInt64}, {last:UInt64}) AS bounds
SELECT DISTINCT shop_id, cart_id, abandonment_id, toUnixTimestamp64Milli(abandoned_at) AS at
FROM cart_outcomes_log
WHERE {topic:String} = 'cart-outcomes' AND abandonment_id != ''
    AND kafka_partition = {partition:UInt16} AND kafka_offset >= bounds.1 AND kafka_offset < bounds.2
UNION DISTINCT
SELECT DISTINCT shop_id, cart_id, abandonment_id, toUnixTimestamp64Milli(abandoned_at) AS at
FROM subscriber_carts_log
WHERE abandonment_id != ''
    AND ({topic:String} = 'subscriber-carts' AND (shop_id, cart_id) IN
        (
            SELECT shop_id, cart_id
            FROM subscriber_carts_log
            WHERE {topic:String} = 'subscriber-carts'
                AND kafka_partition = {partition:UInt16} AND kafka_offset >= {first:UInt64} AND kafka_offset < {last:UInt64}
        )
        OR {topic:String} = 'messages' AND (shop_id, cart_id, abandonment_id) IN
        (
            SELECT shop_id, cart_id, abandonment_id
            FROM messages_log
            WHERE {topic:String} = 'messages' AND abandonment_id != ''
                AND kafka_partition = {partition:UInt16} AND kafka_offset >= {first:UInt64} AND kafka_offset < {last:UInt64}
        ))
