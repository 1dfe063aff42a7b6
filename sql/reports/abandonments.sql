-- title: Abandonments by day
-- description: A cart counts on the day (UTC) of its deadline, the instant from which it counted as left. Each time it
--   is left counts once. Withdrawn ones are not counted: late events showed that they had not been left. Values are
--   those of the carts when they were left, without discounts and shipping, one row for each currency.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart line: value by day for each currency
-- column day: the day, UTC
-- column currency: ISO 4217; empty when the shop never said one
-- column abandonments: times a cart was left
-- column units: products in them, by quantity
-- column value: what they come to
-- column identified: of them, those with a known person or address
-- column written_to: of them, those about which at least one message was sent
-- column recovered: of them, those that were bought after all, however long after
SELECT
    day,
    currency,
    sum(d.carts) AS abandonments,
    sum(d.units) AS units,
    sum(d.value) AS value,
    sumIf(d.carts, known) AS identified,
    sumIf(d.carts, message_status = 'sent') AS written_to,
    sumIf(d.carts, state = 'recovered') AS recovered
FROM abandonment_days AS d
WHERE state != 'withdrawn'
    AND day >= {from:Date32} AND day <= {to:Date32}
    AND ({shop:String} = '' OR shop_id = {shop:String})
GROUP BY day, currency
ORDER BY day, currency
