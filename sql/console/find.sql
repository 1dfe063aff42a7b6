-- Where abandonments are kept, by their ids alone: so that what follows can ask by shop and cart.
SELECT DISTINCT shop_id, cart_id
FROM cart_outcomes_log
WHERE abandonment_id IN {abandonments:Array(String)}
