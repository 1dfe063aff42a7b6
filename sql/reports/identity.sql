-- title: Whose carts they were
-- description: How many carts that were left have a known person, and by what evidence. A cart is anonymous when it names
--   nobody itself: neither a customer nor an address was in its events. The denominator of `percent` is the carts of the
--   same kind, named or anonymous, so the shares of anonymous carts with evidence are what recognising devices does. Each
--   time a cart is left counts once, on the day (UTC) of the deadline; withdrawn ones are not counted, and matches that
--   were taken back are none. Late is what was seen only after the deadline: those carts were nobody's at first.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: abandonments by evidence for each cart
-- column shop_id: the shop
-- column cart: named or anonymous
-- column evidence: login, checkout, subscription, link, push, customer, email; nobody when it has no person
-- column abandonments: times a cart was left
-- column percent: their share of the named or anonymous ones of the shop
-- column late: of them, those whose evidence was seen after the deadline
-- column late_percent: their share of the row
WITH
    seen AS
    (
        SELECT shop_id, abandonment_id, subscriber_id, toString(evidence_how) AS how, min(evidence_seen_at) AS at
        FROM subscriber_carts_log
        WHERE type != 'cart.unmatched' AND abandonment_id != '' AND evidence_seen_at > 0
        GROUP BY shop_id, abandonment_id, subscriber_id, how
    ),
    known AS
    (
        SELECT
            d.shop_id AS shop_id,
            if(d.customer_id != '' OR d.email != '', 'named', 'anonymous') AS cart_kind,
            if(a.subscriber_id = '', 'nobody', a.evidence_how) AS how,
            s.abandonment_id != '' AND s.at > a.abandoned_at AS is_late
        FROM decided_carts AS d
        INNER JOIN abandonments AS a ON d.shop_id = a.shop_id AND d.abandonment_id = a.abandonment_id
        LEFT JOIN seen AS s ON a.shop_id = s.shop_id AND a.abandonment_id = s.abandonment_id
            AND a.subscriber_id = s.subscriber_id AND a.evidence_how = s.how
        WHERE d.was_left
            AND d.decided_at >= toDateTime64({from:Date32}, 3, 'UTC')
            AND d.decided_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
            AND ({shop:String} = '' OR d.shop_id = {shop:String})
    )
SELECT
    shop_id,
    cart_kind AS cart,
    how AS evidence,
    count() AS abandonments,
    toDecimal64(round(100 * abandonments / sum(abandonments) OVER (PARTITION BY shop_id, cart), 1), 1) AS percent,
    countIf(is_late) AS late,
    toDecimal64(round(100 * late / abandonments, 1), 1) AS late_percent
FROM known
GROUP BY shop_id, cart, evidence
ORDER BY shop_id, cart, abandonments DESC, evidence
