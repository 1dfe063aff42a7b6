-- A message that left though the person had bought since the cart was last used, and stage 3 could know.
--
-- It could know what had arrived under the person's own id; a second is for clocks that differ.
SELECT p.shop_id AS shop_id, p.plan_id AS id,
    concat('left at ', toString(any(p.left_at)), ' UTC; order ', argMin(b.order_id, b.known_at), ' was known since ',
        toString(min(b.known_at)), ' UTC') AS words
FROM ({plans}) AS p
INNER JOIN
(
    SELECT shop_id, subscriber_id, order_id, occurred_at AS bought_at, received_at AS known_at
    FROM subscriber_events_log
    WHERE type = 'subscriber.purchased'
    UNION ALL
    SELECT shop_id, subscriber_id, JSONExtractString(raw, 'outcome', 'order_id'), occurred_at, received_at
    FROM subscriber_carts_log
    WHERE type IN ('cart.completed', 'cart.recovered')
) AS b ON p.shop_id = b.shop_id AND p.subscriber_id = b.subscriber_id
WHERE p.left_at IS NOT NULL AND p.is_known AND b.bought_at >= p.last_activity
    AND b.known_at < p.left_at - INTERVAL 1 SECOND
GROUP BY shop_id, id
ORDER BY shop_id, id
