-- A plan that has been due for more than ten minutes, waits for nothing that was said, and has no end.
SELECT shop_id, plan_id AS id, concat('has been due since ', toString(due), ' UTC and has no end') AS words
FROM ({plans})
WHERE standing = 'overdue'
ORDER BY shop_id, id
