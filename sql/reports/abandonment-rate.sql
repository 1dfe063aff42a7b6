-- title: Abandonment rate and value
-- description: Of the carts that came to a decision, those that were left. The denominator, `carts`, is carts that were left
--   plus carts that were bought without having been left. A cart that is still in use, was emptied or went into another
--   one is in neither. Each time a cart is left counts once; withdrawn ones do not count: late events showed that they had
--   not been left. A cart counts at its decision (UTC): the deadline from which it counted as left, or its order. Its
--   stage is the checkout step heard last, its value that at the decision, without discounts and shipping; one row for
--   each currency, so that nothing is added up that differs.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- parameter by (day, hour, weekday, stage, device, shop, currency): what makes a row; hour is that of the day, UTC
-- chart bar: rate_percent by slice for each currency
-- column slice: the day, hour, weekday (1 is Monday), stage, device kind, shop or currency
-- column currency: ISO 4217; empty when the shop never said one
-- column carts: carts that were decided
-- column abandoned: of them, those that were left
-- column rate_percent: abandoned of carts
-- column value: what all of them came to
-- column abandoned_value: what those that were left came to
-- column value_percent: abandoned_value of value
-- column recovered: of those that were left, those that were bought after all, however long after
-- column recovered_value: what these came to when they were left
SELECT
    multiIf(
        {by:String} = 'day', toString(toDate(decided_at, 'UTC')),
        {by:String} = 'hour', leftPad(toString(toHour(decided_at, 'UTC')), 2, '0'),
        {by:String} = 'weekday', concat(toString(toDayOfWeek(decided_at, 0, 'UTC')), ' ',
            dateName('weekday', decided_at, 'UTC')),
        {by:String} = 'stage', stage,
        {by:String} = 'device', if(device_kind = '', 'unknown', device_kind),
        {by:String} = 'shop', toString(shop_id),
        currency) AS slice,
    currency,
    count() AS carts,
    countIf(was_left) AS abandoned,
    toDecimal64(round(100 * abandoned / carts, 1), 1) AS rate_percent,
    sum(d.value) AS value,
    sumIf(d.value, was_left) AS abandoned_value,
    if(value = 0, NULL, toDecimal64(round(100 * toFloat64(abandoned_value) / toFloat64(value), 1), 1)) AS value_percent,
    countIf(state = 'recovered') AS recovered,
    sumIf(d.value, state = 'recovered') AS recovered_value
FROM decided_carts AS d
WHERE decided_at >= toDateTime64({from:Date32}, 3, 'UTC')
    AND decided_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
    AND ({shop:String} = '' OR shop_id = {shop:String})
GROUP BY slice, currency
ORDER BY slice, currency
