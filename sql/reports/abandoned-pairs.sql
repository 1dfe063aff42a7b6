-- title: Products abandoned together
-- description: Pairs of products that lay in one cart when it was left. The denominators are carts of the shop that were
--   left: all of them, and those with the one or the other product. `lift` compares: 1 is what chance would do, 2 is twice
--   as often. A cart counts on the day (UTC) of its deadline, once for each time it was left; withdrawn abandonments are
--   not counted. Carts with more than 50 different products are left out everywhere here: they say little about two of
--   them.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- parameter top (1 to 10000, 100): at most so many pairs, the most frequent first
-- chart bar: abandonments by sku, with_sku
-- column shop_id: the shop
-- column sku: one product
-- column name: its name when it was last left
-- column with_sku: the other one
-- column with_name: its name
-- column abandonments: times a cart with both was left
-- column percent: of the carts with the one, those with both
-- column with_percent: of the carts with the other, those with both
-- column lift: how many times as often as if one had nothing to do with the other
WITH
    held AS
    (
        SELECT
            shop_id, abandoned_at,
            JSONExtract(items, 'Array(Tuple(sku String, name String))') AS lines,
            arraySort(arrayDistinct(lines.sku)) AS skus
        FROM abandonments
        WHERE state != 'withdrawn'
            AND abandoned_at >= toDateTime64({from:Date32}, 3, 'UTC')
            AND abandoned_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
            AND ({shop:String} = '' OR shop_id = {shop:String})
            AND length(skus) <= 50
    ),
    carts AS (SELECT shop_id, count() AS number FROM held GROUP BY shop_id),
    names AS
    (
        SELECT shop_id, line.sku AS sku, argMaxIf(line.name, abandoned_at, line.name != '') AS name
        FROM held
        ARRAY JOIN lines AS line
        GROUP BY shop_id, sku
    ),
    products AS (SELECT shop_id, sku, count() AS number FROM held ARRAY JOIN skus AS sku GROUP BY shop_id, sku),
    pairs AS
    (
        SELECT shop_id, pair.1 AS one, pair.2 AS other, count() AS number
        FROM held
        ARRAY JOIN arrayFlatten(arrayMap((x, at) -> arrayMap(y -> (x, y), arraySlice(skus, at + 1)),
            skus, arrayEnumerate(skus))) AS pair
        GROUP BY shop_id, one, other
        ORDER BY number DESC, shop_id, one, other
        LIMIT {top:UInt32}
    )
SELECT
    p.shop_id AS shop_id,
    p.one AS sku,
    n.name AS name,
    p.other AS with_sku,
    m.name AS with_name,
    p.number AS abandonments,
    toDecimal64(round(100 * p.number / a.number, 1), 1) AS percent,
    toDecimal64(round(100 * p.number / b.number, 1), 1) AS with_percent,
    toDecimal64(round(p.number * c.number / (a.number * b.number), 2), 2) AS lift
FROM pairs AS p
INNER JOIN carts AS c ON p.shop_id = c.shop_id
INNER JOIN products AS a ON p.shop_id = a.shop_id AND p.one = a.sku
INNER JOIN products AS b ON p.shop_id = b.shop_id AND p.other = b.sku
INNER JOIN names AS n ON p.shop_id = n.shop_id AND p.one = n.sku
INNER JOIN names AS m ON p.shop_id = m.shop_id AND p.other = m.sku
ORDER BY abandonments DESC, shop_id, sku, with_sku
