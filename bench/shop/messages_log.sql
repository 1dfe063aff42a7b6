-- One plan for each known person: planned, then sent, or suppressed for one in three; one in ten of those that were sent clicks.
INSERT INTO messages_log
(
    message_id, type, plan_id, shop_id, subscriber_id, occurred_at, channel, cart_id, abandonment_id, request_id, reason, words, `to`,
    subject, `text`, html, due_at, stage, step, template, variant, code, url, machine, raw, kafka_partition, kafka_offset, received_at
)
SELECT
    lower(hex(sipHash128(n, i, 60))),
    ['message.planned', if(n % 3 = 0, 'message.suppressed', 'message.sent'), 'message.clicked'][i] AS type,
    lower(hex(sipHash128(n, 61))), shop_id, subscriber_id,
    abandoned_at + toIntervalSecond(if(i = 1, 0, 3600 * (i - 1))) AS occurred_at, 'email', cart_id, abandonment_id, '',
    if(type = 'message.suppressed', 'no_consent', ''), if(type = 'message.suppressed', 'No consent to mails is recorded.', ''), email,
    if(type = 'message.sent', 'Your cart is waiting', ''), if(type = 'message.sent', concat('Hello, you left ', titles[1]), ''),
    if(type = 'message.sent', concat('<html><body><h1>You left ', titles[1], '</h1>', repeat('<p>The Quiet Kitchen</p>', 30), '</body></html>'), ''),
    if(i = 1, abandoned_at + toIntervalHour(1), toDateTime64(0, 3, 'UTC')), stage, 1, stage, ['a', 'b'][1 + n % 2], '', '', false,
    concat('{"message_id":"', lower(hex(sipHash128(n, i, 60))), '"}'), toUInt16(sipHash64(subscriber_id) % 4), n * 3 + i,
    occurred_at + toIntervalMillisecond(600)
FROM made_carts(first = {first:UInt64}, count = {count:UInt64}, begin = {begin:Int64}, carts = {carts:UInt64})
ARRAY JOIN if(n % 3 != 0 AND sipHash64(n, 14) % 10 = 0, [1, 2, 3], [1, 2]) AS i
WHERE known
