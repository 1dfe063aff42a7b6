-- What was said of the devices of a cart.
SELECT *
FROM
(
    SELECT occurred_at AS at, type, event_id AS id, raw
    FROM device_events_log
    WHERE shop_id = {shop_id:String} AND device_id IN {devices:Array(String)}
    ORDER BY seniority DESC
    LIMIT 1 BY device_id, event_id
)
ORDER BY at DESC, id DESC
LIMIT {most:UInt32}
SETTINGS max_threads = 1, compile_expressions = 0
