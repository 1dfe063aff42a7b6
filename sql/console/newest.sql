-- One page of abandonments, newest first, from a cursor on. Every filter is off when its parameter is empty.
--
-- The cursor is the sort key of the last row seen, so a page costs the same wherever it is. `search` is any part of
-- an address, a product's name or an id, in any case.
SELECT *
FROM abandonments
WHERE ({shop:String} = '' OR shop_id = {shop:String})
    AND ({state:String} = '' OR state = {state:String})
    AND ({stage:String} = '' OR stage = {stage:String})
    AND ({cursor_id:String} = ''
        OR abandoned_at < fromUnixTimestamp64Milli({cursor_at:Int64}, 'UTC')
        OR abandoned_at = fromUnixTimestamp64Milli({cursor_at:Int64}, 'UTC') AND abandonment_id < {cursor_id:String})
    AND ({search:String} = ''
        OR positionCaseInsensitiveUTF8(email, {search:String}) > 0
        OR arrayExists(x -> positionCaseInsensitiveUTF8(x.name, {search:String}) > 0 OR x.sku = {search:String},
            JSONExtract(items, 'Array(Tuple(sku String, name String))'))
        OR positionCaseInsensitiveUTF8(cart_id, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(customer_id, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(order_id, {search:String}) > 0
        OR abandonment_id = {search:String})
ORDER BY abandoned_at DESC, abandonment_id DESC
LIMIT {limit:UInt32}
