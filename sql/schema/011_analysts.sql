-- Names that analysts and the back office ask for: devices, persons, wishlists, the history of orders, customers, and carts
-- as they are now.
--
-- All are views over what the topics hold, computed when read: nothing is stored twice, late events and corrections count
-- at once, and a record that was inserted twice counts once (the aggregates are ones that do not mind, and where they
-- would, FINAL reads). What that costs is said before each, as measured on two busy cores with two million cart events,
-- a million device events and a million events of persons. A filter on `shop_id` and on the id reaches the sort key of the
-- table, so one device, person, list or cart takes some hundredths or tenths of a second however much is kept.

-- Reads device_events_log once, without the records themselves: 2 s for a million events on 400,000 devices. "Which of two
-- is later" is one number here and below, time and then place in Kafka, because tuples are compared five times slower.
CREATE OR REPLACE VIEW {database}.devices
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    device_id String COMMENT 'The browser or app; one row each. Those that no person was ever seen on are in cart_events alone',
    first_seen_at DateTime64(3, 'UTC') COMMENT 'When somebody was first seen on it, UTC',
    last_seen_at DateTime64(3, 'UTC') COMMENT 'When somebody was last seen on it, UTC',
    persons UInt64 COMMENT 'Persons seen on it and not unlinked since; more than one: it is shared, and only evidence of the same session counts',
    subscriber_id String COMMENT 'The one of them seen last, as the event said it; empty when it named the person otherwise or none is left',
    customer_id String COMMENT 'The shop''s id of that person; empty when not said',
    email String COMMENT 'The address of that person; empty when not said',
    how String COMMENT 'How that person was seen: login, checkout, subscription, link or push',
    unlinked UInt64 COMMENT 'Persons it turned out not to belong to'
)
AS SELECT
    shop_id,
    device_id,
    min(began) AS first_seen_at,
    max(ended) AS last_seen_at,
    countIf(stays) AS persons,
    argMaxIf(seen.subscriber_id, ended, stays) AS subscriber_id,
    argMaxIf(seen.customer_id, ended, stays) AS customer_id,
    argMaxIf(seen.email, ended, stays) AS email,
    argMaxIf(seen.how, ended, stays) AS how,
    countIf(NOT stays) AS unlinked
FROM
(
    SELECT
        shop_id,
        device_id,
        multiIf(d.subscriber_id != '', d.subscriber_id, d.customer_id != '', d.customer_id, lowerUTF8(d.email)) AS person,
        min(occurred_at) AS began,
        max(occurred_at) AS ended,
        maxIf(place, type = 'device.identified') > maxIf(place, type = 'device.unlinked') AS stays,
        argMaxIf(d.subscriber_id, place, type = 'device.identified') AS subscriber_id,
        argMaxIf(d.customer_id, place, type = 'device.identified') AS customer_id,
        argMaxIf(d.email, place, type = 'device.identified') AS email,
        argMaxIf(toString(d.how), place, type = 'device.identified') AS how
    FROM
    (
        SELECT *, bitShiftLeft(toUInt128(toUnixTimestamp64Milli(occurred_at)), 64) + kafka_offset AS place
        FROM {database}.device_events_log
    ) AS d
    WHERE device_id != ''
    GROUP BY shop_id, device_id, person
) AS seen
GROUP BY shop_id, device_id
COMMENT 'Devices that persons were seen on, one row for each, with the person seen there last';

