-- Twenty events of some 330 bytes for each cart, in the order of their time; the order is placed when its outcome says so.
INSERT INTO cart_events_log
(
    event_id, type, shop_id, cart_id, session_id, device_id, customer_id, email, occurred_at, currency, items, cart_url, step,
    order_id, total, into_cart_id, raw, kafka_partition, kafka_offset, received_at
)
SELECT
    toString(UUIDNumToString(reinterpretAsFixedString(sipHash128(n, i, 30)))) AS event_id,
    multiIf(i = 19 AND state = 'recovered', 'order.placed', i >= 15 AND stage != 'cart', 'checkout.step', i % 4 = 3, 'cart.viewed',
        'cart.item_added') AS type,
    shop_id, cart_id, session_id, device_id, customer_id, if(i >= 16, email, '') AS email,
    if(type = 'order.placed', abandoned_at + toIntervalSecond(3600 + sipHash64(n, 13) % 80000),
        created_at + toIntervalMillisecond(i * 35000 + sipHash64(n, i) % 30000)) AS occurred_at,
    currency,
    if(type = 'cart.item_added', [(concat('A', toString(products[1 + i % units])), titles[1 + i % units], toUInt64(1),
        CAST(toDecimal128(prices[1 + i % units], 6), 'Nullable(Decimal(38, 6))'), 'clothes')], []),
    cart_url,
    if(type = 'checkout.step', stage, '') AS step,
    if(type = 'order.placed', concat('o-', toString(n)), '') AS order_id,
    if(type = 'order.placed', CAST(value, 'Nullable(Decimal(38, 6))'), NULL),
    '',
    concat('{"event_id":"', event_id, '","type":"', type, '","shop_id":"', shop_id, '","cart_id":"', cart_id, '","session_id":"',
        session_id, '","device_id":"', device_id, '"', if(customer_id = '', '', concat(',"customer_id":"', customer_id, '"')),
        if(email = '', '', concat(',"email":"', email, '"')), ',"occurred_at":"',
        replaceOne(toString(occurred_at), ' ', 'T'), 'Z","currency":"', currency, '"',
        if(type = 'cart.item_added', concat(',"items":', '[{"sku":"A', toString(products[1 + i % units]), '","name":"', titles[1 + i % units],
            '","quantity":1,"price":"', toString(toDecimal64(prices[1 + i % units], 2)), '","category":"clothes"}]'), ''),
        ',"cart_url":"', cart_url, '"', if(step = '', '', concat(',"step":"', step, '"')),
        if(order_id = '', '', concat(',"order_id":"', order_id, '"')), '}'),
    toUInt16(sipHash64(cart_id) % 4), n * 20 + i, occurred_at + toIntervalMillisecond(400)
FROM made_carts(first = {first:UInt64}, count = {count:UInt64}, begin = {begin:Int64}, carts = {carts:UInt64})
ARRAY JOIN range(20) AS i
