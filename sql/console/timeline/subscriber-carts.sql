-- Whose one cart was said to be.
SELECT occurred_at AS at, type, record_id AS id, raw
FROM subscriber_carts_log
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String} AND cart_id = {cart_id:String}
ORDER BY kafka_offset DESC
LIMIT 1 BY record_id
LIMIT {most:UInt32}
SETTINGS max_threads = 1, compile_expressions = 0
