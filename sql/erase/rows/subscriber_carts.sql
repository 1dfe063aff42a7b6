-- Which carts were taken to be the person's, and why.
{verb}
FROM subscriber_carts_log
WHERE shop_id = {shop:String} AND (
    cart_id IN {carts:Array(String)}
    OR subscriber_id IN {persons:Array(String)}
    OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
    OR email = '' AND subscriber_id IN {aliases:Array(String)}
)
