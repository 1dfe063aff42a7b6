-- A plan about an abandonment that there was none of.
SELECT shop_id, plan_id AS id, concat('is about the abandonment ', abandonment_id, ', which is not known') AS words
FROM ({plans})
WHERE abandonment_id != '' AND NOT is_known
ORDER BY shop_id, id
