-- One abandonment, by its id alone.
SELECT
    abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, currency, value, units, items, cart_url,
    device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, state, order_id, message_status, message_reason,
    message_words, message_at, plan_id
FROM abandonments_log
WHERE abandonment_id = {abandonment_id:String}
ORDER BY facts DESC
LIMIT 1
SETTINGS max_threads = 1, compile_expressions = 0
