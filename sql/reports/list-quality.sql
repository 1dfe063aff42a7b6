-- title: List quality
-- description: Whether the people who are written to can be, and want to be. `sent` are messages that left, or may have
--   left, on these days (UTC), and the denominator of `bounced` and `complained`, whenever those came. `written_to` are the
--   people they went to, and the denominator of `lost`: those who since their first message of these days unsubscribed from
--   the channel, complained, were erased, or whose address bounced for good. `agreed`, `unsubscribed` and `dead` are
--   people by what was said on these days, written to or not: what the list gained and lost. A consent in a checkout comes
--   with its cart and is not in `agreed`.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: lost_percent by shop_id, channel
-- column shop_id: the shop
-- column channel: email, sms or push
-- column sent: messages that left
-- column bounced: of them, those that came back
-- column bounced_percent: their share of sent
-- column complained: of them, those reported as spam
-- column complained_percent: their share of sent
-- column written_to: people they went to
-- column lost: of them, those who can't or may not be written to any more
-- column lost_percent: their share of written_to
-- column agreed: people who agreed on these days
-- column unsubscribed: people who unsubscribed on these days
-- column dead: people whose address bounced for good on these days
WITH
    said AS
    (
        SELECT
            shop_id, subscriber_id, occurred_at, toString(type) AS kind,
            consent IN ('', 'true') OR startsWith(consent, '{')
                AND (NOT JSONHas(consent, 'granted') OR JSONExtractBool(consent, 'granted')) AS is_granted,
            arrayJoin(multiIf(
                type IN ('subscriber.complained', 'subscriber.erased'), ['email', 'sms', 'push'],
                type = 'subscriber.withdrawn', if(empty(channels), ['email', 'sms', 'push'], channels),
                type = 'subscriber.bounced', if(empty(channels), ['email'], channels),
                JSONHas(consent, 'channels'), JSONExtract(consent, 'channels', 'Array(String)'),
                consent = '' AND notEmpty(channels), channels,
                ['email'])) AS channel
        FROM subscriber_events_log
        WHERE (type IN ('subscriber.withdrawn', 'subscriber.complained', 'subscriber.erased', 'subscriber.consented')
                OR type = 'subscriber.bounced' AND NOT startsWith(lower(reason), 'soft'))
            AND ({shop:String} = '' OR shop_id = {shop:String})
    ),
    gone AS
    (
        SELECT shop_id, channel, subscriber_id, max(occurred_at) AS at
        FROM said
        WHERE kind != 'subscriber.consented'
        GROUP BY shop_id, channel, subscriber_id
    ),
    written AS
    (
        SELECT
            p.shop_id AS shop_id, p.channel AS channel, p.subscriber_id AS subscriber_id,
            min(p.left_at) AS first_at, count() AS messages,
            countIf(m.bounced_at IS NOT NULL) AS came_back, countIf(m.complained_at IS NOT NULL) AS reported
        FROM plans AS p
        INNER JOIN sent_messages AS m ON p.shop_id = m.shop_id AND p.plan_id = m.plan_id
        WHERE p.left_at >= toDateTime64({from:Date32}, 3, 'UTC')
            AND p.left_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
            AND ({shop:String} = '' OR p.shop_id = {shop:String})
        GROUP BY shop_id, channel, subscriber_id
    ),
    figures AS
    (
        SELECT
            w.shop_id AS shop_id, w.channel AS channel, w.messages AS messages, w.came_back AS came_back,
            w.reported AS reported, 1 AS people, g.at >= w.first_at AND g.subscriber_id != '' AS is_lost,
            '' AS agreed_by, '' AS unsubscribed_by, '' AS dead_by
        FROM written AS w
        LEFT JOIN gone AS g ON w.shop_id = g.shop_id AND w.channel = g.channel AND w.subscriber_id = g.subscriber_id
        UNION ALL
        SELECT
            shop_id, channel, 0, 0, 0, 0, false,
            if(kind = 'subscriber.consented' AND is_granted, subscriber_id, ''),
            if(kind = 'subscriber.withdrawn', subscriber_id, ''),
            if(kind = 'subscriber.bounced', subscriber_id, '')
        FROM said
        WHERE occurred_at >= toDateTime64({from:Date32}, 3, 'UTC')
            AND occurred_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
    )
SELECT
    shop_id,
    channel,
    sum(messages) AS sent,
    sum(came_back) AS bounced,
    if(sent = 0, NULL, toDecimal64(round(100 * bounced / sent, 1), 1)) AS bounced_percent,
    sum(reported) AS complained,
    if(sent = 0, NULL, toDecimal64(round(100 * complained / sent, 1), 1)) AS complained_percent,
    sum(people) AS written_to,
    countIf(is_lost) AS lost,
    if(written_to = 0, NULL, toDecimal64(round(100 * lost / written_to, 1), 1)) AS lost_percent,
    uniqExactIf(agreed_by, agreed_by != '') AS agreed,
    uniqExactIf(unsubscribed_by, unsubscribed_by != '') AS unsubscribed,
    uniqExactIf(dead_by, dead_by != '') AS dead
FROM figures
GROUP BY shop_id, channel
HAVING sent + agreed + unsubscribed + dead > 0
ORDER BY shop_id, channel
