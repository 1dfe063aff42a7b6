-- The abandonments of a page, by their keys, if they are what was asked for. A filter is off when its parameter is empty.
SELECT
    abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, currency, value, units, items, cart_url,
    device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, state, order_id, message_status, message_reason,
    message_words, message_at, plan_id
FROM abandonments_log FINAL
WHERE shop_id IN {shops:Array(String)}
    AND abandoned_at IN {times:Array(DateTime64(3, 'UTC'))}
    AND abandonment_id IN {abandonments:Array(String)}
    AND ({state:String} = '' OR state = {state:String})
    AND ({search:String} = '' OR search LIKE {search:String})
