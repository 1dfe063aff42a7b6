-- The console's views with what steps and channels bring, and three views more: plans, orders and what came back.
--
-- A plan that waits (`held`) has not ended, and what people do with a message is no status of it. Opens and clicks of
-- machines stand apart from those of people. All of it is computed when read: what comes late amends it.
CREATE OR REPLACE VIEW {database}.abandonments
(
    abandonment_id String COMMENT 'Derived from shop, cart and episode; one row each',
    shop_id LowCardinality(String) COMMENT 'The shop',
    cart_id String COMMENT 'The cart',
    episode UInt32 COMMENT 'Which abandonment of the cart this is',
    abandoned_at DateTime64(3, 'UTC') COMMENT 'The deadline at which the cart counted as left, UTC',
    last_activity DateTime64(3, 'UTC') COMMENT 'The shopper''s last action before it, UTC',
    created_at DateTime64(3, 'UTC') COMMENT 'The cart''s first event, UTC',
    stage LowCardinality(String) COMMENT 'Checkout step reached last: cart, contact, address, shipping, payment or review',
    currency LowCardinality(String) COMMENT 'ISO 4217; empty when unknown',
    value Decimal(38, 6) COMMENT 'Sum of quantity times price',
    units UInt32 COMMENT 'Sum of quantities',
    items String COMMENT 'The lines, a JSON array of sku, name, quantity, price, url, image, category',
    cart_url String COMMENT 'Where the shopper finds the cart again',
    device_id String COMMENT 'The browser or app; empty when unknown',
    customer_id String COMMENT 'The shop''s id of the customer, from the cart or the person; empty when unknown',
    email String COMMENT 'Address typed in the cart, else that of the person; empty when unknown',
    subscriber_id String COMMENT 'The person; empty when nobody is known (any more)',
    evidence_how String COMMENT 'How the person is known',
    evidence_words String COMMENT 'The evidence as a sentence',
    state String COMMENT 'open, reactivated, withdrawn (late truth: it was none) or recovered (bought after all)',
    order_id String COMMENT 'The order that recovered it; empty when there is none',
    message_status String COMMENT 'planned, held, sending, sent, suppressed, recovered, expired, failed or uncertain: of its messages the last that was sent, else the last; empty without one',
    message_reason String COMMENT 'Why it was suppressed, failed or waits',
    message_words String COMMENT 'The reason as a sentence',
    message_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the message came to that status, UTC; NULL without one',
    plan_id String COMMENT 'The plan of that message; empty without one'
)
AS WITH
    states AS
    (
        SELECT
            shop_id, cart_id, abandonment_id,
            maxIf(revision, type = 'cart.abandoned') AS abandoned_revision,
            argMaxIf(type, revision, type != 'cart.completed') AS last_type,
            argMaxIf(order_id, revision, type = 'cart.recovered') AS recovered_by
        FROM {database}.cart_outcomes_log
        WHERE abandonment_id != ''
        GROUP BY shop_id, cart_id, abandonment_id
    ),
    -- a person whom the cart turned out not to belong to loses all of its episodes that were matched before
    unmatched AS
    (
        SELECT shop_id, cart_id, subscriber_id AS seen_as, max((received_at, kafka_offset)) AS unmatched_at
        FROM {database}.subscriber_carts_log
        WHERE type = 'cart.unmatched' AND forwarded_from = ''
        GROUP BY shop_id, cart_id, subscriber_id
    ),
    -- each id the abandonment was matched to; what was forwarded from it says who that is. The topic's order counts:
    -- records of one id are on one partition
    matched AS
    (
        SELECT
            shop_id, cart_id, abandonment_id,
            if(forwarded_from != '', forwarded_from, subscriber_id) AS seen_as,
            maxIf((received_at, kafka_offset), forwarded_from = '') AS matched_at,
            argMax((subscriber_id, customer_id, email, evidence_how, evidence_words),
                (forwarded_from != '', received_at, kafka_offset)) AS who
        FROM {database}.subscriber_carts_log
        WHERE type != 'cart.unmatched' AND abandonment_id != ''
        GROUP BY shop_id, cart_id, abandonment_id, seen_as
    ),
    person AS
    (
        SELECT m.shop_id AS shop_id, m.cart_id AS cart_id, m.abandonment_id AS abandonment_id,
            argMax(m.who, m.matched_at) AS who
        FROM matched AS m
        LEFT JOIN unmatched AS u ON m.shop_id = u.shop_id AND m.cart_id = u.cart_id AND m.seen_as = u.seen_as
        WHERE m.matched_at >= u.unmatched_at
        GROUP BY m.shop_id, m.cart_id, m.abandonment_id
    ),
    -- the last status of each plan: one that ends it outlives one that does not, whatever their clocks said
    plans AS
    (
        SELECT
            shop_id, abandonment_id, plan_id,
            max(occurred_at) AS at,
            argMax((type, reason, words, occurred_at), (type NOT IN ('message.planned', 'message.held', 'message.sending'),
                occurred_at, type != 'message.planned')) AS said
        FROM {database}.messages_log
        WHERE abandonment_id != ''
            AND type NOT IN ('message.opened', 'message.clicked', 'message.bounced', 'message.complained')
        GROUP BY shop_id, abandonment_id, plan_id
    ),
    -- a message that was sent says more of the abandonment than a later request that was refused, and any step more than one
    -- that is not for this cart, this person or this installation
    message AS
    (
        SELECT
            shop_id, abandonment_id,
            argMax((said.1, said.2, said.3, said.4, plan_id), (said.1 = 'message.sent',
                said.2 NOT IN ('conditions', 'audience', 'no_address', 'no_channel'), at, said.1 != 'message.planned',
                plan_id)) AS latest
        FROM plans
        GROUP BY shop_id, abandonment_id
    )
