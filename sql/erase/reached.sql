-- Where else a person is reached: telephone numbers and browsers that were said of one of the person's ids.
SELECT DISTINCT phone, push
FROM
(
    SELECT phone, arrayJoin([push, push_gone]) AS push
    FROM subscriber_events_log
    WHERE shop_id = {shop:String} AND (
        subscriber_id IN {persons:Array(String)}
        OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
        OR email = '' AND (subscriber_id IN {aliases:Array(String)} OR customer_id IN {aliases:Array(String)})
    )
)
WHERE phone != '' OR push != ''
ORDER BY phone, push
