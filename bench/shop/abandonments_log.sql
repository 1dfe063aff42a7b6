-- The abandonments as the sink keeps them (sql/rollup/abandonments.sql says the same of the other tables, more slowly).
INSERT INTO abandonments_log
(
    abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, currency, value, units, items, cart_url,
    device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, state, order_id, message_status, message_reason,
    message_words, message_at, plan_id, said_at, facts
)
SELECT
    abandonment_id, shop_id, cart_id, 1, abandoned_at, last_activity, created_at, stage, currency, value, units, items, cart_url, device_id,
    customer_id, email, subscriber_id, if(known, if(n % 3 = 0, 'device', 'checkout'), ''),
    multiIf(NOT known, '', n % 3 = 0, 'Logged in on this device 12 days before', 'Typed at checkout'), state,
    if(state = 'recovered', concat('o-', toString(n)), ''), multiIf(NOT known, '', n % 3 = 0, 'suppressed', 'sent'),
    if(known AND n % 3 = 0, 'no_consent', ''), if(known AND n % 3 = 0, 'No consent to mails is recorded.', ''),
    if(known, abandoned_at + toIntervalHour(1), NULL), if(known, lower(hex(sipHash128(n, 61))), ''),
    abandoned_at + toIntervalDay(1), 1
FROM made_carts(first = {first:UInt64}, count = {count:UInt64}, begin = {begin:Int64}, carts = {carts:UInt64})
