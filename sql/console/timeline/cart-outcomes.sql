-- What was concluded of one cart.
SELECT occurred_at AS at, type, outcome_id AS id, raw
FROM cart_outcomes_log
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String} AND cart_id = {cart_id:String}
ORDER BY kafka_offset DESC
LIMIT 1 BY outcome_id
LIMIT {most:UInt32}
SETTINGS max_threads = 1, compile_expressions = 0
