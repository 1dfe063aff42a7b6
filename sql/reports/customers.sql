-- title: Carts by kind of customer
-- description: Who leaves carts, and who buys them. Logged in is a cart whose events named a customer of the shop, else it is
--   a guest's. Returning is a person with an order before this cart was decided, new is one without, unknown is nobody
--   known; older orders than those that are kept (90 days unless set) are not seen. The denominator of the rate is carts
--   that were decided: left, or bought without having been left, each on its day (UTC). That of recovered_percent is
--   those that were left. Withdrawn abandonments are not counted. One row for each currency.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: rate_percent by login, shopper for each currency
-- column login: guest or logged in
-- column shopper: new, returning or unknown
-- column currency: ISO 4217; empty when the shop never said one
-- column carts: carts that were decided
-- column abandoned: of them, those that were left
-- column rate_percent: abandoned of carts
-- column value: what all of them came to
-- column abandoned_value: what those that were left came to
-- column recovered: of those that were left, those that were bought after all
-- column recovered_percent: recovered of abandoned
WITH
    before AS
    (
        SELECT shop_id, subscriber_id, min(ordered_at) AS first_at
        FROM orders
        WHERE subscriber_id != '' AND ({shop:String} = '' OR shop_id = {shop:String})
        GROUP BY shop_id, subscriber_id
    )
SELECT
    if(d.customer_id = '', 'guest', 'logged in') AS login,
    multiIf(d.subscriber_id = '', 'unknown', b.subscriber_id != '' AND b.first_at < d.decided_at, 'returning', 'new') AS shopper,
    d.currency AS currency,
    count() AS carts,
    countIf(d.was_left) AS abandoned,
    toDecimal64(round(100 * abandoned / carts, 1), 1) AS rate_percent,
    sum(d.value) AS value,
    sumIf(d.value, d.was_left) AS abandoned_value,
    countIf(d.state = 'recovered') AS recovered,
    if(abandoned = 0, NULL, toDecimal64(round(100 * recovered / abandoned, 1), 1)) AS recovered_percent
FROM decided_carts AS d
LEFT JOIN before AS b ON d.shop_id = b.shop_id AND d.subscriber_id = b.subscriber_id
WHERE d.decided_at >= toDateTime64({from:Date32}, 3, 'UTC')
    AND d.decided_at < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
    AND ({shop:String} = '' OR d.shop_id = {shop:String})
GROUP BY login, shopper, currency
ORDER BY login, shopper, currency
