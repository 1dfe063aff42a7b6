-- The messages about one abandonment, newest first.
SELECT *
FROM sent_messages
WHERE shop_id = {shop_id:String}
    AND plan_id IN
    (
        SELECT plan_id
        FROM messages_log
        WHERE shop_id = {shop_id:String} AND abandonment_id = {abandonment_id:String}
    )
ORDER BY status_at DESC, plan_id
