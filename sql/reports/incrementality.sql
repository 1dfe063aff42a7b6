-- title: What reminders add, against the holdout
-- description: Some carts are left out by chance (`holdout` of the shop's rules), to compare those that are written about
--   with: the share whose person bought within some days. The difference is what reminders add. The denominator of the one
--   share is `carts`, abandonments that the rules were applied to, whether or not a message left in the end, since as many
--   of the holdout would have been refused; that of the other is `holdout`. Bought is an order, with anything left after
--   refunds, by the cart's person or of the cart itself, after the deadline and within `window` days. The interval is
--   Newcombe's for a difference of two proportions (his method 10, of two Wilson intervals, 95 %): it stays within what is
--   possible and holds for small groups and shares near 0, where the usual one of textbooks does not. With fewer than 100
--   carts in a group, or fewer than 10 that were bought, there is not enough data, and no interval is given. Somebody with
--   several carts may be in both groups, which makes the difference look smaller than it is, and the interval somewhat
--   too narrow. Values have no interval: a few large orders decide them.
-- parameter from: first day, UTC, the carts counted as left
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- parameter window (1 to 90, 7): days after the deadline within which an order counts
-- chart bar: difference_points by shop_id, currency
-- column shop_id: the shop
-- column currency: ISO 4217, of the carts; values are of orders in it alone
-- column carts: carts that were to be written about
-- column bought: of them, those whose person bought
-- column bought_percent: their share
-- column holdout: carts of the holdout
-- column holdout_bought: of them, those whose person bought
-- column holdout_percent: their share
-- column difference_points: bought_percent less holdout_percent, in percentage points
-- column low_points: lower end of the interval
-- column high_points: upper end
-- column extra_orders: orders there would not have been: the difference times carts
-- column extra_low: the same of the lower end
-- column extra_high: the same of the upper end
-- column value_per_cart: what the orders came to after refunds, by carts
-- column holdout_value_per_cart: the same of the holdout
-- column verdict: not enough data, more orders, fewer orders, or no difference shown
WITH
    1.959963984540054 AS z,
    ((x, n) -> (x + z * z / 2) / (n + z * z)) AS middle,
    ((x, n) -> z * sqrt(x * (n - x) / n + z * z / 4) / (n + z * z)) AS around,
    drawn AS
    (
        SELECT shop_id, abandonment_id, countIf(ending = 'suppressed' AND reason = 'holdout') > 0 AS is_held_out
        FROM plans
        WHERE abandonment_id != '' AND request_id = '' AND reason NOT IN ('disabled', 'no_rules', 'before_rules')
            AND (planned_at IS NOT NULL OR held != '' OR notEmpty(endings))
        GROUP BY shop_id, abandonment_id
    ),
    taken AS
    (
        SELECT a.shop_id AS shop_id, a.abandonment_id AS abandonment_id, a.cart_id AS cart_id,
            a.subscriber_id AS subscriber_id, a.abandoned_at AS at, toString(a.currency) AS currency, d.is_held_out AS is_held_out
        FROM abandonments AS a
        INNER JOIN drawn AS d ON a.shop_id = d.shop_id AND a.abandonment_id = d.abandonment_id
        WHERE a.state != 'withdrawn'
            AND a.abandoned_at >= toDateTime64({from:Date32}, 3, 'UTC')
            AND a.abandoned_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
            AND ({shop:String} = '' OR a.shop_id = {shop:String})
    ),
    paid AS
    (
        SELECT shop_id, order_id, ordered_at, cart_id, subscriber_id, currency, net
        FROM orders
        WHERE net > 0 AND ({shop:String} = '' OR shop_id = {shop:String})
    ),
    -- an order that is both the person's and of the cart is found twice and counted once
    found AS
    (
        SELECT t.shop_id AS shop_id, t.abandonment_id AS abandonment_id, o.order_id AS order_id,
            if(o.currency = t.currency, o.net, 0) AS net
        FROM taken AS t
        INNER JOIN paid AS o ON t.shop_id = o.shop_id AND t.subscriber_id = o.subscriber_id
        WHERE t.subscriber_id != '' AND o.ordered_at >= t.at AND o.ordered_at < t.at + toIntervalDay({window:UInt32})
        UNION DISTINCT
        SELECT t.shop_id, t.abandonment_id, o.order_id, if(o.currency = t.currency, o.net, 0)
        FROM taken AS t
        INNER JOIN paid AS o ON t.shop_id = o.shop_id AND t.cart_id = o.cart_id
        WHERE o.ordered_at >= t.at AND o.ordered_at < t.at + toIntervalDay({window:UInt32})
    ),
    brought AS
    (
        SELECT shop_id, abandonment_id, sum(net) AS net FROM found GROUP BY shop_id, abandonment_id
    ),
    groups AS
    (
        SELECT
            t.shop_id AS shop_id, t.currency AS currency,
            countIf(NOT is_held_out) AS n, countIf(NOT is_held_out AND b.abandonment_id != '') AS x,
            countIf(is_held_out) AS m, countIf(is_held_out AND b.abandonment_id != '') AS y,
            sumIf(b.net, NOT is_held_out) AS net, sumIf(b.net, is_held_out) AS held_net
        FROM taken AS t
        LEFT JOIN brought AS b ON t.shop_id = b.shop_id AND t.abandonment_id = b.abandonment_id
        GROUP BY shop_id, currency
    )
SELECT
    shop_id,
    currency,
    n AS carts,
    x AS bought,
    if(n = 0, NULL, toDecimal64(round(100 * x / n, 1), 1)) AS bought_percent,
    m AS holdout,
    y AS holdout_bought,
    if(m = 0, NULL, toDecimal64(round(100 * y / m, 1), 1)) AS holdout_percent,
    if(n = 0 OR m = 0, NULL, toDecimal64(round(100 * (x / n - y / m), 2), 2)) AS difference_points,
    if(is_enough, toDecimal64(round(100 * low, 2), 2), NULL) AS low_points,
    if(is_enough, toDecimal64(round(100 * high, 2), 2), NULL) AS high_points,
    if(n = 0 OR m = 0, NULL, toDecimal64(round(n * (x / n - y / m), 1), 1)) AS extra_orders,
    if(is_enough, toDecimal64(round(n * low, 1), 1), NULL) AS extra_low,
    if(is_enough, toDecimal64(round(n * high, 1), 1), NULL) AS extra_high,
    if(n = 0, NULL, toDecimal128(round(toFloat64(net) / n, 2), 2)) AS value_per_cart,
    if(m = 0, NULL, toDecimal128(round(toFloat64(held_net) / m, 2), 2)) AS holdout_value_per_cart,
    multiIf(NOT is_enough, 'not enough data', low > 0, 'more orders', high < 0, 'fewer orders', 'no difference shown') AS verdict
FROM
(
    SELECT
        *,
        n >= 100 AND m >= 100 AND x + y >= 10 AS is_enough,
        x / n AS p, y / m AS q,
        p - q - sqrt(pow(p - (middle(x, n) - around(x, n)), 2) + pow(middle(y, m) + around(y, m) - q, 2)) AS low,
        p - q + sqrt(pow(middle(x, n) + around(x, n) - p, 2) + pow(q - (middle(y, m) - around(y, m)), 2)) AS high
    FROM groups
)
ORDER BY shop_id, currency
