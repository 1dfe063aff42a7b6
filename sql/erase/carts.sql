-- The person's carts: those matched to the person and not taken back, and those that name the person themselves.
SELECT DISTINCT cart_id
FROM
(
    SELECT cart_id
    FROM
    (
        SELECT cart_id, argMax(type, (revision, occurred_at)) AS last
        FROM subscriber_carts_log
        WHERE shop_id = {shop:String}
            AND (subscriber_id IN {persons:Array(String)} OR email = '' AND subscriber_id IN {aliases:Array(String)})
        GROUP BY cart_id, subscriber_id
    )
    WHERE last != 'cart.unmatched'
    UNION ALL
    SELECT cart_id
    FROM cart_events_log
    WHERE shop_id = {shop:String} AND (lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
        OR email = '' AND customer_id IN {aliases:Array(String)})
    UNION ALL
    SELECT cart_id
    FROM order_events_log
    WHERE shop_id = {shop:String} AND (lower(trim(BOTH ' ' FROM email)) IN {emails:Array(String)}
        OR email = '' AND (customer_id IN {aliases:Array(String)} OR subscriber_id IN {aliases:Array(String)}))
)
WHERE cart_id != ''
