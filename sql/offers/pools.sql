-- How many codes each pool has, of all shops when `shop` is empty.
SELECT
    shop_id,
    pool,
    count() AS total,
    countIf(given_at IS NOT NULL) AS given,
    countIf(given_at IS NULL) AS free
FROM offer_codes
WHERE {shop:String} = '' OR shop_id = {shop:String}
GROUP BY shop_id, pool
ORDER BY shop_id, pool
