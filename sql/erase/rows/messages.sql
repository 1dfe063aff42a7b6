-- What was written to the person, and about the person's carts.
{verb}
FROM messages_log
WHERE shop_id = {shop:String} AND (
    cart_id IN {carts:Array(String)}
    OR subscriber_id IN {persons:Array(String)}
    OR subscriber_id IN {aliases:Array(String)}
    OR lower(trim(BOTH ' ' FROM `to`)) IN {emails:Array(String)}
)
