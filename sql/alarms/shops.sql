-- The shops that had a checkout or an order in the time that is looked at.
SELECT DISTINCT shop_id
FROM checkout_steps_log
WHERE occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
ORDER BY shop_id