-- Reads subscriber_events_log and subscriber_carts_log once: 1 s for a million events; 2 to 3 s when the columns of consent or
-- `groups` are asked for, which are looked up in the records themselves (`raw`).
CREATE OR REPLACE VIEW {database}.persons
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    subscriber_id String COMMENT 'The person; one row each. Other ids that turned out to be the same person''s have none',
    customer_id String COMMENT 'The shop''s own id of the customer, the last that was said; empty when not said',
    email String COMMENT 'Address, the last that was said; empty when not said',
    phone String COMMENT 'Telephone number, the last that was said, as it was said',
    name String COMMENT 'Name, the last that was said',
    locale String COMMENT 'Language, the last that was said',
    time_zone String COMMENT 'Time zone (IANA), the last that was said',
    `groups` Array(String) COMMENT 'Groups of the shop the person is in',
    email_consent String COMMENT 'May mails be sent: yes, no, or empty when nobody said. The last word counts; only the person''s own yes lifts an unsubscription',
    sms_consent String COMMENT 'The same for text messages',
    push_consent String COMMENT 'The same for web push',
    bounced_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When something sent there last came back, UTC; NULL when nothing did',
    complained_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When a message was first reported as spam, UTC; NULL when none was: nothing is sent any more',
    erased_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the person was erased, UTC; NULL when not',
    first_seen_at DateTime64(3, 'UTC') COMMENT 'The first word about the person that is kept, UTC',
    last_seen_at DateTime64(3, 'UTC') COMMENT 'The last word about the person, UTC'
)
AS SELECT
    shop_id,
    subscriber_id,
    argMaxIf(p.customer_id, at, p.customer_id != '') AS customer_id,
    argMaxIf(p.email, at, p.email != '') AS email,
    argMaxIf(p.phone, at, p.phone != '') AS phone,
    argMaxIf(p.name, at, p.name != '') AS name,
    argMaxIf(p.locale, at, p.locale != '') AS locale,
    argMaxIf(p.time_zone, at, p.time_zone != '') AS time_zone,
    argMaxIf(p.`groups`, at, says_groups) AS `groups`,
    multiIf(
        maxIf(at, leaves AND (empty(channels) OR has(channels, 'email'))) AS left_email > 0
            AND left_email >= maxIf(at, granted AND own AND has(spoken, 'email')), 'no',
        countIf(says AND has(spoken, 'email')) = 0, '',
        argMaxIf(granted, (at, NOT granted), says AND has(spoken, 'email')), 'yes', 'no') AS email_consent,
    multiIf(
        maxIf(at, leaves AND (empty(channels) OR has(channels, 'sms'))) AS left_sms > 0
            AND left_sms >= maxIf(at, granted AND own AND has(spoken, 'sms')), 'no',
        countIf(says AND has(spoken, 'sms')) = 0, '',
        argMaxIf(granted, (at, NOT granted), says AND has(spoken, 'sms')), 'yes', 'no') AS sms_consent,
    multiIf(
        maxIf(at, leaves AND (empty(channels) OR has(channels, 'push'))) AS left_push > 0
            AND left_push >= maxIf(at, granted AND own AND has(spoken, 'push')), 'no',
        countIf(says AND has(spoken, 'push')) = 0, '',
        argMaxIf(granted, (at, NOT granted), says AND has(spoken, 'push')), 'yes', 'no') AS push_consent,
    maxOrNullIf(at, type = 'subscriber.bounced') AS bounced_at,
    minOrNullIf(at, type = 'subscriber.complained') AS complained_at,
    maxOrNullIf(at, type = 'subscriber.erased') AS erased_at,
    min(at) AS first_seen_at,
    max(at) AS last_seen_at
FROM
(
    SELECT
        *,
        type = 'subscriber.consented' AS own,
        type = 'subscriber.withdrawn' AS leaves,
        (own OR consent NOT IN ('', 'null')) AND NOT leaves AS says,
        consent = 'true' OR JSONExtractBool(consent, 'granted') OR (own AND consent IN ('', 'null')) AS granted,
        JSONExtract(consent, 'channels', 'Array(String)') AS named,
        multiIf(notEmpty(named), named, own AND consent IN ('', 'null') AND notEmpty(channels), channels, ['email']) AS spoken
    FROM
    (
        SELECT
            shop_id, subscriber_id, toString(type) AS type, occurred_at AS at, customer_id, email, phone, name,
            toString(locale) AS locale, toString(time_zone) AS time_zone, `groups`, JSONHas(raw, 'groups') AS says_groups,
            consent, channels
        FROM {database}.subscriber_events_log
        UNION ALL
        -- the box that was ticked at the checkout
        SELECT
            shop_id, subscriber_id, '', if(evidence_seen_at > 0, least(evidence_seen_at, occurred_at), occurred_at),
            customer_id, email, '', '', '', '', [], false, JSONExtractRaw(raw, 'consent'), []
        FROM {database}.subscriber_carts_log
        WHERE type != 'cart.unmatched'
    )
    WHERE subscriber_id != '' AND (shop_id, subscriber_id) NOT IN
    (
        SELECT shop_id, forwarded_from FROM {database}.subscriber_events_log WHERE forwarded_from != ''
        UNION ALL
        SELECT shop_id, forwarded_from FROM {database}.subscriber_carts_log WHERE forwarded_from != ''
    )
) AS p
GROUP BY shop_id, subscriber_id
COMMENT 'Persons, one row for each, with what is known of them and what they agreed to';

