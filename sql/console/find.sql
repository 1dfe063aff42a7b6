-- Where an abandonment is kept, by its id alone: so that what follows can ask by shop and cart.
SELECT DISTINCT shop_id, cart_id
FROM cart_outcomes_log
WHERE abandonment_id = {abandonment_id:String}
