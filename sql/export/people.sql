-- title: people, by the time they were first heard of
-- element: person
-- columns: shop_id, subscriber_id, customer_id, email, phone, name, locale, time_zone, groups, email_consent, sms_consent, push_consent, bounced_at, complained_at, erased_at, first_seen_at, last_seen_at
-- usual: first_seen_at, shop_id, subscriber_id, customer_id, email, phone, name, locale, groups, email_consent, sms_consent, push_consent, bounced_at, complained_at, erased_at
-- order: first_seen_at, shop_id, subscriber_id
-- filter consent (email, sms, push): who agreed to that; whose mails came back, who complained or was erased says the column
--
-- How many there are in each hour, at most and roughly: of whom something is heard then. Nothing is put together for it.
SELECT toUnixTimestamp64Milli(at) - positiveModulo(toUnixTimestamp64Milli(at), 3600000) AS hour,
    uniqCombined(12)(shop_id, subscriber_id) AS lines
FROM ({records})
WHERE at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({shop:String} = '' OR shop_id = {shop:String})
GROUP BY hour
ORDER BY hour;

-- Those of some hours. The view puts together everybody; so it is told who is meant, those of whom something was heard at that time.
SELECT
    toString(shop_id) AS shop_id, subscriber_id, customer_id, email, phone, name, locale, time_zone,
    arrayStringConcat(p.`groups`, ', ') AS `groups`, email_consent, sms_consent, push_consent, rfc3339(bounced_at) AS bounced_at,
    rfc3339(complained_at) AS complained_at, rfc3339(erased_at) AS erased_at, rfc3339(first_seen_at) AS first_seen_at,
    rfc3339(last_seen_at) AS last_seen_at
FROM persons AS p
WHERE (p.shop_id, p.subscriber_id) IN
    (
        SELECT shop_id, subscriber_id
        FROM ({records})
        WHERE at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
            AND ({shop:String} = '' OR shop_id = {shop:String})
    )
    AND p.first_seen_at >= fromUnixTimestamp64Milli({begin:Int64}, 'UTC')
    AND p.first_seen_at < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    AND ({consent:String} = '' OR {consent:String} = 'email' AND p.email_consent = 'yes'
        OR {consent:String} = 'sms' AND p.sms_consent = 'yes' OR {consent:String} = 'push' AND p.push_consent = 'yes');
