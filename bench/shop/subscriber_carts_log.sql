-- Whose carts they are, as far as people are known.
INSERT INTO subscriber_carts_log
(
    record_id, type, subscriber_id, shop_id, cart_id, revision, episode, abandonment_id, occurred_at, evidence_how, evidence_words,
    evidence_seen_at, evidence_device_id, evidence_event_id, customer_id, email, forwarded_from, raw, kafka_partition, kafka_offset,
    received_at
)
SELECT
    lower(hex(sipHash128(n, i, 50))), concat('cart.', if(i = 1, 'abandoned', state)), subscriber_id, shop_id, cart_id, 1000 + i, 1,
    abandonment_id, abandoned_at + toIntervalSecond((i - 1) * (3600 + sipHash64(n, 13) % 80000)) AS occurred_at,
    if(n % 3 = 0, 'device', 'checkout'), if(n % 3 = 0, 'Logged in on this device 12 days before', 'Typed at checkout'),
    created_at, device_id, '', customer_id, email, '',
    concat('{"record_id":"', lower(hex(sipHash128(n, i, 50))), '","email":"', email, '","consent":{"granted":true}}'),
    toUInt16(sipHash64(subscriber_id) % 4), n * 2 + i, occurred_at + toIntervalMillisecond(600)
FROM made_carts(first = {first:UInt64}, count = {count:UInt64}, begin = {begin:Int64}, carts = {carts:UInt64})
ARRAY JOIN if(state = 'open', [1], [1, 2]) AS i
WHERE known