SELECT
    cart.abandonment_id AS abandonment_id,
    cart.shop_id AS shop_id,
    cart.cart_id AS cart_id,
    cart.episode AS episode,
    cart.abandoned_at AS abandoned_at,
    cart.last_activity AS last_activity,
    cart.created_at AS created_at,
    cart.stage AS stage,
    cart.currency AS currency,
    cart.value AS value,
    cart.units AS units,
    cart.items AS items,
    cart.cart_url AS cart_url,
    cart.device_id AS device_id,
    if(cart.customer_id != '', cart.customer_id, person.who.2) AS customer_id,
    if(cart.email != '', cart.email, person.who.3) AS email,
    person.who.1 AS subscriber_id,
    person.who.4 AS evidence_how,
    person.who.5 AS evidence_words,
    if(states.last_type = 'cart.abandoned', 'open', substring(states.last_type, 6)) AS state,
    states.recovered_by AS order_id,
    substring(message.latest.1, 9) AS message_status,
    message.latest.2 AS message_reason,
    message.latest.3 AS message_words,
    if(message.latest.1 = '', NULL, message.latest.4) AS message_at,
    message.latest.5 AS plan_id
FROM
(
    SELECT *
    FROM {database}.cart_outcomes_log FINAL
    WHERE type = 'cart.abandoned' AND abandonment_id != ''
) AS cart
INNER JOIN states
    ON cart.shop_id = states.shop_id AND cart.cart_id = states.cart_id AND cart.abandonment_id = states.abandonment_id
        AND cart.revision = states.abandoned_revision
LEFT JOIN person
    ON cart.shop_id = person.shop_id AND cart.cart_id = person.cart_id AND cart.abandonment_id = person.abandonment_id
LEFT JOIN message
    ON cart.shop_id = message.shop_id AND cart.abandonment_id = message.abandonment_id
SETTINGS join_use_nulls = 0
COMMENT 'Carts that were left, one row for each time, with what became of them, whose they are and what was written';

