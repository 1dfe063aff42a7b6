-- title: Time to return
-- description: How long after a cart counted as left somebody came back to it: touched it, took it along into another cart
--   at the log-in, or bought it. Counted from the deadline, as the steps of reminders are. The denominator is carts that
--   were left, each time once, on the day (UTC) of the deadline; withdrawn ones are not counted. Those nobody came back to
--   so far are in the last row, so the newest days still change.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: carts by within
-- column number: place of the row
-- column within: after at most that time, and more than the row before
-- column carts: carts that were come back to
-- column percent: their share of all that were left
-- column so_far_percent: the same with the rows before added
-- column bought: of them, those that were bought after all, then or later
WITH
    [900, 3600, 10800, 21600, 43200, 86400, 172800, 259200, 604800] AS limits,
    ['15 minutes', '1 hour', '3 hours', '6 hours', '12 hours', '1 day', '2 days', '3 days', '7 days', 'longer',
        'not yet'] AS words,
    returned AS
    (
        SELECT shop_id, abandonment_id, min(occurred_at) AS at
        FROM cart_outcomes_log
        WHERE type IN ('cart.reactivated', 'cart.recovered') AND abandonment_id != ''
            AND ({shop:String} = '' OR shop_id = {shop:String})
        GROUP BY shop_id, abandonment_id
    ),
    seen AS
    (
        SELECT
            a.state = 'recovered' AS is_bought,
            arrayFirstIndex(x -> dateDiff('millisecond', a.abandoned_at, r.at) <= x * 1000, limits) AS place,
            multiIf(r.abandonment_id = '', 11, place = 0, 10, place) AS row_number
        FROM abandonments AS a
        LEFT JOIN returned AS r ON a.shop_id = r.shop_id AND a.abandonment_id = r.abandonment_id
        WHERE a.state != 'withdrawn'
            AND a.abandoned_at >= toDateTime64({from:Date32}, 3, 'UTC')
            AND a.abandoned_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
            AND ({shop:String} = '' OR a.shop_id = {shop:String})
    )
SELECT
    place_in_list AS number,
    words[number] AS within,
    countIf(row_number = place_in_list) AS carts,
    toDecimal64(round(100 * carts / count(), 1), 1) AS percent,
    if(number = 11, NULL, toDecimal64(round(100 * countIf(row_number <= place_in_list) / count(), 1), 1)) AS so_far_percent,
    countIf(row_number = place_in_list AND is_bought) AS bought
FROM seen
ARRAY JOIN range(1, 12) AS place_in_list
GROUP BY place_in_list
ORDER BY number
