-- title: Abandoned products
-- description: What lay in the carts that were left, by product and currency, the most valuable first. A product counts
--   once for each time a cart with it was left, on the day (UTC) of the cart's deadline. Withdrawn abandonments are not
--   counted. A line without a quantity counts one unit, one without a price no value. The name is the newest one.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: value by sku, name for each currency
-- column shop_id: the shop
-- column sku: the product
-- column name: its name when it was last left
-- column currency: ISO 4217; empty when the shop never said one
-- column abandonments: times a cart with it was left
-- column units: its quantity in those carts
-- column value: quantity times price
-- column recovered: of those carts, the ones that were bought after all
SELECT
    shop_id,
    line.sku AS sku,
    argMaxIf(line.name, abandoned_at, line.name != '') AS name,
    currency,
    uniqExact(abandonment_id) AS abandonments,
    sum(ifNull(line.quantity, 1)) AS units,
    sum(ifNull(line.quantity, 1) * ifNull(toDecimal128OrNull(line.price, 6), 0)) AS value,
    uniqExactIf(abandonment_id, state = 'recovered') AS recovered
FROM abandonments
ARRAY JOIN JSONExtract(items,
    'Array(Tuple(sku String, name String, quantity Nullable(UInt64), price String))') AS line
WHERE state != 'withdrawn'
    AND abandoned_at >= toDateTime64({from:Date32}, 3, 'UTC')
    AND abandoned_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
    AND ({shop:String} = '' OR shop_id = {shop:String})
GROUP BY shop_id, sku, currency
ORDER BY value DESC, units DESC, shop_id, sku, currency
