-- What reminders led to, and three dashboards that cost what they show.
--
-- * `recoveries` puts orders beside what speaks for each in one pass. It had looked at all orders three times and at all
--   messages twice, and of 100 million events that was most of a minute.
--   Its `LIMIT 1 BY` takes nothing away: it keeps ClickHouse from joining what stands outside to the orders by the shop alone,
--   which it did from the second time on, when it knew how many rows there are (10^10 pairs instead of 10^4).
-- * `reminder_days`, `product_days` and `recovery_days` are figures that ClickHouse makes anew every twenty minutes, each as a whole: what
--   is late, comes twice or is taken back is right after that. They are made of the same views as the reports, so no rule
--   stands in two places (docs/decisions/0015-figures-made-anew.md). While one is made, the one before is read.
-- * One thread makes them, so that one core stays for whoever reads. At different minutes, not all at once.
-- * Figures name nobody, so that nothing of an erased person is in them.
-- * On a cluster each server makes its own.
CREATE OR REPLACE VIEW {database}.recoveries
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    order_id String COMMENT 'The order; one row each',
    ordered_at DateTime64(3, 'UTC') COMMENT 'When it was placed, UTC',
    cart_id String COMMENT 'The cart it was made of; empty when of none',
    subscriber_id String COMMENT 'The person; empty when nobody is known',
    currency String COMMENT 'ISO 4217; empty when not said',
    total Decimal(38, 6) COMMENT 'What it came to',
    net Decimal(38, 6) COMMENT 'What is left of the total after refunds; 0 when cancelled',
    strictly Bool COMMENT 'Made of the cart that a reminder''s link was clicked for before, or with the code of a reminder',
    in_window Bool COMMENT 'By a person who had clicked a reminder of any cart within the window before (attribution, 5 days unless set)',
    how String COMMENT 'code, link or window: the strongest of what speaks for it',
    plan_id String COMMENT 'The message it is put down to: that of the code, else of the last click',
    abandonment_id String COMMENT 'The abandonment that message was about',
    channel String COMMENT 'Its channel: email, sms or push',
    step UInt16 COMMENT 'Its step of the shop''s rules, counted from 1; 0 when it is of none',
    variant String COMMENT 'Its form of the step; empty when it has one only'
)
AS WITH
    (said -> toUInt32OrZero(extract(said, '^[0-9]+'))
        * transform(right(said, 1), ['s', 'm', 'h', 'd'], [1, 60, 3600, 86400], 0)) AS seconds,
    windows AS
    (
        SELECT shop_id, seconds(JSONExtractString(value, 'attribution')) AS length
        FROM {database}.settings
        WHERE name = 'reminders' AND NOT deleted
    ),
    clicks AS
    (
        SELECT shop_id, plan_id, subscriber_id, cart_id, occurred_at AS at
        FROM {database}.messages_log
        WHERE type = 'message.clicked' AND NOT machine
    ),
    -- only of messages that can have led to anything
    written AS
    (
        SELECT shop_id, plan_id, abandonment_id, channel, step, variant, upperUTF8(trimBoth(code)) AS code,
            ifNull(sent_at, toDateTime64(0, 3, 'UTC')) AS at
        FROM {database}.sent_messages
        WHERE status IN ('sent', 'uncertain')
            AND plan_id IN (SELECT plan_id FROM {database}.messages_log WHERE code != '' OR type = 'message.clicked' AND NOT machine)
    ),
    -- a cart that was clicked and then went into another one at the log-in is bought as that one
    reached AS
    (
        SELECT shop_id, plan_id, cart_id, at FROM clicks
        UNION ALL
        SELECT clicks.shop_id, clicks.plan_id, merged.into_cart_id, clicks.at
        FROM clicks
        INNER JOIN
        (
            SELECT DISTINCT shop_id, cart_id, into_cart_id
            FROM {database}.cart_events_log
            WHERE type = 'cart.merged' AND into_cart_id != ''
        ) AS merged ON clicks.shop_id = merged.shop_id AND clicks.cart_id = merged.cart_id
    ),
    by_code AS (SELECT shop_id, code, groupUniqArray((at, plan_id)) AS sent FROM written WHERE code != '' GROUP BY shop_id, code),
    by_cart AS (SELECT shop_id, cart_id, groupUniqArray((at, plan_id)) AS clicked FROM reached WHERE cart_id != '' GROUP BY shop_id, cart_id),
    by_person AS
    (
        SELECT shop_id, subscriber_id, groupUniqArray((at, plan_id)) AS clicked
        FROM clicks
        WHERE subscriber_id != ''
        GROUP BY shop_id, subscriber_id
    ),
    found AS
    (
        SELECT
            o.*,
            arrayMap(x -> (3, o.ordered_at, x.2), arrayFilter(x -> x.1 <= o.ordered_at, by_code.sent)) AS codes,
            arrayMap(x -> (2, x.1, x.2), arrayFilter(x -> x.1 <= o.ordered_at, by_cart.clicked)) AS links,
            arrayMap(x -> (1, x.1, x.2), arrayFilter(x -> x.1 <= o.ordered_at
                AND o.ordered_at <= x.1 + toIntervalSecond(if(windows.length = 0, 432000, windows.length)), by_person.clicked)) AS recent,
            arrayMax(arrayConcat(codes, links, recent)) AS strongest
        FROM {database}.orders AS o
        LEFT JOIN by_code ON o.shop_id = by_code.shop_id AND upperUTF8(trimBoth(o.code)) = by_code.code
        LEFT JOIN by_cart ON o.shop_id = by_cart.shop_id AND o.cart_id = by_cart.cart_id
        LEFT JOIN by_person ON o.shop_id = by_person.shop_id AND o.subscriber_id = by_person.subscriber_id
        LEFT JOIN windows ON o.shop_id = windows.shop_id
        WHERE strongest.1 > 0
    )
