-- The person's orders; the shop keeps its own books.
{verb}
FROM order_events_log
WHERE shop_id = {shop:String} AND (
    subscriber_id IN {persons:Array(String)}
    OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
    OR email = '' AND (subscriber_id IN {aliases:Array(String)} OR customer_id IN {aliases:Array(String)})
)
