-- What the view `persons` knows people from, `at` being when they were heard of.
SELECT shop_id, subscriber_id, occurred_at AS at FROM subscriber_events_log
UNION ALL
-- as the view has it: evidence may be older than the match
SELECT shop_id, subscriber_id, if(evidence_seen_at > 0, least(evidence_seen_at, occurred_at), occurred_at)
FROM subscriber_carts_log
WHERE type != 'cart.unmatched'
