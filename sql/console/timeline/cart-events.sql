-- What happened in one cart: at most `most` events, the newest ones. Nothing of a cart arrives before `since` (epoch
-- milliseconds), so older parts need not be looked at.
--
-- Here and beside this the logs are read, each id once, as their views would: FINAL would first put whole pieces of the tables
-- together, with all their columns. One table a statement: they are planned and read at once.
SELECT *
FROM
(
    SELECT occurred_at AS at, type, event_id AS id, record AS raw, device_id
    FROM cart_events_log
    WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String} AND cart_id = {cart_id:String}
    ORDER BY seniority DESC
    LIMIT 1 BY event_id
)
ORDER BY at DESC, id DESC
LIMIT {most:UInt32}
SETTINGS max_threads = 1, compile_expressions = 0
