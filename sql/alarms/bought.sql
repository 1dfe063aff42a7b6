-- Carts that came to an end in a window, by their last activity: left or bought, and those that were bought.
--
-- Windows begin at `starts`, the earliest first, and all end at `until`; there is a number for each. The last activity
-- of an abandonment was `idle` milliseconds before `abandoned_at`; one that was withdrawn was none. A cart that was left
-- and bought later counts as both, each in its own time.
WITH
    ended AS
    (
        SELECT toUnixTimestamp64Milli(any(abandoned_at)) - {idle:Int64} AS at, false AS is_bought
        FROM cart_outcomes_log
        WHERE shop_id = {shop:String} AND type IN ('cart.abandoned', 'cart.withdrawn')
            AND abandoned_at >= fromUnixTimestamp64Milli({from:Int64} + {idle:Int64}, 'UTC')
            AND abandoned_at < fromUnixTimestamp64Milli({until:Int64} + {idle:Int64}, 'UTC')
        GROUP BY abandonment_id
        HAVING countIf(type = 'cart.withdrawn') = 0
        UNION ALL
        SELECT toUnixTimestamp64Milli(occurred_at) AS at, true AS is_bought
        FROM checkout_steps_log
        WHERE shop_id = {shop:String} AND step = 'order'
            AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
            AND occurred_at < fromUnixTimestamp64Milli({until:Int64}, 'UTC')
        GROUP BY cart, occurred_at
    )
SELECT
    sumForEach(arrayMap(start -> toUInt64(at >= start), {starts:Array(Int64)})) AS of,
    sumForEach(arrayMap(start -> toUInt64(at >= start AND is_bought), {starts:Array(Int64)})) AS passed
FROM ended
