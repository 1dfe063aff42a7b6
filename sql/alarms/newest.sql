-- When a shop's newest step or order happened, and how late its events come: 19 of 20 are here within `late`
-- milliseconds. Without any both are 0.
SELECT
    toUnixTimestamp64Milli(max(occurred_at)) AS newest,
    ifNull(toInt64(quantileOrNull(0.95)(greatest(dateDiff('millisecond', occurred_at, received_at), 0))), 0) AS late
FROM checkout_steps_log
WHERE shop_id = {shop:String}
    AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
    AND occurred_at <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')
