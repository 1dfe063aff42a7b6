-- For each product up to four that were bought with it, those of the products sold most often first.
--
-- A basket is an order with at most 50 products (larger ones are resellers'); orders with one product count for how
-- often that is bought. Two products are together when at least three baskets say so.
--
--   expected = baskets with a × baskets with b ÷ all baskets: how often they would meet by chance
--   lift     = together ÷ expected
--   score    = together ÷ (expected + 5)
--
-- Lift alone puts first what was bought twice in all and both times together; counting alone puts the best-seller beside
-- everything. The five coincidences added below do away with the first (three meetings of rare things score 0.6 at most,
-- fifty where two were expected score 7), and dividing by what was expected with the second: a best-seller meets
-- everything as often as expected, so its lift is about 1, and at least 1.5 is asked for.
--
-- Proposed is only what can be shown (a name and an address) and has been bought within 30 days: what nobody buys
-- any more may be gone from the shop.
WITH
    orders AS
    (
        SELECT occurred_at, items, arrayDistinct(arrayFilter(x -> x != '',
            arrayMap(x -> JSONExtractString(x, 'sku'), JSONExtractArrayRaw(items)))) AS skus
        FROM cart_outcomes
        WHERE shop_id = {shop:String} AND type = 'cart.completed'
            AND occurred_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
            AND occurred_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
    ),
    baskets AS (SELECT occurred_at, skus FROM orders WHERE length(skus) BETWEEN 1 AND {most_lines:UInt32}),
    bought AS
    (
        SELECT sku, count() AS n, max(occurred_at) AS last_at
        FROM baskets ARRAY JOIN skus AS sku
        GROUP BY sku
    ),
    pairs AS
    (
        SELECT pair.1 AS sku, pair.2 AS other, count() AS together
        FROM
        (
            SELECT arrayJoin(arrayFlatten(arrayMap(x -> arrayMap(y -> (x, y), arrayFilter(z -> z != x, skus)), skus))) AS pair
            FROM baskets
        )
        GROUP BY sku, other
        HAVING together >= {least:UInt32}
    ),
    facts AS
    (
        SELECT
            JSONExtractString(line, 'sku') AS sku,
            argMaxIf(JSONExtractString(line, 'name'), occurred_at, JSONExtractString(line, 'name') != '') AS name,
            argMaxIf(JSONExtractString(line, 'url'), occurred_at, JSONExtractString(line, 'url') != '') AS url,
            argMaxIf(JSONExtractString(line, 'image'), occurred_at, JSONExtractString(line, 'image') != '') AS image
        FROM orders ARRAY JOIN JSONExtractArrayRaw(items) AS line
        GROUP BY sku
    )
SELECT
    pairs.sku AS sku,
    pairs.other AS other,
    facts.name AS name,
    facts.url AS url,
    facts.image AS image,
    pairs.together AS together,
    a.n * b.n / (SELECT count() FROM baskets) AS expected,
    together / expected AS lift,
    together / (expected + 5) AS score
FROM pairs
INNER JOIN bought AS a ON a.sku = pairs.sku
INNER JOIN bought AS b ON b.sku = pairs.other
INNER JOIN facts ON facts.sku = pairs.other
WHERE lift >= 1.5
    AND facts.name != '' AND facts.url != ''
    AND b.last_at >= fromUnixTimestamp64Milli({to:Int64}, 'UTC') - toIntervalDay({fresh_days:UInt32})
ORDER BY a.n DESC, sku, score DESC, together DESC, other
LIMIT 4 BY sku
