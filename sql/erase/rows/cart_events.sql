-- Everything in the person's carts, and what names the person.
{verb}
FROM cart_events_log
WHERE shop_id = {shop:String} AND (
    cart_id IN {carts:Array(String)}
    OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
    OR email = '' AND customer_id IN {aliases:Array(String)}
)