SELECT
    o.shop_id AS shop_id,
    o.order_id AS order_id,
    o.ordered_at AS ordered_at,
    o.cart_id AS cart_id,
    o.subscriber_id AS subscriber_id,
    o.currency AS currency,
    o.total AS total,
    o.net AS net,
    o.strongest.1 > 1 AS strictly,
    notEmpty(o.recent) AS in_window,
    transform(o.strongest.1, [1, 2, 3], ['window', 'link', 'code'], '') AS how,
    o.strongest.3 AS plan_id,
    written.abandonment_id AS abandonment_id,
    written.channel AS channel,
    written.step AS step,
    written.variant AS variant
FROM found AS o
LEFT JOIN written ON o.shop_id = written.shop_id AND o.strongest.3 = written.plan_id
LIMIT 1 BY shop_id, order_id
SETTINGS join_use_nulls = 0
COMMENT 'Orders that reminders led to, one row for each, with what speaks for it; computed when read, so late orders and refunds count';

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.reminder_days
REFRESH EVERY 20 MINUTE
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    day Date32 COMMENT 'The day, UTC, on which the messages came to their last status',
    channel LowCardinality(String) COMMENT 'email, sms or push',
    step UInt16 COMMENT 'Step of the shop''s rules, counted from 1; 0 when it is of none',
    variant LowCardinality(String) COMMENT 'Form of the step; empty when it has one only',
    status LowCardinality(String) COMMENT 'planned, held, sending, sent, suppressed, recovered, expired, failed or uncertain: the last one',
    reason LowCardinality(String) COMMENT 'Why they were suppressed, failed or wait',
    messages UInt64 COMMENT 'How many',
    sent UInt64 COMMENT 'Of them, those the relay took',
    opened UInt64 COMMENT 'Those a person opened',
    clicked UInt64 COMMENT 'Those a person clicked',
    bounced UInt64 COMMENT 'Those that came back',
    complained UInt64 COMMENT 'Those that were reported as spam',
    bought UInt64 COMMENT 'Those the relay took, of carts that were bought after all, for whatever reason'
)
ENGINE = MergeTree
ORDER BY (shop_id, day)
AS SELECT
    shop_id,
    toDate32(status_at, 'UTC') AS day,
    channel,
    step,
    variant,
    status,
    reason,
    count() AS messages,
    countIf(sent_at IS NOT NULL) AS sent,
    countIf(opened_at IS NOT NULL) AS opened,
    countIf(clicked_at IS NOT NULL) AS clicked,
    countIf(bounced_at IS NOT NULL) AS bounced,
    countIf(complained_at IS NOT NULL) AS complained,
    countIf(sent_at IS NOT NULL AND (shop_id, abandonment_id) IN (
        SELECT shop_id, abandonment_id FROM {database}.abandonments WHERE state = 'recovered')) AS bought
