-- An end, or a message that left, that no plan was said for.
SELECT shop_id, plan_id AS id, concat('is ', standing, ' and was never planned') AS words
FROM ({plans})
WHERE planned_at IS NULL AND standing != 'open'
ORDER BY shop_id, id