-- Looks at the type of every cart event that is kept (a byte each), then reads what belongs to lists: 2.5 s for 90,000 lists
-- with 200,000 events. One list by its id reads that alone.
CREATE OR REPLACE VIEW {database}.wishlists
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    wishlist_id String COMMENT 'The list; one row each (cart_id of its events)',
    customer_id String COMMENT 'The shop''s id of the customer; empty when not said',
    email String COMMENT 'The address in the events; empty when not said',
    device_id String COMMENT 'The browser or app; empty when not said',
    currency String COMMENT 'ISO 4217; empty when not said',
    items Array(Tuple(sku String, name String, quantity UInt64, price Nullable(Decimal(38, 6)), category String)) COMMENT 'What is on it now',
    units UInt64 COMMENT 'Sum of quantities; one where none was said',
    value Decimal(38, 6) COMMENT 'Sum of quantity times price; what has no price counts nothing',
    created_at DateTime64(3, 'UTC') COMMENT 'The first event of it that is kept, UTC',
    updated_at DateTime64(3, 'UTC') COMMENT 'When it last changed, UTC'
)
AS SELECT
    shop_id,
    cart_id AS wishlist_id,
    argMaxIf(e.customer_id, place, e.customer_id != '') AS customer_id,
    argMaxIf(e.email, place, e.email != '') AS email,
    argMaxIf(e.device_id, place, e.device_id != '') AS device_id,
    argMaxIf(toString(e.currency), place, e.currency != '') AS currency,
    argMax(e.items, place) AS items,
    arraySum(x -> greatest(x.quantity, 1), items) AS units,
    arrayFold((sum, x) -> sum + greatest(x.quantity, 1) * ifNull(x.price, 0), items, toDecimal128(0, 6)) AS value,
    min(occurred_at) AS created_at,
    max(occurred_at) AS updated_at
FROM
(
    SELECT *, bitShiftLeft(toUInt128(toUnixTimestamp64Milli(occurred_at)), 64) + kafka_offset AS place
    FROM {database}.cart_events_log
) AS e
WHERE type = 'wishlist.updated'
GROUP BY shop_id, cart_id
COMMENT 'Lists of what people saved for later, one row for each, as they are now';

-- Reads order_events_log, and of the cart events those that are orders, which are looked for among all of them: 1 s for two
-- million. With cart_id that is spared; with order_id it is not, since cart events are not sorted by it.
CREATE OR REPLACE VIEW {database}.order_history
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    order_id String COMMENT 'The order; one row for each thing that happened to it',
    occurred_at DateTime64(3, 'UTC') COMMENT 'When it happened, UTC',
    type String COMMENT 'order.placed, order.paid, order.shipped, order.cancelled, order.refunded, order.message, order.note or order.reply',
    cart_id String COMMENT 'The cart it was made of; empty when not said',
    customer_id String COMMENT 'The shop''s id of the customer; empty when not said',
    subscriber_id String COMMENT 'The person; empty when the event does not say',
    email String COMMENT 'The address in the event; empty when not said',
    currency String COMMENT 'ISO 4217; empty when not said',
    total Nullable(Decimal(38, 6)) COMMENT 'What the order came to, or what was paid back; NULL when not said',
    `text` String COMMENT 'Text of a message, note or reply',
    code String COMMENT 'Code that was used (field code of the event); empty when none',
    event_id String COMMENT 'The sender''s id of the event; shown once however often it arrived',
    received_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of arrival, UTC'
)
AS SELECT
    shop_id, order_id, occurred_at, toString(type) AS type, cart_id, customer_id, subscriber_id, email,
    toString(currency) AS currency, total, `text`, JSONExtractString(raw, 'code') AS code, event_id, received_at
