-- Which abandonments a page of the list may show, oldest first, from a cursor on. A filter is off when its parameter is
-- empty. Read in the order of the table, so a page costs the same wherever it is; `rows.sql` then looks at these alone.
--
-- It may name too many (a person found by the search who was unmatched since), never too few. `search` is any part of
-- an address, a product's name or an id, in any case.
SELECT DISTINCT shop_id, cart_id, abandonment_id, abandoned_at
FROM cart_outcomes_log
WHERE type = 'cart.abandoned'
    AND abandonment_id != ''
    AND ({shop:String} = '' OR shop_id = {shop:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({cursor_id:String} = ''
        OR abandoned_at > fromUnixTimestamp64Milli({cursor_at:Int64}, 'UTC')
        OR abandoned_at = fromUnixTimestamp64Milli({cursor_at:Int64}, 'UTC') AND abandonment_id > {cursor_id:String})
    AND ({state:String} = '' OR (shop_id, abandonment_id) IN
        (
            SELECT shop_id, abandonment_id
            FROM cart_outcomes_log
            WHERE abandonment_id != '' AND ({shop:String} = '' OR shop_id = {shop:String})
            GROUP BY shop_id, abandonment_id
            HAVING argMaxIf(type, revision, type != 'cart.completed')
                = concat('cart.', if({state:String} = 'open', 'abandoned', {state:String}))
        ))
    AND ({search:String} = ''
        OR abandonment_id = {search:String}
        OR positionCaseInsensitiveUTF8(email, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(cart_id, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(customer_id, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(items, {search_as_json:String}) > 0
        OR (shop_id, abandonment_id) IN
        (
            SELECT shop_id, abandonment_id
            FROM subscriber_carts_log
            WHERE positionCaseInsensitiveUTF8(email, {search:String}) > 0
                OR positionCaseInsensitiveUTF8(customer_id, {search:String}) > 0
            UNION ALL
            SELECT shop_id, abandonment_id
            FROM cart_outcomes_log
            WHERE type = 'cart.recovered' AND positionCaseInsensitiveUTF8(order_id, {search:String}) > 0
        ))
ORDER BY abandoned_at, abandonment_id
LIMIT {limit:UInt32}
