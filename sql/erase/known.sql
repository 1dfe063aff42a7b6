-- By what else a person is known: what stood in one record with the address, or with the id when no address is known.
--
-- One step only. A customer account that two people share names both, and erasing one must not erase the other.
SELECT DISTINCT subscriber_id, customer_id, lower(trim(BOTH ' ' FROM email)) AS email, at
FROM
(
    SELECT subscriber_id, customer_id, email, occurred_at AS at
    FROM subscriber_events_log
    WHERE shop_id = {shop:String} AND (subscriber_id IN {ids:Array(String)} OR customer_id IN {ids:Array(String)}
        OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)})
    UNION ALL
    SELECT subscriber_id, customer_id, email, occurred_at
    FROM device_events_log
    WHERE shop_id = {shop:String} AND (subscriber_id IN {ids:Array(String)} OR customer_id IN {ids:Array(String)}
        OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)})
    UNION ALL
    SELECT forwarded_from, '', email, occurred_at
    FROM subscriber_carts_log
    WHERE shop_id = {shop:String} AND (subscriber_id IN {ids:Array(String)} OR forwarded_from IN {ids:Array(String)}
        OR lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)})
)
ORDER BY at