FROM {database}.order_events_log FINAL
WHERE order_id != ''
UNION ALL
SELECT
    shop_id, order_id, occurred_at, toString(type), cart_id, customer_id, '', email, toString(currency), total, '',
    JSONExtractString(raw, 'code'), event_id, received_at
FROM {database}.cart_events_log FINAL
WHERE type = 'order.placed' AND order_id != ''
COMMENT 'The life of every order, whether it began in a cart or not: each event once';

-- Costs what `orders` and `persons` cost: every order, outcome, match and event of a person that is kept. A filter
-- does not make it cheaper: follow one person in `orders`.
CREATE OR REPLACE VIEW {database}.customers
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    subscriber_id String COMMENT 'The person; one row each. Orders of persons nobody knows are in orders alone',
    customer_id String COMMENT 'The shop''s own id of the customer; empty when not said',
    email String COMMENT 'Address; empty when not said',
    name String COMMENT 'Name; empty when not said',
    orders UInt64 COMMENT 'Orders that are kept, cancelled ones left out',
    cancelled UInt64 COMMENT 'Orders that were cancelled',
    kind String COMMENT 'new with one order that is kept, returning with several, none when all were cancelled',
    first_order_at DateTime64(3, 'UTC') COMMENT 'The first order that is kept, UTC',
    last_order_at DateTime64(3, 'UTC') COMMENT 'The last one, UTC',
    spent Map(String, Decimal(38, 6)) COMMENT 'What is left of the orders after refunds, by currency: spent[\'EUR\']'
)
AS SELECT
    bought.shop_id AS shop_id,
    bought.subscriber_id AS subscriber_id,
    known.customer_id AS customer_id,
    known.email AS email,
    known.name AS name,
    bought.kept AS orders,
    bought.gone AS cancelled,
    multiIf(orders = 0, 'none', orders = 1, 'new', 'returning') AS kind,
    bought.began AS first_order_at,
    bought.ended AS last_order_at,
    bought.sums AS spent
FROM
(
    SELECT
        shop_id, subscriber_id, countIf(NOT cancelled) AS kept, countIf(cancelled) AS gone, min(ordered_at) AS began,
        max(ordered_at) AS ended, sumMap(map(currency, net)) AS sums
    FROM {database}.orders
    WHERE subscriber_id != ''
    GROUP BY shop_id, subscriber_id
) AS bought
LEFT JOIN
(
    SELECT shop_id, subscriber_id, customer_id, email, name FROM {database}.persons
) AS known ON bought.shop_id = known.shop_id AND bought.subscriber_id = known.subscriber_id
SETTINGS join_use_nulls = 0
COMMENT 'Persons who ordered, one row for each, with how often and for how much';

-- Without a filter this reads and sorts every cart event that is kept, 3 s for a million, and at tens of millions more than
-- the analysts' user is allowed. With shop_id and cart_id it reads one cart. For lists of many carts ask `abandonments`.
--
-- Contents follow the events in the order of their times, from the last that replaced them (cart.updated, cart.cleared,
-- order.placed, cart.merged). Where events came late, stage 1, which takes them as they come, may have seen it otherwise.
CREATE OR REPLACE VIEW {database}.current_carts
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    cart_id String COMMENT 'The cart; one row each. Empty, bought and merged ones have none',
    currency String COMMENT 'ISO 4217; empty when not said',
    value Decimal(38, 6) COMMENT 'Sum of quantity times price; what has no price counts nothing',
    units UInt64 COMMENT 'Sum of quantities',
    items Array(Tuple(sku String, name String, quantity UInt64, price Nullable(Decimal(38, 6)), category String)) COMMENT 'What is in it now, by sku',
    stage String COMMENT 'Checkout step reached last since the last order, or cart',
    sure Bool COMMENT 'Whether the contents rest on an event that said the whole cart; when not, what was added before the events that are kept is missing',
    device_id String COMMENT 'The browser or app; empty when not said',
    customer_id String COMMENT 'The shop''s id of the customer; empty when not said',
    email String COMMENT 'The address in the events; empty when not said',
    cart_url String COMMENT 'Where the shopper finds the cart again',
    created_at DateTime64(3, 'UTC') COMMENT 'The first event of it that is kept, UTC',
    last_activity DateTime64(3, 'UTC') COMMENT 'The shopper''s last action, UTC'
)
AS SELECT
    shop_id,
    cart_id,
    any(l.currency) AS currency,
    sum(quantity * ifNull(price, 0)) AS value,
    sum(quantity) AS units,
    arraySort(x -> x.1, groupArray((sku, name, toUInt64(quantity), price, category))) AS items,
    any(l.stage) AS stage,
    any(l.sure) AS sure,
    any(l.device_id) AS device_id,
    any(l.customer_id) AS customer_id,
    any(l.email) AS email,
    any(l.cart_url) AS cart_url,
    any(l.created_at) AS created_at,
    any(l.last_activity) AS last_activity
