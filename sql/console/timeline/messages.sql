-- What was said of the messages about one abandonment. A click or a bounce names its plan alone. Texts are left to be read
-- from `raw`: for a few rows, what a column costs is that it is asked for. Of each kind the first `most` of a
-- message: only clicks and opens of machines can be so many. A record that came twice is here twice, the later one last.
SELECT occurred_at AS at, type, message_id AS id, raw, plan_id, channel, due_at, step, machine
FROM messages_log
WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String}
    AND plan_id IN
    (
        SELECT plan_id
        FROM messages_log
        WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND shop_id = {shop_id:String}
            AND abandonment_id = {abandonment_id:String}
    )
ORDER BY kafka_offset
LIMIT {most:UInt32} BY plan_id, type, machine
SETTINGS max_threads = 1, compile_expressions = 0
