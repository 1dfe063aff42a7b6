-- A message beyond the cap of its shop for one person and channel within 24 hours, by the rules that held then.
SELECT shop_id, plan_id AS id,
    concat('is message ', toString(number), ' to ', subscriber_id, ' by ', channel, ' within 24 hours; the cap is ',
        toString(most)) AS words
FROM
(
    SELECT
        p.shop_id AS shop_id, p.plan_id AS plan_id, p.subscriber_id AS subscriber_id, p.channel AS channel,
        p.left_at AS left_at,
        greatest(rules.cap, 1) AS most,
        count() OVER (PARTITION BY shop_id, subscriber_id, channel ORDER BY toUnixTimestamp64Milli(left_at)
            RANGE BETWEEN 86399999 PRECEDING AND CURRENT ROW) AS number
    FROM
    (
        SELECT shop_id, plan_id, subscriber_id, channel, assumeNotNull(left_at) AS left_at
        FROM plans
        WHERE left_at IS NOT NULL AND ({shop:String} = '' OR shop_id = {shop:String})
    ) AS p
    ASOF LEFT JOIN
    (
        SELECT shop_id, received_at, JSONExtractUInt(value, 'cap') AS cap
        FROM settings_log
        WHERE name = 'reminders'
    ) AS rules ON p.shop_id = rules.shop_id AND p.left_at >= rules.received_at
)
WHERE number > most
    AND left_at >= toDateTime64({from:Date32}, 3, 'UTC')
    AND left_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
ORDER BY shop_id, id
