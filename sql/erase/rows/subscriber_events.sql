-- What the person agreed to, bought and was called. The record of the erasure itself stays: it names nobody.
{verb}
FROM subscriber_events_log
WHERE shop_id = {shop:String} AND (
    (type != 'subscriber.erased' OR email != '') AND (
        subscriber_id IN {persons:Array(String)}
        OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
        OR email = '' AND (subscriber_id IN {aliases:Array(String)} OR customer_id IN {aliases:Array(String)})
    )
)
