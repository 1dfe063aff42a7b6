-- What reports count: carts that came to a decision, and the kind of device they were filled on.
--
-- `device_kind` is read from the record when it is inserted, whoever inserts it; the text is searched for first, since
-- most records do not have the field. What is no short word is none. Rows that were there before are read when they are asked for.
--
-- A rate needs its denominator beside it: a cart is decided when it is left, or bought without having been left. The view
-- is computed when read, from derived ids, so repeats and late corrections are right. A cart that is still in use, was
-- emptied or went into another one is not decided.
ALTER TABLE {database}.cart_events_log
    ADD COLUMN IF NOT EXISTS device_kind LowCardinality(String)
        MATERIALIZED if(position(raw, '"device_kind"') = 0, '',
            extract(lower(JSONExtractString(raw, 'device_kind')), '^[a-z][a-z0-9 _-]{0,39}$'));

CREATE OR REPLACE VIEW {database}.decided_carts
(
    shop_id LowCardinality(String) COMMENT 'The shop',
    cart_id String COMMENT 'The cart',
    decided_at DateTime64(3, 'UTC') COMMENT 'When it was decided: the deadline at which it counted as left, or the order, UTC',
    was_left Bool COMMENT 'Left; else bought without having been left before',
    abandonment_id String COMMENT 'The abandonment; empty when it was not left',
    state String COMMENT 'open, reactivated or recovered (bought after all); of one that was not left: completed',
    order_id String COMMENT 'The order that it was bought with; empty when there is none',
    stage String COMMENT 'Checkout step reached last: cart, contact, address, shipping, payment or review',
    currency String COMMENT 'ISO 4217; empty when unknown',
    value Decimal(38, 6) COMMENT 'Sum of quantity times price',
    units UInt32 COMMENT 'Sum of quantities',
    device_kind String COMMENT 'desktop, mobile, tablet, or what the shop says; of the newest event that says one, else empty',
    customer_id String COMMENT 'The shop''s id of the customer, as the cart itself says; empty when it was a guest''s',
    email String COMMENT 'Address as typed in the cart; empty when none was',
    subscriber_id String COMMENT 'The person; empty when nobody is known'
)
AS WITH
    devices AS
    (
        SELECT shop_id, cart_id, argMax(device_kind, (occurred_at, kafka_offset)) AS kind
        FROM {database}.cart_events_log
        WHERE device_kind != ''
        GROUP BY shop_id, cart_id
    ),
    -- what the cart itself said, beside what is known of its person by now
    said AS
    (
        SELECT shop_id, abandonment_id, argMax(customer_id, revision) AS customer_id, argMax(email, revision) AS email
        FROM {database}.cart_outcomes_log
        WHERE type = 'cart.abandoned' AND abandonment_id != ''
        GROUP BY shop_id, abandonment_id
    ),
    buyers AS
    (
        SELECT shop_id, cart_id, revision,
            argMax(subscriber_id, (forwarded_from != '', received_at, kafka_offset)) AS subscriber_id
        FROM {database}.subscriber_carts_log
        WHERE type = 'cart.completed'
        GROUP BY shop_id, cart_id, revision
    ),
    decided AS
    (
        SELECT
            a.shop_id AS shop_id, a.cart_id AS cart_id, a.abandoned_at AS decided_at, true AS was_left,
            a.abandonment_id AS abandonment_id, a.state AS state, a.order_id AS order_id, toString(a.stage) AS stage,
            toString(a.currency) AS currency, a.value AS value, a.units AS units, said.customer_id AS customer_id,
            said.email AS email, a.subscriber_id AS subscriber_id
        FROM {database}.abandonments AS a
        LEFT JOIN said ON a.shop_id = said.shop_id AND a.abandonment_id = said.abandonment_id
        WHERE a.state != 'withdrawn'
        UNION ALL
        SELECT
            c.shop_id, c.cart_id, c.occurred_at, false, '', 'completed', c.order_id, toString(c.stage),
            toString(c.currency), c.value, c.units, c.customer_id, c.email, buyers.subscriber_id
        FROM
        (
            SELECT * FROM {database}.cart_outcomes_log FINAL WHERE type = 'cart.completed' AND abandonment_id = ''
        ) AS c
        LEFT JOIN buyers ON c.shop_id = buyers.shop_id AND c.cart_id = buyers.cart_id AND c.revision = buyers.revision
    )
SELECT
    d.shop_id AS shop_id, d.cart_id AS cart_id, d.decided_at AS decided_at, d.was_left AS was_left,
    d.abandonment_id AS abandonment_id, d.state AS state, d.order_id AS order_id, d.stage AS stage,
    d.currency AS currency, d.value AS value, d.units AS units, toString(devices.kind) AS device_kind,
    d.customer_id AS customer_id, d.email AS email, d.subscriber_id AS subscriber_id
FROM decided AS d
LEFT JOIN devices ON d.shop_id = devices.shop_id AND d.cart_id = devices.cart_id
SETTINGS join_use_nulls = 0
COMMENT 'Carts that came to a decision: left, or bought without having been left';
