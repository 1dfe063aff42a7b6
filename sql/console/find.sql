-- Where abandonments are kept, by their ids alone: so that what follows can ask by shop, cart and time.
SELECT DISTINCT shop_id, cart_id, abandonment_id, abandoned_at
FROM abandonments_log
WHERE abandonment_id IN {abandonments:Array(String)}
