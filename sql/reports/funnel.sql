-- title: Funnel by checkout step
-- description: How far carts came. The denominator is carts into which anything was put; a cart counts on the day (UTC) of
--   that first time, with all that happened to it until now, so the newest days still grow. A step counts as reached when
--   it or a later one was, since shops skip some; an order has reached all. Carts that went into another one are not
--   counted, the other one is. A cart that is used again after its order counts once.
-- parameter from: first day, UTC
-- parameter to: last day, UTC, included
-- parameter shop: a shop; empty for all
-- chart bar: carts by stage
-- column number: place of the step
-- column stage: cart, the five checkout steps, bought
-- column carts: carts that reached it
-- column percent: their share of all carts
-- column of_previous_percent: their share of those that reached the step before
-- column stopped: of them, those that have not come further
WITH
    came AS
    (
        SELECT
            shop_id, cart_id,
            countIf(is_filling) > 0 AS was_filled,
            minIf(occurred_at, is_filling) AS began,
            countIf(type = 'cart.merged') > 0 AS is_merged,
            max(multiIf(type = 'order.placed', 6, type = 'checkout.step',
                indexOf(['contact', 'address', 'shipping', 'payment', 'review'], toString(step)), 0)) AS reached
        FROM
        (
            SELECT *, type IN ('cart.item_added', 'cart.updated') AND notEmpty(items) AS is_filling
            FROM cart_events_log
            WHERE type != 'wishlist.updated' AND ({shop:String} = '' OR shop_id = {shop:String})
        )
        GROUP BY shop_id, cart_id
        HAVING was_filled AND NOT is_merged
            AND began >= toDateTime64({from:Date32}, 3, 'UTC')
            AND began < toDateTime64(addDays({to:Date32}, 1), 3, 'UTC')
    ),
    steps AS
    (
        SELECT step_number, countIf(reached >= step_number) AS reached_it, countIf(reached = step_number) AS no_further,
            countIf(reached + 1 >= step_number) AS before
        FROM came
        ARRAY JOIN range(7) AS step_number
        GROUP BY step_number
    )
SELECT
    step_number AS number,
    arrayElement(['cart', 'contact', 'address', 'shipping', 'payment', 'review', 'bought'], number + 1) AS stage,
    reached_it AS carts,
    toDecimal64(round(100 * carts / max(reached_it) OVER (), 1), 1) AS percent,
    if(before = 0, NULL, toDecimal64(round(100 * carts / before, 1), 1)) AS of_previous_percent,
    no_further AS stopped
FROM steps
ORDER BY number
