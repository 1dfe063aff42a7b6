-- What was said of the messages about one abandonment. A click or a bounce names its plan alone.
SELECT
    occurred_at AS at, type, message_id AS id, raw, plan_id, shop_id, subscriber_id, channel, cart_id, abandonment_id, request_id, reason,
    words, `to`, subject, `text`, html, due_at, step, template, variant, code, machine
FROM messages_log
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String}
    AND plan_id IN
    (
        SELECT plan_id
        FROM messages_log
        WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String}
            AND abandonment_id = {abandonment_id:String}
    )
ORDER BY kafka_offset DESC
LIMIT 1 BY message_id
SETTINGS max_threads = 1, compile_expressions = 0
