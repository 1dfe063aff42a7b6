-- What happened around one abandonment, in order of time: its cart, its device and its person while the cart was
-- open, what was concluded, and what was written. At most 2,000 entries, the newest ones. Nothing of a cart arrives before
-- `since` (epoch milliseconds), so older parts need not be looked at.
--
-- The logs are read, each id once, as their views would: FINAL would first put whole pieces of the tables together, with all
-- their columns.
WITH
    cart AS
    (
        SELECT DISTINCT device_id
        FROM cart_events_log
        WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String} AND cart_id = {cart_id:String} AND device_id != ''
    )
SELECT at, source, type, id, raw
FROM
(
    SELECT occurred_at AS at, 'cart-events' AS source, toString(type) AS type, event_id AS id, record AS raw
    FROM cart_events_log
    WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String} AND cart_id = {cart_id:String}
    ORDER BY seniority DESC
    LIMIT 1 BY event_id
    UNION ALL
    SELECT occurred_at, 'device-events', toString(type), event_id, raw
    FROM device_events_log
    WHERE shop_id = {shop_id:String} AND device_id IN (SELECT device_id FROM cart)
    ORDER BY seniority DESC
    LIMIT 1 BY device_id, event_id
    UNION ALL
    SELECT occurred_at, 'cart-outcomes', toString(type), outcome_id, raw
    FROM cart_outcomes_log
    WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String} AND cart_id = {cart_id:String}
    ORDER BY kafka_offset DESC
    LIMIT 1 BY outcome_id
    UNION ALL
    SELECT occurred_at, 'subscriber-carts', toString(type), record_id, raw
    FROM subscriber_carts_log
    WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String} AND cart_id = {cart_id:String}
    ORDER BY kafka_offset DESC
    LIMIT 1 BY record_id
    UNION ALL
    SELECT occurred_at, 'messages', toString(type), message_id, raw
    FROM messages_log
    WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String}
        AND plan_id IN
        (
            SELECT plan_id
            FROM messages_log
            WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String}
                AND abandonment_id = {abandonment_id:String}
        )
    ORDER BY kafka_offset DESC
    LIMIT 1 BY message_id
)
ORDER BY at DESC, source DESC, id DESC
LIMIT 2000
