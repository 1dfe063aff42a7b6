-- Carts that reached a step of the checkout for the first time in a window, and those of them that went on in time.
--
-- Windows begin at `starts`, the earliest first, and all end at `until`. `of` and `passed` have a number for each.
-- To go on is to reach any later step, or to order, within `within` milliseconds. Steps come in the order of STEPS.
WITH
    ['contact', 'address', 'shipping', 'payment', 'review', 'order'] AS steps,
    carts AS
    (
        SELECT cart, arraySort(groupArray((toUnixTimestamp64Milli(occurred_at), indexOf(steps, step)))) AS moments
        FROM checkout_steps_log
        WHERE shop_id = {shop:String}
            AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
            AND occurred_at <= fromUnixTimestamp64Milli({until:Int64} + {within:Int64}, 'UTC')
        GROUP BY cart
    ),
    reached AS
    (
        SELECT
            number,
            arrayFirst(x -> x.2 = number, moments).1 AS at,
            arrayExists(x -> x.2 > number AND x.1 >= at AND x.1 <= at + {within:Int64}, moments) AS went_on
        FROM carts
        ARRAY JOIN [1, 2, 3, 4, 5] AS number
        WHERE at > 0 AND at < {until:Int64}
    )
SELECT
    steps[number] AS step,
    sumForEach(arrayMap(start -> toUInt64(at >= start), {starts:Array(Int64)})) AS of,
    sumForEach(arrayMap(start -> toUInt64(at >= start AND went_on), {starts:Array(Int64)})) AS passed
FROM reached
GROUP BY number
ORDER BY number
