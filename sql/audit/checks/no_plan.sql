-- An abandonment with a person, and no plan to write to that person about it.
--
-- Stage 3 has ten minutes; for a person whose mailbox is not known it holds the cart for seven days.
SELECT a.shop_id AS shop_id, a.abandonment_id AS id,
    concat('the abandoned cart ', a.cart_id, ' of ', a.subscriber_id, ' has no plan') AS words
FROM abandonments AS a
LEFT JOIN
(
    SELECT DISTINCT shop_id, abandonment_id, subscriber_id
    FROM plans
    WHERE abandonment_id != ''
) AS p ON a.shop_id = p.shop_id AND a.abandonment_id = p.abandonment_id AND a.subscriber_id = p.subscriber_id
LEFT JOIN
(
    SELECT shop_id, abandonment_id, max(received_at) AS at
    FROM subscriber_carts_log
    WHERE type = 'cart.abandoned'
    GROUP BY shop_id, abandonment_id
) AS matched ON a.shop_id = matched.shop_id AND a.abandonment_id = matched.abandonment_id
WHERE a.subscriber_id != ''
    AND p.abandonment_id = ''
    AND matched.at < fromUnixTimestamp64Milli({now:Int64}, 'UTC') - INTERVAL 10 MINUTE
        - toIntervalDay(if(match(a.subscriber_id, '^p-[0-9a-f]{24}$'), 0, 7))
    AND ({shop:String} = '' OR a.shop_id = {shop:String})
    AND a.abandoned_at >= toDateTime64({from:Date32}, 3, 'UTC')
    AND a.abandoned_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
ORDER BY shop_id, id
