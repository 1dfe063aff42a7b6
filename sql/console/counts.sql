-- Abandonments by shop, state and currency, with their value; all shops when `shop` is empty.
SELECT
    shop_id,
    state,
    currency,
    count() AS carts,
    sum(a.value) AS value,
    countIf(subscriber_id != '' OR email != '') AS identified,
    countIf(message_status = 'sent') AS written
FROM abandonments AS a
WHERE {shop:String} = '' OR shop_id = {shop:String}
GROUP BY shop_id, state, currency
ORDER BY shop_id, state, currency
