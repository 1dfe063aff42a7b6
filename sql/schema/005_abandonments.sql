-- What the console lists: abandonments with their person and message, and messages with their last state.
--
-- Both are computed when read, from derived ids and revisions alone, so they are right under repeats and whatever the
-- order of arrival. Filters on shop_id, cart_id, abandonment_id and abandoned_at reach the sort keys of the tables:
-- the first three are keys of every join here, the fourth belongs to the driving table.
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
    message_status String COMMENT 'planned, sending, sent, suppressed, recovered, expired, failed or uncertain: the last of its messages; empty without one',
    message_reason String COMMENT 'Why it was suppressed or failed',
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
            argMax((type, reason, words, occurred_at), (type NOT IN ('message.planned', 'message.sending'),
                occurred_at, type != 'message.planned')) AS said
        FROM {database}.messages_log
        WHERE abandonment_id != ''
            AND type NOT IN ('message.opened', 'message.clicked', 'message.bounced')
        GROUP BY shop_id, abandonment_id, plan_id
    ),
    -- a mail that was sent says more of the abandonment than a later request that was refused
    message AS
    (
        SELECT
            shop_id, abandonment_id,
            argMax((said.1, said.2, said.3, said.4, plan_id), (said.1 = 'message.sent', at, said.1 != 'message.planned', plan_id)) AS latest
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
    status String COMMENT 'planned, sending, sent, suppressed, recovered, expired, failed or uncertain: the last one',
    reason String COMMENT 'Why it was suppressed or failed',
    words String COMMENT 'The reason as a sentence',
    status_at DateTime64(3, 'UTC') COMMENT 'When it came to that status, UTC',
    `to` String COMMENT 'Address it went to',
    subject String COMMENT 'Subject',
    `text` String COMMENT 'Plain text as sent',
    html String COMMENT 'HTML as sent',
    due_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was due, UTC',
    sent_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the relay took it, UTC',
    opened_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First opened, UTC',
    clicked_at Nullable(DateTime64(3, 'UTC')) COMMENT 'First clicked, UTC',
    bounced_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it came back, UTC'
)
AS SELECT
    plan_id,
    shop_id,
    argMaxIf(m.subscriber_id, m.occurred_at, m.subscriber_id != '') AS subscriber_id,
    argMax(m.channel, m.occurred_at) AS channel,
    argMaxIf(m.cart_id, m.occurred_at, m.cart_id != '') AS cart_id,
    argMaxIf(m.abandonment_id, m.occurred_at, m.abandonment_id != '') AS abandonment_id,
    argMaxIf(m.request_id, m.occurred_at, m.request_id != '') AS request_id,
    argMaxIf((m.type, m.reason, m.words, m.occurred_at), (m.type NOT IN ('message.planned', 'message.sending'),
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
    minOrNullIf(m.occurred_at, m.type = 'message.opened') AS opened_at,
    minOrNullIf(m.occurred_at, m.type = 'message.clicked') AS clicked_at,
    minOrNullIf(m.occurred_at, m.type = 'message.bounced') AS bounced_at
FROM
(
    SELECT
        *,
        (type IN ('message.sending', 'message.sent'), type = 'message.sent', occurred_at) AS written,
        type NOT IN ('message.opened', 'message.clicked', 'message.bounced') AS is_status
    FROM {database}.messages_log
) AS m
GROUP BY shop_id, plan_id
COMMENT 'Messages, one row for each, with the last status, the text as sent and what the person did';
