-- The abandonments of a page, by their keys, if they are what was asked for. A filter is off when its parameter is empty.
--
-- Of each key the row that knows most is what FINAL would show; this finds the few by their ids before it reads anything else.
SELECT
    abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, currency, value, units, items, cart_url,
    device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, state, order_id, message_status, message_reason,
    message_words, message_at, plan_id
FROM
(
    SELECT *, search
    FROM abandonments_log
    WHERE shop_id IN {shops:Array(String)}
        AND abandoned_at IN {times:Array(DateTime64(3, 'UTC'))}
        AND abandonment_id IN {abandonments:Array(String)}
    ORDER BY facts DESC
    LIMIT 1 BY shop_id, abandoned_at, abandonment_id
)
WHERE ({state:String} = '' OR state = {state:String})
    AND ({search:String} = '' OR search LIKE {search:String})
