-- title: Why people were not written to
-- description: Plans that ended without a message, by reason. The denominator of `percent` is all plans of the shop and
--   channel, those that were sent too. A plan counts on the day (UTC) it was made. Somebody with several carts, steps or
--   channels has several plans, so these are no people. Order notices are left out.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: plans by ending, reason for each channel
-- column shop_id: the shop
-- column channel: email, sms or push
-- column ending: suppressed, recovered, expired or failed
-- column reason: why, in one word
-- column words: the reason as a sentence, of the newest one
-- column plans: plans that ended so
-- column percent: their share of all plans of the shop and channel
SELECT
    shop_id,
    channel,
    ending,
    reason,
    argMax(said, ended_at) AS words,
    count() AS plans,
    toDecimal64(round(100 * plans / any(all_plans), 1), 1) AS percent
FROM
(
    SELECT p.shop_id AS shop_id, p.channel AS channel, p.ending AS ending, p.reason AS reason, p.ended_at AS ended_at,
        m.words AS said, count() OVER (PARTITION BY p.shop_id, p.channel) AS all_plans
    FROM plans AS p
    INNER JOIN sent_messages AS m ON p.shop_id = m.shop_id AND p.plan_id = m.plan_id
    WHERE (p.planned_at IS NOT NULL OR p.held != '' OR notEmpty(p.endings))
        AND ifNull(p.planned_at, p.said_at) >= toDateTime64({from:Date32}, 3, 'UTC')
        AND ifNull(p.planned_at, p.said_at) < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
        AND ({shop:String} = '' OR p.shop_id = {shop:String})
)
WHERE ending IN ('suppressed', 'recovered', 'expired', 'failed')
GROUP BY shop_id, channel, ending, reason
ORDER BY plans DESC, shop_id, channel, ending, reason
