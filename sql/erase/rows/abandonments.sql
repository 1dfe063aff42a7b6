-- The person's carts as the lists show them.
{verb}
FROM abandonments_log
WHERE shop_id = {shop:String} AND (
    cart_id IN {carts:Array(String)}
    OR subscriber_id IN {persons:Array(String)}
    OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
    OR email = '' AND customer_id IN {aliases:Array(String)}
)
