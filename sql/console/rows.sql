-- The abandonments of a page, by their keys, if they are what was asked for. A filter is off when its parameter is empty.
SELECT *
FROM abandonments
WHERE shop_id IN {shops:Array(String)}
    AND cart_id IN {carts:Array(String)}
    AND abandonment_id IN {abandonments:Array(String)}
    AND ({state:String} = '' OR state = {state:String})
    AND ({search:String} = ''
        OR abandonment_id = {search:String}
        OR positionCaseInsensitiveUTF8(email, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(cart_id, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(customer_id, {search:String}) > 0
        OR positionCaseInsensitiveUTF8(order_id, {search:String}) > 0
        OR arrayExists(x -> positionCaseInsensitiveUTF8(x.name, {search:String}) > 0 OR x.sku = {search:String},
            JSONExtract(items, 'Array(Tuple(sku String, name String))')))