CREATE OR REPLACE VIEW {database}.sent_messages
(
    plan_id String COMMENT 'The plan to write one message; one row each',
    shop_id LowCardinality(String) COMMENT 'The shop',
    subscriber_id String COMMENT 'The person',
    channel String COMMENT 'email, sms or push',
    cart_id String COMMENT 'The cart; empty when it is about none',
    abandonment_id String COMMENT 'The abandonment; empty when it is about none',
    request_id String COMMENT 'The request of the staff that caused it; empty when none',
    status String COMMENT 'planned, held, sending, sent, suppressed, recovered, expired, failed or uncertain: the last one',
    reason String COMMENT 'Why it was suppressed, failed or waits',
    words String COMMENT 'The reason as a sentence',
    status_at DateTime64(3, 'UTC') COMMENT 'When it came to that status, UTC',
    `to` String COMMENT 'Address or number it went to; of a browser who brings it there',
    subject String COMMENT 'Subject',
    `text` String COMMENT 'Plain text as sent',
    html String COMMENT 'HTML as sent',
    due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was due, put off included, UTC',
    sent_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the relay took it, UTC',
    opened_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First opened by the person, UTC',
    clicked_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First clicked by the person, UTC',
    bounced_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it came back, UTC',
    complained_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was reported as spam, UTC',
    machine_opened_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First opened by a mail proxy or scanner, UTC',
    machine_clicked_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First clicked by a scanner, UTC',
    step UInt16 COMMENT 'Step of the shop''s rules, counted from 1; 0 when it is of none',
    template String COMMENT 'Template of the text',
    variant String COMMENT 'Form of the step; empty when it has one only',
    code String COMMENT 'Code of the offer made to this person; empty when none'
)
AS SELECT
    plan_id,
    shop_id,
    argMaxIf(m.subscriber_id, m.occurred_at, m.subscriber_id != '') AS subscriber_id,
    argMaxIf(m.channel, m.occurred_at, is_status) AS channel,
    argMaxIf(m.cart_id, m.occurred_at, m.cart_id != '') AS cart_id,
    argMaxIf(m.abandonment_id, m.occurred_at, m.abandonment_id != '') AS abandonment_id,
    argMaxIf(m.request_id, m.occurred_at, m.request_id != '') AS request_id,
    argMaxIf((m.type, m.reason, m.words, m.occurred_at), (m.type NOT IN ('message.planned', 'message.held', 'message.sending'),
        m.occurred_at, m.type != 'message.planned'), is_status) AS said,
    substring(said.1, 9) AS status,
    said.2 AS reason,
    said.3 AS words,
    said.4 AS status_at,
    argMaxIf(m.to, written, m.to != '') AS `to`,
    argMaxIf(m.subject, written, m.subject != '') AS subject,
    argMaxIf(m.text, written, m.text != '') AS `text`,
    argMaxIf(m.html, written, m.html != '') AS html,
    maxOrNullIf(m.due_at, m.due_at > 0) AS due_at,
    maxOrNullIf(m.occurred_at, m.type = 'message.sent') AS sent_at,
    minOrNullIf(m.occurred_at, m.type = 'message.opened' AND NOT m.machine) AS opened_at,
    minOrNullIf(m.occurred_at, m.type = 'message.clicked' AND NOT m.machine) AS clicked_at,
    minOrNullIf(m.occurred_at, m.type = 'message.bounced') AS bounced_at,
    minOrNullIf(m.occurred_at, m.type = 'message.complained') AS complained_at,
    minOrNullIf(m.occurred_at, m.type = 'message.opened' AND m.machine) AS machine_opened_at,
    minOrNullIf(m.occurred_at, m.type = 'message.clicked' AND m.machine) AS machine_clicked_at,
    max(m.step) AS step,
    argMaxIf(m.template, m.occurred_at, m.template != '') AS template,
    argMaxIf(m.variant, m.occurred_at, m.variant != '') AS variant,
    argMaxIf(m.code, m.occurred_at, m.code != '') AS code
FROM
(
    SELECT
        *,
        (type IN ('message.sending', 'message.sent'), type = 'message.sent', occurred_at) AS written,
        type NOT IN ('message.opened', 'message.clicked', 'message.bounced', 'message.complained') AS is_status
    FROM {database}.messages_log
) AS m
GROUP BY shop_id, plan_id
COMMENT 'Messages, one row for each, with the last status, the text as sent and what the person did';