FROM
(
    SELECT
        shop_id,
        cart_id,
        line.sku AS sku,
        -- each in turn: taken away without a number is all of it; never less than none
        arrayFold(
            (had, x) -> if(x.2, if(x.3 = 0, 0, greatest(had - x.3, 0)), had + greatest(x.3, 1)),
            arraySort(groupArray((place, removed, toInt64(line.quantity)))),
            toInt64(0)) AS quantity,
        argMaxIf(line.name, place, line.name != '') AS name,
        argMaxIf(line.price, place, line.price IS NOT NULL) AS price,
        argMaxIf(line.category, place, line.category != '') AS category,
        any(c.currency) AS currency,
        any(c.stage) AS stage,
        any(c.sure) AS sure,
        any(c.device_id) AS device_id,
        any(c.customer_id) AS customer_id,
        any(c.email) AS email,
        any(c.cart_url) AS cart_url,
        any(c.created_at) AS created_at,
        any(c.last_activity) AS last_activity
    FROM
    (
        SELECT
            shop_id, cart_id, currency, stage, sure, device_id, customer_id, email, cart_url, created_at, last_activity,
            change.1 AS place, change.2 AS removed, change.3 AS items
        FROM
        (
            SELECT
                shop_id,
                cart_id,
                maxIf(place, type IN ('cart.updated', 'cart.cleared', 'order.placed', 'cart.merged')) AS base,
                groupArrayIf((place, type = 'cart.item_removed', e.items),
                    type IN ('cart.updated', 'cart.item_added', 'cart.item_removed')) AS changes,
                argMaxIf(toString(step), place, type = 'checkout.step') AS step_last,
                maxIf(place, type = 'checkout.step') > maxIf(place, type = 'order.placed') AS stepped,
                argMaxIf(toString(e.currency), place, e.currency != '') AS currency,
                if(stepped AND step_last != '', step_last, 'cart') AS stage,
                base > 0 AS sure,
                argMaxIf(e.device_id, place, e.device_id != '') AS device_id,
                argMaxIf(e.customer_id, place, e.customer_id != '') AS customer_id,
                argMaxIf(e.email, place, e.email != '') AS email,
                argMaxIf(e.cart_url, place, e.cart_url != '') AS cart_url,
                min(at) AS created_at,
                maxIf(at, type NOT IN ('order.placed', 'cart.merged')) AS last_activity
            FROM
            (
                SELECT
                    shop_id, cart_id, type, items, step, currency, device_id, customer_id, email, cart_url,
                    -- a clock that is ahead counts as the time of arrival, as in stage 1
                    if(occurred_at > received_at + INTERVAL 5 MINUTE, received_at, occurred_at) AS at,
                    bitShiftLeft(toUInt128(toUnixTimestamp64Milli(at)), 64) + kafka_offset AS place
                FROM {database}.cart_events_log FINAL
                WHERE type != 'wishlist.updated'
            ) AS e
            GROUP BY shop_id, cart_id
        )
        ARRAY JOIN arrayFilter(x -> x.1 >= base, changes) AS change
    ) AS c
    ARRAY JOIN items AS line
    GROUP BY shop_id, cart_id, sku
    HAVING quantity > 0
) AS l
GROUP BY shop_id, cart_id
COMMENT 'Carts with something in them, one row for each, as the events that are kept say';
