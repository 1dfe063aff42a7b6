-- title: carts that were left, by the time they were left
-- element: cart
-- columns: abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, state, currency, value, units, products, items, cart_url, device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, order_id, message_status, message_reason, message_words, message_at, plan_id
-- usual: abandoned_at, shop_id, cart_id, state, stage, currency, value, units, products, email, customer_id, order_id, message_status, message_reason
-- numbers: episode, value, units
-- order: abandoned_at, abandonment_id
-- filter state (open, reactivated, withdrawn, recovered): what became of them
-- filter stage (cart, contact, address, shipping, payment, review): step of the checkout they came to
-- filter search: any part of an address, a product, or an id of cart, customer or order
--
-- How many there are in each hour; a row that was replaced may count as well.
SELECT toUnixTimestamp64Milli(abandoned_at) - positiveModulo(toUnixTimestamp64Milli(abandoned_at), 3600000) AS hour, count() AS lines
FROM abandonments_log
WHERE abandoned_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND abandoned_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({shop:String} = '' OR shop_id = {shop:String})
    AND ({state:String} = '' OR state = {state:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({search:String} = '' OR search LIKE {search:String})
GROUP BY hour
ORDER BY hour;

-- Those of some hours.
SELECT
    abandonment_id, toString(shop_id) AS shop_id, cart_id, toString(episode) AS episode, rfc3339(abandoned_at) AS abandoned_at,
    rfc3339(last_activity) AS last_activity, rfc3339(created_at) AS created_at, toString(stage) AS stage, toString(state) AS state,
    toString(currency) AS currency, money(value) AS value, toString(units) AS units,
    arrayStringConcat(JSONExtract(items, 'Array(Tuple(name String))').name, ', ') AS products, items, cart_url, device_id, customer_id,
    email, subscriber_id, toString(evidence_how) AS evidence_how, evidence_words, order_id, toString(message_status) AS message_status,
    toString(message_reason) AS message_reason, message_words, rfc3339(message_at) AS message_at, plan_id
FROM abandonments_log AS a FINAL
WHERE a.abandoned_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND a.abandoned_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({shop:String} = '' OR a.shop_id = {shop:String})
    AND ({state:String} = '' OR a.state = {state:String})
    AND ({stage:String} = '' OR a.stage = {stage:String})
    AND ({search:String} = '' OR a.search LIKE {search:String});
