-- A plan whose message left more than once. Two records of one id are seen until ClickHouse has merged them.
SELECT shop_id, plan_id AS id, concat('left ', toString(departures), ' times') AS words
FROM ({plans})
WHERE departures > 1
ORDER BY shop_id, id
