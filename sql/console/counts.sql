-- Abandonments by shop, state and currency, with their value; all shops when `shop` is empty.
SELECT
    shop_id,
    state,
    currency,
    sum(d.carts) AS carts,
    sum(d.value) AS value,
    sumIf(d.carts, known) AS identified,
    sumIf(d.carts, message_status = 'sent') AS written
FROM abandonment_days AS d
WHERE {shop:String} = '' OR shop_id = {shop:String}
GROUP BY shop_id, state, currency
ORDER BY shop_id, state, currency