CREATE OR REPLACE VIEW {database}.plans
(
    plan_id String COMMENT 'The intent to write one message; one row each',
    shop_id LowCardinality(String) COMMENT 'The shop',
    subscriber_id String COMMENT 'The person',
    channel String COMMENT 'email, sms or push',
    cart_id String COMMENT 'The cart; empty when it is about none',
    abandonment_id String COMMENT 'The abandonment; empty when it is about none',
    request_id String COMMENT 'The request of the staff that caused it; empty when none',
    step UInt16 COMMENT 'Step of the shop''s rules, counted from 1; 0 when it is of none',
    variant String COMMENT 'Form of the step; empty when it has one only',
    planned_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was made, UTC; NULL when nobody said so',
    due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was first due, UTC; NULL when it was stopped as it was made',
    held String COMMENT 'Why it waited last; empty when it never did',
    ending String COMMENT 'sent, suppressed, recovered, expired, failed or uncertain; empty while it has not ended',
    reason String COMMENT 'Why it ended without a message',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ended, UTC',
    left_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When its message left, or may have left, UTC',
    endings Array(String) COMMENT 'Every ending that was said of it; more than one is an error',
    departures UInt64 COMMENT 'How often its message left or may have left; more than once is an error',
    said_at DateTime64(3, 'UTC') COMMENT 'The broker''s time of the first word about it, UTC'
)
AS SELECT
    plan_id,
    shop_id,
    argMaxIf(m.subscriber_id, m.occurred_at, m.subscriber_id != '') AS subscriber_id,
    argMax(m.channel, m.occurred_at) AS channel,
    argMaxIf(m.cart_id, m.occurred_at, m.cart_id != '') AS cart_id,
    argMaxIf(m.abandonment_id, m.occurred_at, m.abandonment_id != '') AS abandonment_id,
    argMaxIf(m.request_id, m.occurred_at, m.request_id != '') AS request_id,
    max(m.step) AS step,
    argMaxIf(m.variant, m.occurred_at, m.variant != '') AS variant,
    minOrNullIf(m.occurred_at, m.type = 'message.planned') AS planned_at,
    minOrNullIf(m.due_at, m.type = 'message.planned' AND m.due_at > 0) AS due_at,
    argMaxIf(m.reason, m.occurred_at, m.type = 'message.held') AS held,
    argMaxIf((substring(m.type, 9), m.reason), m.occurred_at, is_end) AS said,
    said.1 AS ending,
    said.2 AS reason,
    maxOrNullIf(m.occurred_at, is_end) AS ended_at,
    minOrNullIf(m.occurred_at, has_left) AS left_at,
    arraySort(groupUniqArrayIf(substring(m.type, 9), is_end)) AS endings,
    uniqExactIf((m.type, m.occurred_at), has_left) AS departures,
    min(m.received_at) AS said_at
FROM
(
    SELECT
        *,
        type IN ('message.sent', 'message.uncertain') AS has_left,
        has_left OR type IN ('message.suppressed', 'message.recovered', 'message.expired', 'message.failed') AS is_end
    FROM {database}.messages_log
    WHERE type NOT IN ('message.opened', 'message.clicked', 'message.bounced', 'message.complained')
) AS m
GROUP BY shop_id, plan_id
COMMENT 'What was intended, one row for each message planned, and how each ended';

CREATE OR REPLACE VIEW {database}.orders
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    order_id String COMMENT 'The order; one row each',
    ordered_at DateTime64(3, 'UTC') COMMENT 'When it was placed, UTC',
    cart_id String COMMENT 'The cart it was made of; empty when of none',
    subscriber_id String COMMENT 'The person; empty when nobody is known',
    currency String COMMENT 'ISO 4217; empty when not said',
    total Decimal(38, 6) COMMENT 'What it came to; the value of its cart when the order does not say',
    refunded Decimal(38, 6) COMMENT 'What was paid back; all of it where a refund names no amount',
    cancelled Bool COMMENT 'Whether it was cancelled',
    net Decimal(38, 6) COMMENT 'What is left of the total',
    code String COMMENT 'Code used in it (field code of the event), as it was said; empty when none'
)
AS WITH
    -- each refund once, so that adding them up is right
    taken_back AS
    (
        SELECT shop_id, order_id, sum(ifNull(total, 0)) AS refunded, countIf(type = 'order.refunded' AND total IS NULL) AS whole,
            countIf(type = 'order.cancelled') AS cancelled
        FROM
        (
            SELECT shop_id, order_id, type, if(type = 'order.refunded', total, NULL) AS total
            FROM {database}.order_events_log FINAL
            WHERE type IN ('order.refunded', 'order.cancelled')
        )
        GROUP BY shop_id, order_id
    ),
    placed AS
    (
        SELECT
            shop_id,
            order_id,
            min(at) AS ordered_at,
            argMaxIf(cart_id, at, cart_id != '') AS cart_id,
            argMaxIf(subscriber_id, (match(subscriber_id, '^p-[0-9a-f]{24}$'), at), subscriber_id != '') AS subscriber_id,
            argMaxIf(currency, (sure, at), currency != '') AS currency,
            argMaxIf(total, (sure, at), total IS NOT NULL) AS total,
            argMaxIf(code, at, code != '') AS code
        FROM
        (
            SELECT shop_id, order_id, occurred_at AS at, cart_id, '' AS subscriber_id, toString(currency) AS currency,
                total, JSONExtractString(raw, 'code') AS code, true AS sure
            FROM {database}.cart_events_log
            WHERE type = 'order.placed'
            UNION ALL
            SELECT shop_id, order_id, occurred_at, cart_id, '', toString(currency), total, JSONExtractString(raw, 'code'), true
            FROM {database}.order_events_log
            WHERE type = 'order.placed'
            UNION ALL
            SELECT shop_id, order_id, occurred_at, cart_id, '', toString(currency), CAST(value, 'Nullable(Decimal(38, 6))'), '', false
            FROM {database}.cart_outcomes_log
            WHERE type IN ('cart.completed', 'cart.recovered')
            UNION ALL
            SELECT shop_id, JSONExtractString(raw, 'outcome', 'order_id'), occurred_at, cart_id, subscriber_id, '', NULL, '', false
            FROM {database}.subscriber_carts_log
            WHERE type IN ('cart.completed', 'cart.recovered')
            UNION ALL
            SELECT shop_id, order_id, occurred_at, cart_id, subscriber_id, '', NULL, '', false
            FROM {database}.subscriber_events_log
            WHERE type = 'subscriber.purchased'
        )
        WHERE order_id != ''
        GROUP BY shop_id, order_id
    )
