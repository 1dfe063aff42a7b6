-- Every plan about an abandonment of the days asked for, and those about none that were made then: how it stands.
-- Order notices are no plans: nothing was said of them that is said of a plan.
--
-- `standing` is its ending; or open, with why: not due yet, or what it was held for; or overdue. A plan that waits is
-- looked at again and again without a word, so it is open until it would expire, by the rules that held when it was
-- made.
SELECT
    p.shop_id AS shop_id, p.plan_id AS plan_id, p.subscriber_id AS subscriber_id, p.channel AS channel,
    p.abandonment_id AS abandonment_id, p.planned_at AS planned_at, p.endings AS endings, p.departures AS departures,
    p.left_at AS left_at, a.last_activity AS last_activity, a.abandonment_id != '' AS is_known,
    ifNull(p.due_at, ifNull(p.planned_at, p.said_at)) AS due,
    fromUnixTimestamp64Milli({now:Int64}, 'UTC') - INTERVAL 10 MINUTE AS settled,
    due + toIntervalSecond(if(rules.expiry = 0, 259200, rules.expiry)) AS expires_at,
    multiIf(
        p.ending != '', p.ending,
        due > settled OR p.said_at > settled OR p.held != '' AND expires_at > settled, 'open',
        'overdue') AS standing,
    if(p.ending != '', p.reason, if(p.held != '', p.held, 'not due yet')) AS reason
FROM plans AS p
LEFT JOIN
(
    SELECT
        shop_id, abandonment_id,
        argMax(abandoned_at, revision) AS abandoned_at, argMax(last_activity, revision) AS last_activity
    FROM cart_outcomes_log
    WHERE type = 'cart.abandoned' AND abandonment_id != '' AND ({shop:String} = '' OR shop_id = {shop:String})
    GROUP BY shop_id, abandonment_id
) AS a ON p.shop_id = a.shop_id AND p.abandonment_id = a.abandonment_id
ASOF LEFT JOIN
(
    SELECT
        shop_id, received_at,
        JSONExtractString(value, 'expiry') AS said,
        toUInt32OrZero(extract(said, '^[0-9]+'))
            * transform(right(said, 1), ['s', 'm', 'h', 'd'], [1, 60, 3600, 86400], 0) AS expiry
    FROM settings_log
    WHERE name = 'reminders'
) AS rules ON p.shop_id = rules.shop_id AND p.said_at >= rules.received_at
WHERE ({shop:String} = '' OR p.shop_id = {shop:String})
    AND (p.planned_at IS NOT NULL OR p.held != '' OR notEmpty(p.endings))
    AND if(is_known, a.abandoned_at, ifNull(p.planned_at, p.said_at)) >= toDateTime64({from:Date32}, 3, 'UTC')
    AND if(is_known, a.abandoned_at, ifNull(p.planned_at, p.said_at)) < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