FROM {database}.sent_messages
GROUP BY shop_id, day, channel, step, variant, status, reason
SETTINGS max_threads = 1, max_bytes_before_external_group_by = 1000000000
COMMENT 'Messages by day, and what came of them; made anew every twenty minutes';

-- Without currency and value, which would be twice as many rows; the report abandoned-products has them.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.product_days
REFRESH EVERY 20 MINUTE OFFSET 7 MINUTE
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    day Date32 COMMENT 'The day, UTC, on which the carts counted as left',
    sku String COMMENT 'The product' CODEC(ZSTD(1)),
    name String COMMENT 'One of its names that day; empty when none was said' CODEC(ZSTD(1)),
    carts UInt32 COMMENT 'How many carts with it were left; each time a cart is left counts once, withdrawn ones do not' CODEC(T64, ZSTD(1)),
    units UInt64 COMMENT 'Its quantity in them; a line without one counts one' CODEC(T64, ZSTD(1)),
    recovered UInt32 COMMENT 'Of those carts, the ones that were bought after all' CODEC(T64, ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (day, shop_id, sku)
AS SELECT
    shop_id,
    toDate32(abandoned_at, 'UTC') AS day,
    line.sku AS sku,
    anyIf(line.name, line.name != '') AS name,
    countIf(nth = 1) AS carts,
    sum(ifNull(line.quantity, 1)) AS units,
    countIf(nth = 1 AND state = 'recovered') AS recovered
FROM
(
    SELECT shop_id, abandoned_at, state,
        JSONExtract(items, 'Array(Tuple(sku String, name String, quantity Nullable(UInt64)))') AS lines
    FROM {database}.abandonments
    WHERE state != 'withdrawn'
)
ARRAY JOIN lines AS line, arrayEnumerateUniq(lines.sku) AS nth
GROUP BY shop_id, day, sku
SETTINGS max_threads = 1, max_bytes_before_external_group_by = 1000000000
COMMENT 'What lay in the carts that were left, by day and product; made anew every twenty minutes';

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.recovery_days
REFRESH EVERY 20 MINUTE OFFSET 14 MINUTE
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    day Date32 COMMENT 'The day, UTC, on which the orders were placed',
    currency LowCardinality(String) COMMENT 'ISO 4217; empty when not said',
    how LowCardinality(String) COMMENT 'code, link or window: the strongest of what speaks for them',
    strictly Bool COMMENT 'Made of the cart that a reminder''s link was clicked for before, or with the code of a reminder',
    in_window Bool COMMENT 'By a person who had clicked a reminder of any cart within the window before',
    channel LowCardinality(String) COMMENT 'Channel of the message they are put down to: email, sms or push',
    step UInt16 COMMENT 'Its step of the shop''s rules, counted from 1; 0 when it is of none',
    variant LowCardinality(String) COMMENT 'Its form of the step; empty when it has one only',
    orders UInt64 COMMENT 'How many orders of which something is left',
    total Decimal(38, 6) COMMENT 'What all came to',
    net Decimal(38, 6) COMMENT 'What is left of it after refunds'
)
ENGINE = MergeTree
ORDER BY (shop_id, day)
AS SELECT
    shop_id,
    toDate32(ordered_at, 'UTC') AS day,
    currency,
    how,
    strictly,
    in_window,
    channel,
    step,
    variant,
    countIf(r.net > 0) AS orders,
    sum(r.total) AS total,
    sum(r.net) AS net
FROM {database}.recoveries AS r
GROUP BY shop_id, day, currency, how, strictly, in_window, channel, step, variant
SETTINGS max_threads = 1, max_bytes_before_external_group_by = 1000000000
COMMENT 'Orders that reminders led to, by day; made anew every twenty minutes';
