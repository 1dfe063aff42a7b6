-- Some abandonments computed anew from all that was said of them: `shops`, `carts`, `abandonments` and `times` (of
-- `abandoned_at`) are their keys, as rollup/touched.sql gives them.
--
-- What is said of an abandonment arrives after it, so what came before `since` (the oldest of them, less a day for clocks) need
-- not be read. Repeating it is safe.
INSERT INTO abandonments_log
(
    abandonment_id, shop_id, cart_id, episode, abandoned_at, last_activity, created_at, stage, currency, value, units, items, cart_url,
    device_id, customer_id, email, subscriber_id, evidence_how, evidence_words, state, order_id, message_status, message_reason,
    message_words, message_at, plan_id, said_at, facts
)
WITH
    fromUnixTimestamp64Milli({since:Int64}, 'UTC') AS since,
    states AS
    (
        SELECT
            shop_id, abandoned_at, cart_id, abandonment_id,
            maxIf(revision, type = 'cart.abandoned') AS abandoned_revision,
            argMaxIf(type, revision, type != 'cart.completed') AS last_type,
            argMaxIf(order_id, revision, type = 'cart.recovered') AS recovered_by,
            max(received_at) AS said_at,
            arraySum(maxMap([outcome_id], [toUnixTimestamp64Milli(received_at)]).2) AS facts
        FROM cart_outcomes_log
        WHERE received_at >= since AND shop_id IN {shops:Array(String)} AND abandoned_at IN {times:Array(DateTime64(3, 'UTC'))}
                AND abandonment_id IN {abandonments:Array(String)}
        GROUP BY shop_id, abandoned_at, cart_id, abandonment_id
    ),
    -- a person whom the cart turned out not to belong to loses all of its episodes that were matched before
    unmatched AS
    (
        SELECT
            shop_id, cart_id, subscriber_id AS seen_as,
            max((received_at, kafka_offset)) AS unmatched_at,
            arraySum(maxMap([record_id], [toUnixTimestamp64Milli(received_at)]).2) AS facts
        FROM subscriber_carts_log
        WHERE received_at >= since AND shop_id IN {shops:Array(String)} AND cart_id IN {carts:Array(String)}
            AND type = 'cart.unmatched' AND forwarded_from = ''
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
                (forwarded_from != '', received_at, kafka_offset)) AS who,
            max(received_at) AS said_at,
            arraySum(maxMap([record_id], [toUnixTimestamp64Milli(received_at)]).2) AS facts
        FROM subscriber_carts_log
        WHERE received_at >= since AND shop_id IN {shops:Array(String)} AND cart_id IN {carts:Array(String)}
            AND abandonment_id IN {abandonments:Array(String)}
            AND type != 'cart.unmatched'
        GROUP BY shop_id, cart_id, abandonment_id, seen_as
    ),
    person AS
    (
        SELECT m.shop_id AS shop_id, m.cart_id AS cart_id, m.abandonment_id AS abandonment_id,
            argMaxIf(m.who, m.matched_at, m.matched_at >= u.unmatched_at) AS who,
            max(greatest(m.said_at, u.unmatched_at.1)) AS said_at,
            sum(m.facts + u.facts) AS facts
        FROM matched AS m
        LEFT JOIN unmatched AS u ON m.shop_id = u.shop_id AND m.cart_id = u.cart_id AND m.seen_as = u.seen_as
        GROUP BY m.shop_id, m.cart_id, m.abandonment_id
    ),
    -- the last status of each plan: one that ends it outlives one that does not, whatever their clocks said
    plans AS
    (
        SELECT
            shop_id, abandonment_id, plan_id,
            max(occurred_at) AS at,
            argMax((type, reason, words, occurred_at), (type NOT IN ('message.planned', 'message.held', 'message.sending'),
                occurred_at, type != 'message.planned')) AS said,
            max(received_at) AS said_at,
            arraySum(maxMap([message_id], [toUnixTimestamp64Milli(received_at)]).2) AS facts
        FROM messages_log
        WHERE received_at >= since AND shop_id IN {shops:Array(String)} AND abandonment_id IN {abandonments:Array(String)}
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
                plan_id)) AS latest,
            max(plans.said_at) AS said_at,
            sum(plans.facts) AS facts
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
    message.latest.5 AS plan_id,
    greatest(states.said_at, person.said_at, message.said_at) AS said_at,
    toUInt64(states.facts + person.facts + message.facts) AS facts
FROM
(
    SELECT *
    FROM cart_outcomes_log FINAL
    WHERE type = 'cart.abandoned'
        AND shop_id IN {shops:Array(String)} AND abandoned_at IN {times:Array(DateTime64(3, 'UTC'))}
                AND abandonment_id IN {abandonments:Array(String)}
) AS cart
INNER JOIN states
    ON cart.shop_id = states.shop_id AND cart.abandoned_at = states.abandoned_at AND cart.cart_id = states.cart_id
        AND cart.abandonment_id = states.abandonment_id AND cart.revision = states.abandoned_revision
LEFT JOIN person
    ON cart.shop_id = person.shop_id AND cart.cart_id = person.cart_id AND cart.abandonment_id = person.abandonment_id
LEFT JOIN message
    ON cart.shop_id = message.shop_id AND cart.abandonment_id = message.abandonment_id
SETTINGS join_use_nulls = 0
