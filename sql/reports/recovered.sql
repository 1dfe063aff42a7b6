-- title: What reminders brought back
-- description: Messages that were sent, and the orders they led to, on the day (UTC) the cart they were about counted as
--   left. Strictly: the order is made of the cart that the message's link was clicked for before, or with the code of its
--   offer. In the window: the person clicked a message and ordered anything within 5 days after, or what the shop's
--   `attribution` says. Both are shown and overlap, so do not add them up. An order counts once, with the message of its
--   code, else with the last one clicked. Values are what is left after refunds; an order of which nothing is left does
--   not count. All is computed when it is asked for: late orders, refunds and a changed `attribution` amend past days.
--   The holdout are carts nobody was written to, to compare with: how many were bought after all anyway. Its figures are
--   those of the day, shop and currency, repeated in each of their rows. Clicks of machines do not count. The denominators
--   of the shares are `carts` and `holdout`.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: strict_value by step, channel, variant for each currency
-- column day: the day, UTC, the cart counted as left
-- column shop_id: the shop
-- column currency: ISO 4217, of the cart for messages and of the order for orders; empty when the shop never said one
-- column step: step of the shop's rules; 0 for what staff sent by hand
-- column channel: email, sms or push
-- column variant: form of the step; empty when it has one only
-- column carts: carts written to
-- column sent: messages that left or may have left
-- column clicked: of them, those a person clicked
-- column strict_orders: orders strictly
-- column strict_value: what they came to
-- column window_orders: orders in the window
-- column window_value: what they came to
-- column bought: of the carts written to, those that were bought after all, for whatever reason
-- column bought_percent: their share
-- column holdout: carts nobody was written to, to compare with
-- column holdout_bought: of them, those that were bought after all
-- column holdout_percent: their share
WITH
    abandoned AS
    (
        SELECT shop_id, abandonment_id, toDate(abandoned_at, 'UTC') AS day, currency, state = 'recovered' AS bought
        FROM abandonments
        WHERE abandoned_at >= toDateTime64({from:Date32}, 3, 'UTC')
            AND abandoned_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
            AND ({shop:String} = '' OR shop_id = {shop:String})
    ),
    figures AS
    (
        SELECT
            a.day AS day, a.shop_id AS shop_id, toString(a.currency) AS currency, m.step AS step,
            m.channel AS channel, m.variant AS variant,
            uniqExact(a.abandonment_id) AS carts,
            count() AS sent,
            countIf(m.clicked_at IS NOT NULL) AS clicked,
            uniqExactIf(a.abandonment_id, a.bought) AS bought,
            toUInt64(0) AS strict_orders, toDecimal128(0, 6) AS strict_value,
            toUInt64(0) AS window_orders, toDecimal128(0, 6) AS window_value
        FROM sent_messages AS m
        INNER JOIN abandoned AS a ON m.shop_id = a.shop_id AND m.abandonment_id = a.abandonment_id
        WHERE m.status IN ('sent', 'uncertain')
        GROUP BY day, shop_id, currency, step, channel, variant
        UNION ALL
        SELECT
            a.day, a.shop_id, r.currency, r.step, r.channel, r.variant,
            0, 0, 0, 0,
            countIf(r.strictly), toDecimal128(sumIf(r.net, r.strictly), 6),
            countIf(r.in_window), toDecimal128(sumIf(r.net, r.in_window), 6)
        FROM recoveries AS r
        INNER JOIN abandoned AS a ON r.shop_id = a.shop_id AND r.abandonment_id = a.abandonment_id
        WHERE r.net > 0
        GROUP BY a.day, a.shop_id, r.currency, r.step, r.channel, r.variant
    ),
    held_out AS
    (
        SELECT
            a.day AS day, a.shop_id AS shop_id, toString(a.currency) AS currency,
            uniqExact(a.abandonment_id) AS carts,
            uniqExactIf(a.abandonment_id, a.bought) AS bought
        FROM plans AS p
        INNER JOIN abandoned AS a ON p.shop_id = a.shop_id AND p.abandonment_id = a.abandonment_id
        WHERE p.ending = 'suppressed' AND p.reason = 'holdout'
        GROUP BY day, shop_id, currency
    )
SELECT
    f.day AS day,
    f.shop_id AS shop_id,
    f.currency AS currency,
    f.step AS step,
    f.channel AS channel,
    f.variant AS variant,
    sum(f.carts) AS carts,
    sum(f.sent) AS sent,
    sum(f.clicked) AS clicked,
    sum(f.strict_orders) AS strict_orders,
    sum(f.strict_value) AS strict_value,
    sum(f.window_orders) AS window_orders,
    sum(f.window_value) AS window_value,
    sum(f.bought) AS bought,
    if(carts = 0, NULL, toDecimal64(round(100 * bought / carts, 1), 1)) AS bought_percent,
    any(h.carts) AS holdout,
    any(h.bought) AS holdout_bought,
    if(holdout = 0, NULL, toDecimal64(round(100 * holdout_bought / holdout, 1), 1)) AS holdout_percent
FROM figures AS f
LEFT JOIN held_out AS h ON f.day = h.day AND f.shop_id = h.shop_id AND f.currency = h.currency
GROUP BY day, shop_id, currency, step, channel, variant
ORDER BY day, shop_id, currency, step, channel, variant
