-- title: orders, by the time they were placed
-- element: order
-- columns: shop_id, order_id, ordered_at, state, currency, total, refunded, net, cart_id, subscriber_id, code
-- usual: ordered_at, shop_id, order_id, state, currency, total, refunded, net, cart_id, subscriber_id, code
-- numbers: total, refunded, net
-- order: ordered_at, shop_id, order_id
-- filter state (placed, refunded, cancelled): what became of them; refunded is all or a part
--
-- How many there are in each hour, at most and roughly: of which something is said then. Nothing is put together for it.
SELECT toUnixTimestamp64Milli(occurred_at) - positiveModulo(toUnixTimestamp64Milli(occurred_at), 3600000) AS hour,
    uniqCombined(12)(shop_id, order_id) AS lines
FROM ({records})
WHERE occurred_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({shop:String} = '' OR shop_id = {shop:String})
GROUP BY hour
ORDER BY hour;

-- Those of some hours. The view puts together every order there is; so it is told which are meant, those of which a record has that time.
SELECT
    toString(shop_id) AS shop_id, order_id, rfc3339(ordered_at) AS ordered_at,
    multiIf(o.cancelled, 'cancelled', o.refunded > 0, 'refunded', 'placed') AS state, toString(currency) AS currency, money(total) AS total,
    money(refunded) AS refunded, money(net) AS net, cart_id, subscriber_id, code
FROM orders AS o
WHERE (o.shop_id, o.order_id) IN
    (
        SELECT shop_id, order_id
        FROM ({records})
        WHERE occurred_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
            AND ({shop:String} = '' OR shop_id = {shop:String})
    )
    AND o.ordered_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND o.ordered_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({state:String} = '' OR state = {state:String});
