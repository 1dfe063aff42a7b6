-- One abandonment.
SELECT *
FROM abandonments
WHERE shop_id = {shop_id:String} AND cart_id = {cart_id:String} AND abandonment_id = {abandonment_id:String}
    AND abandoned_at = fromUnixTimestamp64Milli({at:Int64}, 'UTC')
