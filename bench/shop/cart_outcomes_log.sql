-- Each cart is left once; what became of it is said an hour to a day later.
INSERT INTO cart_outcomes_log
(
    outcome_id, type, shop_id, cart_id, revision, episode, abandonment_id, occurred_at, abandoned_at, last_activity, created_at,
    reason, stage, currency, value, units, items, cart_url, order_id, device_id, session_id, customer_id, email, raw,
    kafka_partition, kafka_offset, received_at
)
SELECT
    lower(hex(sipHash128(n, i, 40))), concat('cart.', if(i = 1, 'abandoned', state)), shop_id, cart_id, 1000 + i, 1, abandonment_id,
    abandoned_at + toIntervalSecond((i - 1) * (3600 + sipHash64(n, 13) % 80000)) AS occurred_at,
    abandoned_at, last_activity, created_at, if(i = 2 AND state = 'withdrawn', 'late_activity', ''), stage, currency, value, units,
    items, cart_url, if(i = 2 AND state = 'recovered', concat('o-', toString(n)), ''), device_id, session_id, customer_id,
    if(n % 4 = 0, email, ''), concat('{"outcome_id":"', lower(hex(sipHash128(n, i, 40))), '","items":', items, '}'),
    toUInt16(sipHash64(cart_id) % 4), n * 2 + i, occurred_at + toIntervalMillisecond(400)
FROM made_carts(first = {first:UInt64}, count = {count:UInt64}, begin = {begin:Int64}, carts = {carts:UInt64})
ARRAY JOIN if(state = 'open', [1], [1, 2]) AS i
