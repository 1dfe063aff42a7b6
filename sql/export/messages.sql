-- title: messages, by the time they came to their status
-- element: message
-- columns: plan_id, shop_id, status_at, status, reason, words, channel, subscriber_id, to, subject, cart_id, abandonment_id, request_id, step, variant, template, code, due_at, sent_at, opened_at, clicked_at, bounced_at, complained_at, machine_opened_at, machine_clicked_at
-- usual: status_at, shop_id, status, reason, channel, to, subject, subscriber_id, cart_id, step, variant, sent_at, opened_at, clicked_at, bounced_at, complained_at
-- numbers: step
-- order: status_at, plan_id
-- filter status (planned, held, sending, sent, suppressed, recovered, expired, failed, uncertain): what became of them
-- filter channel (email, sms, push): how they were sent
--
-- What was written stands in the view `sent_messages` (`text`, `html`): it would make the file a hundred times as large.
--
-- How many there are in each hour, at most: every record that could say their status. Nothing is put together for it.
SELECT toUnixTimestamp64Milli(occurred_at) - positiveModulo(toUnixTimestamp64Milli(occurred_at), 3600000) AS hour, count() AS lines
FROM messages_log
WHERE occurred_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({shop:String} = '' OR shop_id = {shop:String})
    AND if({status:String} = '', type NOT IN ('message.opened', 'message.clicked', 'message.bounced', 'message.complained'),
        type = concat('message.', {status:String}))
GROUP BY hour
ORDER BY hour;

-- Those of some hours. The view puts together every message there is; so it is told which are meant, those of which a record has that
-- time. Of these a few may have come to another status since.
SELECT
    plan_id, toString(shop_id) AS shop_id, rfc3339(status_at) AS status_at, status, toString(reason) AS reason, words,
    toString(channel) AS channel, subscriber_id, `to`, subject, cart_id, abandonment_id, request_id, toString(step) AS step, variant,
    template, code, rfc3339(due_at) AS due_at, rfc3339(sent_at) AS sent_at, rfc3339(opened_at) AS opened_at,
    rfc3339(clicked_at) AS clicked_at, rfc3339(bounced_at) AS bounced_at, rfc3339(complained_at) AS complained_at,
    rfc3339(machine_opened_at) AS machine_opened_at, rfc3339(machine_clicked_at) AS machine_clicked_at
FROM sent_messages AS m
WHERE (m.shop_id, m.plan_id) IN
    (
        SELECT shop_id, plan_id
        FROM messages_log
        WHERE occurred_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND occurred_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
            AND ({shop:String} = '' OR shop_id = {shop:String})
            AND ({status:String} = '' OR type = concat('message.', {status:String}))
    )
    AND m.status_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND m.status_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({status:String} = '' OR m.status = {status:String})
    AND ({channel:String} = '' OR m.channel = {channel:String});
