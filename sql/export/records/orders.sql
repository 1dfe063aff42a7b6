-- What the view `orders` knows orders from.
SELECT shop_id, order_id, occurred_at FROM cart_events_log WHERE type = 'order.placed'
UNION ALL
SELECT shop_id, order_id, occurred_at FROM order_events_log WHERE type = 'order.placed'
UNION ALL
SELECT shop_id, order_id, occurred_at FROM cart_outcomes_log WHERE type IN ('cart.completed', 'cart.recovered')
UNION ALL
SELECT shop_id, JSONExtractString(raw, 'outcome', 'order_id'), occurred_at
FROM subscriber_carts_log
WHERE type IN ('cart.completed', 'cart.recovered')
UNION ALL
SELECT shop_id, order_id, occurred_at FROM subscriber_events_log WHERE type = 'subscriber.purchased'
