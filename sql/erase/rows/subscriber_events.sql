-- What the person agreed to, bought and was called. The record of the erasure itself stays: it names nobody.
--
-- `phones` are digits alone, and `browsers` addresses at a push service: what names one of them and no other mailbox is
-- the person's as well.
{verb}
FROM subscriber_events_log
WHERE shop_id = {shop:String} AND (
    (type != 'subscriber.erased' OR email != '') AND (
        subscriber_id IN {persons:Array(String)}
        OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
        OR email = '' AND (subscriber_id IN {aliases:Array(String)} OR customer_id IN {aliases:Array(String)})
        OR email = '' AND NOT match(subscriber_id, '^p-[0-9a-f]{24}$') AND (
            phone != '' AND replaceRegexpAll(phone, '[^0-9]', '') IN {phones:Array(String)}
            OR push IN {browsers:Array(String)}
            OR push_gone IN {browsers:Array(String)}
        )
    )
)