SELECT
    placed.shop_id AS shop_id,
    placed.order_id AS order_id,
    placed.ordered_at AS ordered_at,
    placed.cart_id AS cart_id,
    placed.subscriber_id AS subscriber_id,
    placed.currency AS currency,
    ifNull(placed.total, 0) AS total,
    if(taken_back.whole > 0, total, least(taken_back.refunded, total)) AS refunded,
    taken_back.cancelled > 0 AS cancelled,
    if(cancelled, 0, total - refunded) AS net,
    placed.code AS code
FROM placed
LEFT JOIN taken_back ON placed.shop_id = taken_back.shop_id AND placed.order_id = taken_back.order_id
SETTINGS join_use_nulls = 0
COMMENT 'Orders, one row for each, with their person and what is left after refunds';

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
    written AS
    (
        SELECT shop_id, plan_id, abandonment_id, channel, step, variant, upperUTF8(trimBoth(code)) AS code, sent_at
        FROM {database}.sent_messages
        WHERE status IN ('sent', 'uncertain')
    ),
    clicks AS
    (
        SELECT shop_id, plan_id, subscriber_id, cart_id, occurred_at AS at
        FROM {database}.messages_log
        WHERE type = 'message.clicked' AND NOT machine
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
    evidence AS
    (
        SELECT o.shop_id AS shop_id, o.order_id AS order_id, 3 AS strength, w.plan_id AS plan_id, o.ordered_at AS at
        FROM {database}.orders AS o
        INNER JOIN written AS w ON o.shop_id = w.shop_id AND upperUTF8(trimBoth(o.code)) = w.code
        WHERE o.code != '' AND (w.sent_at IS NULL OR w.sent_at <= o.ordered_at)
        UNION ALL
        SELECT o.shop_id, o.order_id, 2, r.plan_id, r.at
        FROM {database}.orders AS o
        INNER JOIN reached AS r ON o.shop_id = r.shop_id AND o.cart_id = r.cart_id
        WHERE o.cart_id != '' AND r.at <= o.ordered_at
        UNION ALL
        SELECT o.shop_id, o.order_id, 1, c.plan_id, c.at
        FROM {database}.orders AS o
        INNER JOIN clicks AS c ON o.shop_id = c.shop_id AND o.subscriber_id = c.subscriber_id
        LEFT JOIN windows AS w ON o.shop_id = w.shop_id
        WHERE o.subscriber_id != '' AND c.at <= o.ordered_at
            AND o.ordered_at <= c.at + toIntervalSecond(if(w.length = 0, 432000, w.length))
    ),
    found AS
    (
        SELECT
            shop_id, order_id,
            max(strength) AS most,
            min(strength) = 1 AS in_window,
            argMax(plan_id, (strength, at, plan_id)) AS plan_id
        FROM evidence
        GROUP BY shop_id, order_id
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
    found.most > 1 AS strictly,
    found.in_window AS in_window,
    transform(found.most, [1, 2, 3], ['window', 'link', 'code'], '') AS how,
    found.plan_id AS plan_id,
    written.abandonment_id AS abandonment_id,
    written.channel AS channel,
    written.step AS step,
    written.variant AS variant
FROM {database}.orders AS o
INNER JOIN found ON o.shop_id = found.shop_id AND o.order_id = found.order_id
LEFT JOIN written ON found.shop_id = written.shop_id AND found.plan_id = written.plan_id
SETTINGS join_use_nulls = 0
COMMENT 'Orders that reminders led to, one row for each, with what speaks for it; computed when read, so late orders and refunds count';
