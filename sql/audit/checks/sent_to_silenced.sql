-- A message that left though the person had unsubscribed from its channel, complained, bounced for good or been erased,
-- and stage 3 could know. A later consent, given by the person, lifts an unsubscription and nothing else.
WITH
    e.received_at < p.left_at - INTERVAL 1 SECOND AS in_time,
    countIf(e.is_for_good AND in_time) AS for_good
SELECT p.shop_id AS shop_id, p.plan_id AS id,
    concat('left at ', toString(any(p.left_at)), ' UTC; the person had ',
        if(for_good > 0, anyIf(substring(e.type, 12), e.is_for_good AND in_time), 'unsubscribed'), ' before') AS words
FROM ({plans}) AS p
INNER JOIN
(
    SELECT
        shop_id, subscriber_id, toString(type) AS type, occurred_at, received_at,
        type IN ('subscriber.complained', 'subscriber.erased', 'subscriber.bounced') AS is_for_good,
        consent IN ('', 'true') OR startsWith(consent, '{')
            AND (NOT JSONHas(consent, 'granted') OR JSONExtractBool(consent, 'granted')) AS granted,
        arrayJoin(multiIf(
            type IN ('subscriber.complained', 'subscriber.erased'), ['email', 'sms', 'push'],
            type = 'subscriber.withdrawn', if(empty(channels), ['email', 'sms', 'push'], channels),
            -- a number that bounced may have been replaced by another one since
            type = 'subscriber.bounced', if(empty(channels), ['email'], arrayFilter(x -> x != 'sms', channels)),
            JSONHas(consent, 'channels'), JSONExtract(consent, 'channels', 'Array(String)'),
            consent = '' AND notEmpty(channels), channels,
            ['email'])) AS channel
    FROM subscriber_events_log
    WHERE type IN ('subscriber.withdrawn', 'subscriber.complained', 'subscriber.erased', 'subscriber.consented')
        OR type = 'subscriber.bounced' AND NOT startsWith(lower(reason), 'soft')
) AS e ON p.shop_id = e.shop_id AND p.subscriber_id = e.subscriber_id AND p.channel = e.channel
WHERE p.left_at IS NOT NULL
GROUP BY shop_id, id
HAVING for_good > 0
    OR countIf(e.type = 'subscriber.withdrawn' AND in_time) > 0
        AND maxIf(e.occurred_at, e.type = 'subscriber.withdrawn' AND in_time) >= maxIf(e.occurred_at,
            e.type = 'subscriber.consented' AND e.granted AND e.received_at <= p.left_at + INTERVAL 1 SECOND)
ORDER BY shop_id, id
