-- How many abandonments there were, with a person, and with a plan.
SELECT
    count() AS abandonments,
    countIf(subscriber_id != '') AS with_a_person,
    countIf((shop_id, abandonment_id) IN (SELECT shop_id, abandonment_id FROM plans)) AS with_a_plan
FROM abandonments
WHERE ({shop:String} = '' OR shop_id = {shop:String})
    AND abandoned_at >= toDateTime64({from:Date32}, 3, 'UTC')
    AND abandoned_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
