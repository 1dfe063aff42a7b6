-- A plan with more than one end.
SELECT shop_id, plan_id AS id, concat('ended as ', arrayStringConcat(endings, ' and as ')) AS words
FROM ({plans})
WHERE length(endings) > 1
ORDER BY shop_id, id
