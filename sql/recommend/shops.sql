-- The shops that sold something in the time that is looked at.
SELECT DISTINCT shop_id
FROM cart_outcomes_log
WHERE type = 'cart.completed'
    AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
ORDER BY shop_id
