-- How things stand with people when a mail to them is asked for: how often one left since a moment, when last, how many
-- may leave a day, and what stands against it. A forecast for staff, from what others have said: the newest word about a
-- person counts, and stage 3, which knows more, decides.
--
-- Cross-checks shops and people, so it may name a person of a shop nobody asked about.
WITH
    word AS
    (
        SELECT
            shop_id,
            subscriber_id,
            occurred_at AS at,
            if(type = 'message.suppressed', reason, '') AS refused,
            if(type != 'message.suppressed' AND occurred_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC'), plan_id, '') AS letter
        FROM messages_log
        WHERE shop_id IN {shops:Array(String)}
            AND subscriber_id IN {people:Array(String)}
            AND channel = 'email'
            AND (type IN ('message.sent', 'message.uncertain')
                OR type = 'message.suppressed'
                AND reason IN ('no_consent', 'unsubscribed', 'bounced', 'complained', 'erased', 'blocked'))
        UNION ALL
        SELECT
            shop_id,
            subscriber_id,
            occurred_at,
            multiIf(
                type = 'subscriber.withdrawn', 'unsubscribed',
                type = 'subscriber.bounced', 'bounced',
                type = 'subscriber.complained', 'complained',
                type = 'subscriber.erased', 'erased',
                consent = 'false' OR JSONExtractRaw(consent, 'granted') = 'false', 'no_consent',
                ''),
            ''
        FROM subscriber_events_log
        WHERE shop_id IN {shops:Array(String)}
            AND subscriber_id IN {people:Array(String)}
            AND (empty(channels) OR has(channels, 'email'))
            AND (type IN ('subscriber.consented', 'subscriber.withdrawn', 'subscriber.complained', 'subscriber.erased')
                OR type = 'subscriber.bounced' AND NOT startsWith(lower(reason), 'soft')
                OR consent != '')
        UNION ALL
        SELECT shop_id, subscriber_id, occurred_at, '', ''
        FROM subscriber_carts_log
        WHERE shop_id IN {shops:Array(String)}
            AND subscriber_id IN {people:Array(String)}
            AND JSONExtractRaw(raw, 'consent') NOT IN ('', 'null', 'false')
            AND JSONExtractRaw(raw, 'consent', 'granted') != 'false'
    )
SELECT
    word.shop_id AS shop_id,
    subscriber_id,
    uniqExactIf(letter, letter != '') AS written,
    maxOrNullIf(at, letter != '') AS written_at,
    argMax(refused, (at, refused != '')) AS against,
    max(greatest(cap, 1)) AS cap
FROM word
LEFT JOIN
(
    SELECT shop_id, JSONExtractUInt(value, 'cap') AS cap
    FROM settings
    WHERE name = 'reminders' AND NOT deleted AND shop_id IN {shops:Array(String)}
) AS rules ON word.shop_id = rules.shop_id
GROUP BY word.shop_id, subscriber_id
