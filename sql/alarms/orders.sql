-- Orders in windows that begin at `starts`, the earliest first, and all end at `until`: a number for each.
SELECT sumForEach(arrayMap(start -> toUInt64(at >= start), {starts:Array(Int64)})) AS orders
FROM
(
    SELECT cart, toUnixTimestamp64Milli(occurred_at) AS at
    FROM checkout_steps_log
    WHERE shop_id = {shop:String} AND step = 'order'
        AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
        AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
    GROUP BY cart, occurred_at
)
